/**
 * The extraction: what the flusher wrote goes to the lake, range by range of the journal's own cursor.
 *
 *   cells' cursors -> what follows the last range -> COPY … TO STDOUT, one snapshot -> text as it came -> one Parquet file a business day -> the range's manifest
 *
 * What must stay true: a range begins where the one before it ended, in every cell, so no event is in two and none is left out; a crash
 * before the manifest leaves nothing, and the next attempt begins at the same place; what was counted in Postgres and in Parquet must agree, or
 * nothing is published. An event that comes late is in a later range and adds a file to its day, so whoever reads that day has other inputs.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import type { Readable } from "node:stream"
import type { Sql } from "postgres"
import { quoted } from "./duck.ts"
import type { JobParts } from "./job.ts"
import { type LakeFile, LakeFault } from "./lake.ts"
import { type Period, periodAt, periodSpan } from "./periods.ts"

export const EVENTS = "events"

/** The columns of an event in the lake. `moves` and `payload` are JSON as text. */
export const EVENT_COLUMNS = {
  cell: "INTEGER", epoch: "INTEGER", n: "BIGINT", act: "VARCHAR", at_ms: "BIGINT", user_no: "INTEGER", moves: "VARCHAR", payload: "VARCHAR", ref: "VARCHAR", day: "VARCHAR",
} as const

/** Events of one cell in one range: what a file holds, and what a crash costs again. */
export const RANGE_ROWS_MAX = 5_000_000
/** An event as text: what a request may be, and as much again. DuckDB's buffers are 16 of these. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024
/** Events that Postgres sends as one row: of the largest there are, 256 would be more than it can put into one. */
const PAGE_ROWS = 200
/** A file that holds so much of a day is followed by another, so that they are read side by side. */
const PIECE_BYTES = 32 * 1024 * 1024
/** The lock under which one host extracts at a time: any number that nobody else takes. */
const EXTRACT_LOCK = 7_370_198
const PART_DIGITS = 12

/** cell -> the last entry that a range holds of it. */
type Cursors = Readonly<Record<string, readonly [epoch: number, n: number]>>

/** What was counted on each side of a range: rows, sums of `n` and `at_ms`, and the bytes of all payloads. */
interface Counted { readonly rows: number; readonly n: string; readonly at_ms: string; readonly bytes: string }

const sides = (counted: Counted): string => `${counted.rows} rows, Σn ${counted.n}, Σat_ms ${counted.at_ms}, ${counted.bytes} bytes`

/** One cell's part of a range: what follows `from`, up to `to`. */
interface CellRange { readonly cell: number; readonly from: readonly [epoch: number, n: number]; readonly to: readonly [epoch: number, n: number] }

/** A file of events as text, in the order of their cell, epoch and n; most of one hold one day's. */
interface Piece { readonly file: string; readonly from_ms: number; readonly to_ms: number }

/** The end of a cell's next range: its cursor, or, where that is too far, the entry so many further on. */
const nextEnd = async (tx: Sql, cell: number, [epoch, n]: readonly [number, number], cursor: readonly [number, number]): Promise<readonly [number, number]> => {
  const [far] = await tx<{ epoch: number; n: number }[]>`
    select epoch, n from events where cell = ${cell} and (epoch, n) > (${epoch}, ${n}) and (epoch, n) <= (${cursor[0]}, ${cursor[1]}) order by epoch, n offset ${RANGE_ROWS_MAX - 1} limit 1`
  return far ? [far.epoch, far.n] : cursor
}

/**
 * A range's events as one COPY: a row for each page of them, with its text and what Postgres counted of it in the same pass.
 *
 * Postgres sends a message for each row, and a message costs this process as much as all else that it does with an event: so a row is a page.
 * JSON text holds no control character and neither do ids: nothing has to be quoted, and no value is mistaken for two. Where one did, the two
 * sides would not agree.
 */
const copyPages = (ranges: readonly CellRange[]): string => `copy (
  select page.counted, page.body
  from (values ${ranges.map(({ cell, from, to }) => `(${cell}, ${from[0]}, ${from[1]}::bigint, ${to[0]}, ${to[1]}::bigint)`).join(", ")}) as r (cell, from_epoch, from_n, to_epoch, to_n)
  cross join lateral generate_series(r.from_epoch, r.to_epoch) as at (epoch)
  cross join lateral (
    select min(n) as least, max(n) as most from events
    where cell = r.cell and epoch = at.epoch and n > case when at.epoch = r.from_epoch then r.from_n else -1 end and n <= case when at.epoch = r.to_epoch then r.to_n else ${Number.MAX_SAFE_INTEGER} end
  ) as span
  cross join lateral generate_series(span.least, span.most, ${PAGE_ROWS}) as first (n)
  cross join lateral (
    select count(*) as rows, concat_ws(' ', count(*), sum(n), sum(at_ms), coalesce(sum(octet_length(payload::text)), 0), min(at_ms), max(at_ms)) as counted,
      string_agg(concat(cell, E'\\x1f', epoch, E'\\x1f', n, E'\\x1f', act, E'\\x1f', at_ms, E'\\x1f', user_no, E'\\x1f', moves, E'\\x1f', payload, E'\\x1f', ref, E'\\n'), '' order by n) as body
    from events where cell = r.cell and epoch = at.epoch and n >= first.n and n < first.n + ${PAGE_ROWS} and n <= span.most
  ) as page where page.rows > 0
) to stdout (format binary)`

/** The head of Postgres' binary COPY, before the first row: signature, flags, and nothing more. */
const COPY_HEAD_BYTES = 19

/**
 * Write a range's pages to files as they come, a new file for each day and for each PIECE_BYTES, and add up what was counted.
 *
 * Each page is written before the next is taken, so the stream never has to hold the socket back: with Bun 1.4.5 a connection of postgres
 * 3.4.9 that was paused once stays silent.
 */
const written = (from: Readable, folder: string, dayEnd_ms: (at_ms: number) => number): Promise<{ pieces: Piece[]; counted: Counted }> => new Promise((done, broken) => {
  const pieces: Piece[] = []
  let open: { fd: number; file: string; bytes: number; from_ms: number; to_ms: number; day_end_ms: number } | undefined
  let rows = 0, n = 0n, at_ms = 0n, bytes = 0n, is_first = true
  const close = (): void => {
    if (!open) return
    closeSync(open.fd)
    pieces.push({ file: open.file, from_ms: open.from_ms, to_ms: open.to_ms })
    open = undefined
  }
  const take = (message: Buffer): void => {
    let at = is_first ? COPY_HEAD_BYTES : 0
    is_first = false
    if (message.readInt16BE(at) === -1) return // the end
    const counts_end = at + 6 + message.readInt32BE(at + 2)
    const counts = message.toString("latin1", at + 6, counts_end).split(" ")
    const body = message.subarray(counts_end + 4)
    const [least_ms, most_ms] = [Number(counts[4]), Number(counts[5])]
    rows += Number(counts[0])
    n += BigInt(counts[1]!)
    at_ms += BigInt(counts[2]!)
    bytes += BigInt(counts[3]!)
    if (open && (most_ms >= open.day_end_ms || open.bytes > PIECE_BYTES)) close()
    const file = open ??= { fd: openSync(join(folder, String(pieces.length)), "w"), file: join(folder, String(pieces.length)), bytes: 0, from_ms: least_ms, to_ms: most_ms, day_end_ms: dayEnd_ms(least_ms) }
    file.from_ms = Math.min(file.from_ms, least_ms)
    file.to_ms = Math.max(file.to_ms, most_ms)
    file.bytes += body.length
    for (let sent = 0; sent < body.length;) sent += writeSync(file.fd, body, sent)
  }
  // What cannot be written (a disk that is full) is told at the end: a stream that nobody reads to its end holds the connection for ever.
  let broke: unknown
  from.on("data", (message: Buffer) => {
    if (broke !== undefined) return
    try { take(message) } catch (fault) { broke = fault }
  })
  from.once("error", (fault) => { close(); broken(fault) })
  from.once("end", () => {
    close()
    if (broke !== undefined) broken(broke)
    else done({ pieces, counted: { rows, n: String(n), at_ms: String(at_ms), bytes: String(bytes) } })
  })
})

/** Extract the next range of every cell; false when there is nothing more. */
const extractRange = async ({ lake, duck, time_zone, signal, progress }: Pick<JobParts, "lake" | "duck" | "time_zone" | "signal" | "progress">, sql: Sql): Promise<boolean> => {
  signal.throwIfAborted()
  const last = lake.parts(EVENTS).at(-1)
  const done = (last?.facts["to"] ?? {}) as Cursors
  const part = String(last === undefined ? 1 : Number(last.part) + 1).padStart(PART_DIGITS, "0")
  const folder = lake.temp()
  mkdirSync(folder)
  const daySpan = (at_ms: number): Period => periodSpan(periodAt(at_ms, "day", time_zone), time_zone)
  try {
    const taken = await sql.begin("isolation level repeatable read read only", async (tx) => {
      // A plan that takes milliseconds is not worth a compiler.
      await tx`set local jit = off`
      const cursors = await tx<{ cell: number; epoch: number; n: number }[]>`select cell, epoch, n from cells order by cell`
      const ranges: CellRange[] = []
      for (const { cell, epoch, n } of cursors) {
        const from = done[cell] ?? [0, -1]
        if (epoch < from[0] || epoch === from[0] && n < from[1]) throw new LakeFault(`the lake has cell ${cell} up to ${from.join("-")} and Postgres only up to ${epoch}-${n}: they are not of one installation`)
        if (epoch === from[0] && n === from[1]) continue
        ranges.push({ cell, from, to: await nextEnd(tx as unknown as Sql, cell, from, [epoch, n]) })
      }
      return ranges.length === 0 ? undefined : { ranges, ...await written(await tx.unsafe(copyPages(ranges)).readable(), folder, (at_ms) => daySpan(at_ms).closes_ms) }
    })
    if (taken === undefined) return false
    progress(`extracting ${taken.counted.rows} events`)
    const files: LakeFile[] = []
    const last_ms = Math.max(...taken.pieces.map(({ to_ms }) => to_ms))
    for (let at_ms = Math.min(...taken.pieces.map(({ from_ms }) => from_ms)); at_ms <= last_ms;) {
      const { period: day, opens_ms, closes_ms } = daySpan(at_ms)
      const pieces = taken.pieces.filter(({ from_ms, to_ms }) => from_ms < closes_ms && to_ms >= opens_ms)
      if (pieces.length > 0) {
        // Pages came in the order of cell, epoch and n, and so do the rows.
        const file = await lake.write(duck, { select: eventsIn(pieces, day, opens_ms, closes_ms), compression: "snappy", folder: `${EVENTS}/${part}`, name: day, day, range: "at_ms", sums: ["n", "at_ms"] })
        if (file.rows > 0) files.push(file)
      }
      at_ms = Math.min(...taken.pieces.filter(({ to_ms }) => to_ms >= closes_ms).map(({ from_ms }) => Math.max(from_ms, closes_ms)), Infinity)
    }
    const counted = files.length === 0 ? NOTHING : await duck.one<Counted>(
      `select count(*) as rows, coalesce(sum(n), 0)::varchar as n, coalesce(sum(at_ms), 0)::varchar as at_ms, coalesce(sum(strlen(payload)), 0)::varchar as bytes from read_parquet([${files.map((file) => quoted(lake.place(file))).join(", ")}])`)
    if (sides(counted) !== sides(taken.counted)) throw new LakeFault(`Postgres has ${sides(taken.counted)} and what came of it ${sides(counted)}`)
    const to = { ...done, ...Object.fromEntries(taken.ranges.map((range) => [range.cell, range.to])) }
    lake.publish({ dataset: EVENTS, part, files, facts: { from: done, to, postgres: taken.counted, parquet: counted, time_zone } })
    return true
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const NOTHING: Counted = { rows: 0, n: "0", at_ms: "0", bytes: "0" }

/** The events of a day in some pieces, as SQL. */
const eventsIn = (pieces: readonly Piece[], day: string, opens_ms: number, closes_ms: number): string => `
  select *, ${quoted(day)} as day
  from read_csv([${pieces.map(({ file }) => quoted(file)).join(", ")}], auto_detect = false, header = false, delim = '\x1f', quote = '', escape = '', new_line = '\\n', max_line_size = ${EVENT_BYTES_MAX},
    columns = {${Object.entries(EVENT_COLUMNS).filter(([name]) => name !== "day").map(([name, type]) => `'${name}': '${type}'`).join(", ")}})
  where at_ms >= ${opens_ms} and at_ms < ${closes_ms}`

/** Bring the lake's events up to the cursors that there are now. One host at a time; the others wait and find it done. */
export const extractEvents = async (parts: Pick<JobParts, "lake" | "duck" | "time_zone" | "signal" | "progress" | "sql">): Promise<void> => {
  const session = await parts.sql.reserve()
  try {
    await session`select pg_advisory_lock(${EXTRACT_LOCK})`
    while (await extractRange(parts, parts.sql));
  } finally {
    await session`select pg_advisory_unlock(${EXTRACT_LOCK})`
    session.release()
  }
}

/** The files of events of these days, in the order of their ranges. */
export const eventFiles = ({ lake }: Pick<JobParts, "lake">, isWanted: (day: string) => boolean): LakeFile[] =>
  lake.parts(EVENTS).flatMap(({ files }) => files).filter(({ day }) => day !== undefined && isWanted(day))


/**
 * The extraction: what the flusher wrote goes to the lake, range by range of the journal's own cursor.
 *
 *   cells' cursors -> what follows the last range -> COPY … TO STDOUT, one snapshot -> one Parquet file a business day -> the range's manifest
 *
 * What must stay true: a range begins where the one before it ended, in every cell, so no event is in two and none is left out; a crash
 * before the manifest leaves nothing, and the next attempt begins at the same place; what was counted in Postgres and in Parquet must agree, or
 * nothing is published. An event that comes late is in a later range and adds a file to its day, so whoever reads that day has other inputs.
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs"
import type { Readable } from "node:stream"
import type { Sql } from "postgres"
import { quoted } from "./duck.ts"
import type { JobParts } from "./job.ts"
import { type LakeFile, LakeFault } from "./lake.ts"

export const EVENTS = "events"

/** The columns of an event in the lake. `moves` and `payload` are JSON as text. */
export const EVENT_COLUMNS = {
  cell: "INTEGER", epoch: "INTEGER", n: "BIGINT", act: "VARCHAR", at_ms: "BIGINT", user_no: "INTEGER", moves: "VARCHAR", payload: "VARCHAR", ref: "VARCHAR", day: "VARCHAR",
} as const

/** Events of one cell in one range: what a file holds, and what a crash costs again. */
export const RANGE_ROWS_MAX = 5_000_000
/** An event as text: what a request may be, and as much again. DuckDB's buffers are 16 of these. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024
const WRITE_BYTES = 4 * 1024 * 1024
/** The lock under which one host extracts at a time: any number that nobody else takes. */
const EXTRACT_LOCK = 7_370_198
const PART_DIGITS = 12

/** cell -> the last entry that a range holds of it. */
type Cursors = Readonly<Record<string, readonly [epoch: number, n: number]>>

/** What was counted on each side of a range. */
interface Counted { readonly rows: number; readonly n: string; readonly at_ms: string; readonly bytes: string }

const sides = (counted: Counted): string => `${counted.rows} rows, Σn ${counted.n}, Σat_ms ${counted.at_ms}, ${counted.bytes} characters`

/** The end of a cell's next range: its cursor, or, where that is too far, the entry so many further on. */
const nextEnd = async (tx: Sql, cell: number, [epoch, n]: readonly [number, number], cursor: readonly [number, number]): Promise<readonly [number, number]> => {
  const [far] = await tx<{ epoch: number; n: number }[]>`
    select epoch, n from events where cell = ${cell} and (epoch, n) > (${epoch}, ${n}) and (epoch, n) <= (${cursor[0]}, ${cursor[1]}) order by epoch, n offset ${RANGE_ROWS_MAX - 1} limit 1`
  return far ? [far.epoch, far.n] : cursor
}

/**
 * Write a stream to a file as it comes. Each piece (a row) is copied before the next is taken, so the stream never has to hold the socket back:
 * with Bun 1.4.5 a connection of postgres 3.4.9 that was paused once stays silent. Written in large pieces, because a call for each row costs
 * more than all else here.
 */
const written = (from: Readable, file: string): Promise<void> => new Promise((done, broken) => {
  const fd = openSync(file, "w")
  const held = Buffer.allocUnsafe(WRITE_BYTES)
  let used = 0
  const write = (bytes: Buffer) => { for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at) }
  const end = (settle: () => void) => { closeSync(fd); settle() }
  from.on("data", (piece: Buffer) => {
    if (used + piece.length > WRITE_BYTES) {
      write(held.subarray(0, used))
      used = 0
    }
    if (piece.length > WRITE_BYTES) write(piece)
    else used += piece.copy(held, used)
  })
  from.once("error", (fault) => end(() => broken(fault)))
  from.once("end", () => { write(held.subarray(0, used)); end(done) })
})

/** The events of one range as a file of control-separated values, with what Postgres counted of them. */
const copyRange = async (tx: Sql, ranges: readonly { cell: number; from: readonly [number, number]; to: readonly [number, number] }[], file: string): Promise<Counted> => {
  const where = ranges.map(({ cell, from, to }) => `cell = ${cell} and (epoch, n) > (${from[0]}, ${from[1]}) and (epoch, n) <= (${to[0]}, ${to[1]})`).join(" or ")
  // JSON text holds no control character and neither do ids: nothing has to be quoted, and no value is mistaken for two.
  const from = await tx.unsafe(`copy (select cell, epoch, n, act, at_ms, user_no, moves, payload, ref from events where ${where}) to stdout (format csv, delimiter E'\\x1f', quote E'\\x01', escape E'\\x01')`).readable()
  await written(from, file)
  const [counted] = await tx.unsafe<{ rows: string; n: string; at_ms: string; bytes: string }[]>(
    `select count(*)::text as rows, coalesce(sum(n), 0)::text as n, coalesce(sum(at_ms), 0)::text as at_ms, coalesce(sum(length(payload::text)), 0)::text as bytes from events where ${where}`)
  return { rows: Number(counted!.rows), n: counted!.n, at_ms: counted!.at_ms, bytes: counted!.bytes }
}

/** Extract the next range of every cell; false when there is nothing more. */
const extractRange = async ({ lake, duck, time_zone, signal, progress }: Pick<JobParts, "lake" | "duck" | "time_zone" | "signal" | "progress">, sql: Sql): Promise<boolean> => {
  signal.throwIfAborted()
  const last = lake.parts(EVENTS).at(-1)
  const done = (last?.facts["to"] ?? {}) as Cursors
  const part = String(last === undefined ? 1 : Number(last.part) + 1).padStart(PART_DIGITS, "0")
  const file = lake.temp()
  const taken = await sql.begin("isolation level repeatable read read only", async (tx) => {
    const cursors = await tx<{ cell: number; epoch: number; n: number }[]>`select cell, epoch, n from cells order by cell`
    const ranges: { cell: number; from: readonly [number, number]; to: readonly [number, number] }[] = []
    for (const { cell, epoch, n } of cursors) {
      const from = done[cell] ?? [0, -1]
      if (epoch < from[0] || epoch === from[0] && n < from[1]) throw new LakeFault(`the lake has cell ${cell} up to ${from.join("-")} and Postgres only up to ${epoch}-${n}: they are not of one installation`)
      if (epoch === from[0] && n === from[1]) continue
      ranges.push({ cell, from, to: await nextEnd(tx as unknown as Sql, cell, from, [epoch, n]) })
    }
    return ranges.length === 0 ? undefined : { ranges, counted: await copyRange(tx as unknown as Sql, ranges, file) }
  })
  if (taken === undefined) return false
  try {
    progress(`extracting ${taken.counted.rows} events`)
    await duck.run(`create or replace table extracted as
      select *, strftime(timezone(${quoted(time_zone)}, make_timestamptz(at_ms * 1000)), '%Y-%m-%d') as day
      from read_csv(${quoted(file)}, auto_detect = false, header = false, delim = '\x1f', quote = '\x01', escape = '\x01', new_line = '\\n', max_line_size = ${EVENT_BYTES_MAX},
        columns = {${Object.entries(EVENT_COLUMNS).filter(([name]) => name !== "day").map(([name, type]) => `'${name}': '${type}'`).join(", ")}})`)
    const counted = await duck.one<{ rows: number; n: string; at_ms: string; bytes: string }>(
      "select count(*) as rows, coalesce(sum(n), 0)::varchar as n, coalesce(sum(at_ms), 0)::varchar as at_ms, coalesce(sum(length(payload)), 0)::varchar as bytes from extracted")
    if (sides(counted) !== sides(taken.counted)) throw new LakeFault(`Postgres has ${sides(taken.counted)} and what came of it ${sides(counted)}`)
    const days = await duck.all<{ day: string }>("select distinct day from extracted order by day")
    const files: LakeFile[] = []
    for (const { day } of days) {
      files.push(await lake.write(duck, { select: `select * from extracted where day = ${quoted(day)}`, order: "cell, epoch, n", compression: "snappy", folder: `${EVENTS}/${part}`, name: day, day, range: "at_ms", sums: ["n", "at_ms"] }))
    }
    const to = { ...done, ...Object.fromEntries(taken.ranges.map((range) => [range.cell, range.to])) }
    lake.publish({ dataset: EVENTS, part, files, facts: { from: done, to, postgres: taken.counted, parquet: counted, time_zone } })
    return true
  } finally {
    rmSync(file, { force: true })
    await duck.run("drop table if exists extracted")
  }
}

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


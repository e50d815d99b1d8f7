/**
 * The extraction: what the flusher wrote goes to the lake, range by range of the journal's own cursor.
 *
 *   cells' cursors -> what follows the last range -> COPY … TO STDOUT, one snapshot -> text as it came, by business day -> one Parquet file a day -> the range's manifest
 *
 * While DuckDB makes Parquet of one range, Postgres sends the next.
 *
 * What must stay true: a range begins where the one before it ended, in every cell, so no event is in two and none is left out; a crash
 * before the manifest leaves nothing, and the next attempt begins at the same place; what was counted in Postgres and in Parquet must agree, or
 * nothing is published. An event that comes late is in a later range and adds a file to its day, so whoever reads that day has other inputs.
 */
import { appendFileSync, mkdirSync, rmSync } from "node:fs"
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

/** Events of one range, about: what is sorted at once, and what a crash costs again. */
const RANGE_ROWS = 250_000
/** An event as text: what a request may be, and as much again. DuckDB's buffers are 16 of these. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024
/** Text of one day and cell that is held back before it goes to the disk, and how many such pieces there are at once. */
const HELD_BYTES = 64 * 1024, HELD_MAX = 1_024
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

/** A range's events of one business day as text: a file for each cell, in the cells' order; `is_sorted` where every file is in the order of epoch and n. */
interface DayText { readonly day: string; readonly files: readonly string[]; readonly is_sorted: boolean }

/** A range as it came from Postgres, and what was counted there in the same snapshot. */
interface Taken { readonly from: Cursors; readonly to: Cursors; readonly days: readonly DayText[]; readonly counted: Counted }

/**
 * What of each cell is in the next range: its share of `range_rows` by how far its cursor is, so that all of them come to their cursors together
 * and a range is one stretch of the table.
 */
const nextRanges = async (tx: Sql, done: Cursors, range_rows: number): Promise<CellRange[]> => {
  const cursors = await tx<{ cell: number; epoch: number; n: number }[]>`select cell, epoch, n from cells order by cell`
  const lags = cursors.flatMap(({ cell, epoch, n }) => {
    const from = done[cell] ?? [0, -1]
    if (epoch < from[0] || epoch === from[0] && n < from[1]) throw new LakeFault(`the lake has cell ${cell} up to ${from.join("-")} and Postgres only up to ${epoch}-${n}: they are not of one installation`)
    // How many entries an epoch before had is not known here: a guess makes the range larger or smaller, and nothing else.
    return epoch === from[0] && n === from[1] ? [] : [{ cell, from, cursor: [epoch, n] as const, lag: epoch === from[0] ? n - from[1] : n + 1 + range_rows }]
  })
  const all = lags.reduce((sum, { lag }) => sum + lag, 0)
  return Promise.all(lags.map(async ({ cell, from, cursor, lag }) => {
    const rows = Math.ceil(range_rows * lag / Math.max(all, range_rows))
    const [far] = await tx<{ epoch: number; n: number }[]>`
      select epoch, n from events where cell = ${cell} and (epoch, n) > (${from[0]}, ${from[1]}) and (epoch, n) <= (${cursor[0]}, ${cursor[1]}) order by epoch, n offset ${rows - 1} limit 1`
    return { cell, from, to: far ? [far.epoch, far.n] as const : cursor }
  }))
}

const inRanges = (ranges: readonly CellRange[]): string =>
  ranges.map(({ cell, from, to }) => `cell = ${cell} and (epoch, n) > (${from.join(", ")}) and (epoch, n) <= (${to.join(", ")})`).join(" or ")

/** The sign between two values, and the one around a value that has such a sign in it: JSON text has neither, and ids hardly ever. */
const BETWEEN = "\x1f", AROUND = "\x02"
/** The columns as they are sent: what is read here comes first. */
const READ_HERE = ["at_ms", "cell", "epoch", "n"] as const
const SENT = [...READ_HERE, ...Object.keys(EVENT_COLUMNS).filter((name) => name !== "day" && !READ_HERE.some((each) => each === name))] as (keyof typeof EVENT_COLUMNS)[]
const copyOf = (ranges: readonly CellRange[]): string =>
  `copy (select ${SENT.join(", ")} from events where ${inRanges(ranges)}) to stdout (format csv, delimiter E'\\x1f', quote E'\\x02')`

const ZERO = "0".charCodeAt(0), MINUS = "-".charCodeAt(0)
/** The whole numbers that a row begins with, into `numbers`. */
const readNumbers = (row: Buffer, numbers: number[]): void => {
  for (let nth = 0, at = 0; nth < READ_HERE.length; nth++, at++) {
    const is_below = row[at] === MINUS
    if (is_below) at += 1
    let number = 0
    for (let digit = row[at]! - ZERO; digit >= 0 && digit <= 9; digit = row[++at]! - ZERO) number = number * 10 + digit
    numbers[nth] = is_below ? -number : number
  }
}

/** One cell's text of a day, what of it is not on the disk yet, and the entry that came last. */
interface CellText { readonly file: string; held: Buffer | undefined; held_bytes: number; epoch: number; n: number }
interface OpenDay { readonly day: string; readonly opens_ms: number; readonly closes_ms: number; readonly cells: Map<number, CellText>; is_sorted: boolean }

/**
 * Write a range's rows to a file for each day and cell, as they come.
 *
 * A table that is only added to has a cell's rows in their order, and then nobody has to sort them (DuckDB takes 1.1 µs an event for that).
 * The stream never has to hold the socket back: with Bun 1.4.5 a connection of postgres 3.4.9 that was paused once stays silent. So what is
 * held is written before the next row is taken. A row is copied at once: a million that are kept until they are written cost the collector as
 * much as all else.
 */
const written = (from: Readable, folder: string, spanOf: (at_ms: number) => Period): Promise<DayText[]> => new Promise((done, broken) => {
  const days = new Map<string, OpenDay>()
  const numbers = [0, 0, 0, 0]
  let today: OpenDay | undefined
  let held = 0
  const write = (text: CellText): void => {
    if (text.held && text.held_bytes > 0) appendFileSync(text.file, text.held.subarray(0, text.held_bytes))
    text.held_bytes = 0
  }
  const flush = (): void => {
    for (const { cells } of days.values()) {
      for (const text of cells.values()) {
        write(text)
        text.held = undefined
      }
    }
    held = 0
  }
  const dayOf = (at_ms: number): OpenDay => {
    const { period: day, opens_ms, closes_ms } = spanOf(at_ms)
    const known = days.get(day) ?? { day, opens_ms, closes_ms, cells: new Map<number, CellText>(), is_sorted: true }
    days.set(day, known)
    return known
  }
  const take = (row: Buffer): void => {
    readNumbers(row, numbers)
    const [at_ms, cell, epoch, n] = numbers as [number, number, number, number]
    if (!today || at_ms < today.opens_ms || at_ms >= today.closes_ms) today = dayOf(at_ms)
    let text = today.cells.get(cell)
    if (!text) {
      text = { file: join(folder, `${today.day}.${cell}`), held: undefined, held_bytes: 0, epoch, n: -1 }
      today.cells.set(cell, text)
    }
    if (epoch < text.epoch || epoch === text.epoch && n < text.n) today.is_sorted = false
    text.epoch = epoch
    text.n = n
    if (text.held_bytes + row.length > HELD_BYTES) write(text)
    if (row.length > HELD_BYTES) return appendFileSync(text.file, row)
    if (!text.held) {
      if (held === HELD_MAX) flush()
      held += 1
      text.held = Buffer.allocUnsafeSlow(HELD_BYTES)
    }
    text.held.set(row, text.held_bytes)
    text.held_bytes += row.length
  }
  // What cannot be written (a disk that is full) is told at the end: a stream that nobody reads to its end holds the connection for ever.
  let broke: unknown
  const guarded = (work: () => void): void => {
    if (broke !== undefined) return
    try { work() } catch (fault) { broke = fault }
  }
  from.on("data", (row: Buffer) => guarded(() => take(row)))
  from.once("error", broken)
  from.once("end", () => {
    guarded(flush)
    if (broke !== undefined) broken(broke)
    else done([...days.values()].sort((a, b) => a.day < b.day ? -1 : 1).map(({ day, cells, is_sorted }) => ({ day, is_sorted, files: [...cells].sort(([a], [b]) => a - b).map(([, { file }]) => file) })))
  })
})

type Parts = Pick<JobParts, "lake" | "duck" | "time_zone" | "signal" | "progress" | "sql">

/** Take what follows `done` from Postgres, as text in a folder; nothing where there is nothing more. */
const takeRange = async ({ time_zone, signal, sql }: Parts, done: Cursors, range_rows: number, folder: string): Promise<Taken | undefined> => {
  signal.throwIfAborted()
  return sql.begin("isolation level repeatable read read only", async (tx) => {
    // A plan that takes milliseconds is not worth a compiler, and a checkout needs the other processors more.
    await tx`select set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`
    const ranges = await nextRanges(tx as unknown as Sql, done, range_rows)
    if (ranges.length === 0) return undefined
    // Cells lie mixed in the table: in the order of the key its pages are read once for each cell, and as they lie once for all (5.0 and 2.9 µs an
    // event of Postgres' processor time with four cells, 2026-11-22, at a load of 12). DuckDB sorts what came.
    await tx`select set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true)`
    const [counted] = await tx.unsafe<Counted[]>(`select count(*)::integer as rows, coalesce(sum(n), 0)::text as n, coalesce(sum(at_ms), 0)::text as at_ms, coalesce(sum(octet_length(payload::text)), 0)::text as bytes from events where ${inRanges(ranges)}`)
    mkdirSync(folder)
    const days = await written(await tx.unsafe(copyOf(ranges)).readable(), folder, (at_ms) => periodSpan(periodAt(at_ms, "day", time_zone), time_zone))
    return { from: done, to: { ...done, ...Object.fromEntries(ranges.map(({ cell, to }) => [cell, to])) }, days, counted: counted! }
  })
}

/** Make a range's files and its manifest. */
const publishRange = async ({ lake, duck, time_zone, progress }: Parts, part: string, taken: Taken): Promise<void> => {
  progress(`extracting ${taken.counted.rows} events`)
  const files: LakeFile[] = []
  for (const { day, files: texts, is_sorted } of taken.days) {
    files.push(await lake.write(duck, { select: eventsIn(texts, day), ...(is_sorted ? {} : { order: "cell, epoch, n" }), compression: "snappy", folder: `${EVENTS}/${part}`, name: day, day, range: "at_ms", sums: ["n", "at_ms"] }))
  }
  const counted = files.length === 0 ? NOTHING : await duck.one<Counted>(
    `select count(*) as rows, coalesce(sum(n), 0)::varchar as n, coalesce(sum(at_ms), 0)::varchar as at_ms, coalesce(sum(strlen(payload)), 0)::varchar as bytes from read_parquet([${files.map((file) => quoted(lake.place(file))).join(", ")}])`)
  if (sides(counted) !== sides(taken.counted)) throw new LakeFault(`Postgres has ${sides(taken.counted)} and what came of it ${sides(counted)}`)
  lake.publish({ dataset: EVENTS, part, files, facts: { from: taken.from, to: taken.to, postgres: taken.counted, parquet: counted, time_zone } })
}

/** Extract range by range until there is nothing more. */
const extractRanges = async (parts: Parts, range_rows: number): Promise<void> => {
  const last = parts.lake.parts(EVENTS).at(-1)
  let number = last === undefined ? 0 : Number(last.part)
  let done = (last?.facts["to"] ?? {}) as Cursors
  const folders = parts.lake.temp()
  mkdirSync(folders)
  try {
    for (let taken: Taken | undefined, is_first = true; is_first || taken !== undefined; is_first = false) {
      const before = taken, folder = (of: number) => join(folders, String(of))
      // Both come to their end, also where one breaks: neither may go on in a folder that is removed.
      const [next, published] = await Promise.allSettled([
        takeRange(parts, done, range_rows, folder(number + 1)),
        before && publishRange(parts, String(number).padStart(PART_DIGITS, "0"), before),
      ])
      if (published.status === "rejected") throw published.reason
      if (next.status === "rejected") throw next.reason
      rmSync(folder(number), { recursive: true, force: true })
      taken = next.value
      number += 1
      done = taken?.to ?? done
    }
  } finally {
    rmSync(folders, { recursive: true, force: true })
  }
}

const NOTHING: Counted = { rows: 0, n: "0", at_ms: "0", bytes: "0" }

/** The events of a day's text, as SQL. */
const eventsIn = (files: readonly string[], day: string): string => `
  select ${Object.keys(EVENT_COLUMNS).filter((name) => name !== "day").join(", ")}, ${quoted(day)} as day
  from read_csv([${files.map(quoted).join(", ")}], auto_detect = false, header = false, delim = '${BETWEEN}', quote = '${AROUND}', escape = '${AROUND}', new_line = '\\n', max_line_size = ${EVENT_BYTES_MAX},
    columns = {${SENT.map((name) => `'${name}': '${EVENT_COLUMNS[name]}'`).join(", ")}})`

/** Bring the lake's events up to the cursors that there are now. One host at a time; the others wait and find it done. */
export const extractEvents = async (parts: Parts, range_rows = RANGE_ROWS): Promise<void> => {
  const session = await parts.sql.reserve()
  try {
    await session`select pg_advisory_lock(${EXTRACT_LOCK})`
    await extractRanges(parts, range_rows)
  } finally {
    await session`select pg_advisory_unlock(${EXTRACT_LOCK})`
    session.release()
  }
}

/** The files of events of these days, in the order of their ranges. */
export const eventFiles = ({ lake }: Pick<JobParts, "lake">, isWanted: (day: string) => boolean): LakeFile[] =>
  lake.parts(EVENTS).flatMap(({ files }) => files).filter(({ day }) => day !== undefined && isWanted(day))


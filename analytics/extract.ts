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
import { closeSync, mkdirSync, openSync, rmSync, writevSync } from "node:fs"
import { join } from "node:path"
import { getDefaultHighWaterMark, type Readable, setDefaultHighWaterMark } from "node:stream"
import type { Sql } from "postgres"
import { quoted } from "./duck.ts"
import type { JobParts } from "./job.ts"
import { canonical, type LakeFile, LakeFault, type Manifest } from "./lake.ts"
import { type Period, periodAt, periodSpan } from "./periods.ts"

export const EVENTS = "events"

/** The columns of an event in the lake. `moves` and `payload` are JSON as text. */
export const EVENT_COLUMNS = {
  cell: "INTEGER", epoch: "INTEGER", n: "BIGINT", act: "VARCHAR", at_ms: "BIGINT", user_no: "INTEGER", moves: "VARCHAR", payload: "VARCHAR", ref: "VARCHAR", day: "VARCHAR",
} as const

/** Events of one range at most, about: what becomes Parquet while Postgres sends the next, and what a crash costs again. */
const RANGE_ROWS = 250_000
/**
 * The first range and the last are waited for alone, so they are small, of this part of the most: 2.6 µs an event where it was 3.0 with all ranges alike (2026-11-23).
 * All of them so small would be as fast, but every reader of the lake reads every part's manifest.
 */
const RANGE_LEAST = 1 / 4
/** A range is at most so much of what there is, so the last ones become smaller, and so many times the one before. */
const RANGE_PART = 1 / 4, RANGE_GROWS = 2
/** An event as text: what a request may be, and as much again. DuckDB's buffers are 16 of these. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024
/**
 * Events that Postgres sends as one row: a message for each costs both sides 1 µs an event. Twice as many are no faster (1.5 and 1.4 µs of Postgres' time an
 * event of 410 bytes, 2.1 and 1.8 of 1,200), because a longer text is memory that it asks the kernel for anew.
 */
const PAGE_ROWS = 100
/** Threads that make Parquet. One keeps up with Postgres (1.6 and 1.9 µs an event); two wait for each other's row groups by looking, for 0.5 µs of a processor's time an event, which Postgres and the reading of its text need. */
const THREADS = 1
/**
 * Text of one file, and of all, that is held back before it goes to the disk. A page at a time costs the kernel 0.27 µs an event with what it has to forget in the
 * end, four to six at a time 0.16.
 */
const HELD_BYTES = 256 * 1024, HELD_BYTES_MAX = 64 * 1024 * 1024
/** The lock under which one host extracts at a time: any number that nobody else takes. */
const EXTRACT_LOCK = 7_370_198
const PART_DIGITS = 12

/** cell -> the last entry that a range holds of it. */
type Cursors = Readonly<Record<string, readonly [epoch: number, n: number]>>

/** What was counted on each side of a range: rows, sums of `n` and `at_ms`, and the bytes of all payloads. */
interface Counted { readonly rows: number; readonly n: string; readonly at_ms: string; readonly bytes: string }

const sides = (counted: Counted): string => `${counted.rows} rows, Σn ${counted.n}, Σat_ms ${counted.at_ms}, ${counted.bytes} bytes`

/** How many events the next range may have. */
interface RangeRows { readonly least: number; readonly most: number }

/** One cell's part of a range: up to which entry it goes, and its entries, all of one epoch, where there are any. */
interface CellRange { readonly cell: number; readonly to: readonly [epoch: number, n: number]; readonly entries?: { readonly epoch: number; readonly least: number; readonly most: number } | undefined }

/** A range's events of one business day as text: a file for each cell and epoch, in their order, its events in that of n. */
interface DayText { readonly day: string; readonly files: readonly string[] }

/** A range as it came from Postgres, and what was counted there in the same snapshot. */
interface Taken { readonly from: Cursors; readonly to: Cursors; readonly days: readonly DayText[]; readonly counted: Counted }

/**
 * What of each cell is in the next range: its share of the range's rows by how far its cursor is, so that all of them come to their cursors together
 * and a range is one stretch of the table.
 */
const nextRanges = async (tx: Sql, done: Cursors, { least, most }: RangeRows): Promise<CellRange[]> => {
  const cursors = await tx<{ cell: number; epoch: number; n: number }[]>`select cell, epoch, n from cells order by cell`
  const lags = cursors.flatMap(({ cell, epoch, n }) => {
    const from = done[cell] ?? [0, -1]
    if (epoch < from[0] || epoch === from[0] && n < from[1]) throw new LakeFault(`the lake has cell ${cell} up to ${from.join("-")} and Postgres only up to ${epoch}-${n}: they are not of one installation`)
    // How many entries an epoch before had is not known here: a guess makes the range larger or smaller, and nothing else.
    return epoch === from[0] && n === from[1] ? [] : [{ cell, from, cursor: [epoch, n] as const, lag: epoch === from[0] ? n - from[1] : n + 1 + most }]
  })
  const all = lags.reduce((sum, { lag }) => sum + lag, 0)
  const range_rows = Math.min(most, Math.max(least, all * RANGE_PART))
  return Promise.all(lags.map(async ({ cell, from, cursor, lag }) => {
    // Entries are numbered one by one, so a range is found by its two ends: counting its rows took 0.2 µs an event (2026-11-23).
    const rows = Math.ceil(range_rows * lag / Math.max(all, range_rows))
    const [entries] = await tx<NonNullable<CellRange["entries"]>[]>`
      select epoch, n as least, (select max(n) from events where cell = ${cell} and epoch = first.epoch and n < first.n + ${rows} and (epoch, n) <= (${cursor[0]}, ${cursor[1]})) as most
      from (select epoch, n from events where cell = ${cell} and (epoch, n) > (${from[0]}, ${from[1]}) and (epoch, n) <= (${cursor[0]}, ${cursor[1]}) order by epoch, n limit 1) as first`
    return { cell, to: entries ? [entries.epoch, entries.most] as const : cursor, entries }
  }))
}

/** The sign between two values. JSON text holds no control character and neither do ids: nothing has to be quoted, and no value is mistaken for two. Where one did, the two sides would not agree. */
const BETWEEN = "\x1f"
/** The columns as they are sent: the instant first, where its digits are found without looking, the largest last, which is copied least. */
const SENT = ["at_ms", "n", "act", "user_no", "ref", "moves", "payload"] as const
/** The columns of which a page has one value, as the folders of its file say it. */
const IN_NAMES = ["cell", "epoch"] as const

/**
 * A range's events as one COPY: a row for each page of them, with its cell and epoch, what Postgres counted of it in the same pass, and its text.
 *
 * The text is bytes: `json_send` gives a value as it lies there, where `::text` copies it twice, and one `format` is cheaper than eleven `||`: 1.4 µs an
 * event with all else, and not 2.1 (2026-11-23). Cells lie mixed in the table, so their pages are taken in turn: what one has brought into memory the others
 * find there.
 */
const copyPages = (ranges: readonly CellRange[]): string => {
  const stretches = ranges.flatMap(({ cell, entries }) => entries ? [{ cell, ...entries, pages: Math.ceil((entries.most - entries.least + 1) / PAGE_ROWS) }] : [])
  const [last, ...before] = [...SENT].reverse()
  return `copy (
  select concat_ws(' ', stretch.cell, stretch.epoch, page.counted) as counted, page.body
  from generate_series(0, ${Math.max(...stretches.map(({ pages }) => pages)) - 1}) as turn (nth)
  cross join lateral (
    select * from (values ${stretches.map(({ cell, epoch, least, most, pages }) => `(${cell}, ${epoch}, ${least}::bigint, ${most}::bigint, ${pages})`).join(", ")}) as each (cell, epoch, least, most, pages) where turn.nth < pages offset 0
  ) as stretch
  cross join lateral (
    select count(*) as rows, concat_ws(' ', count(*), sum(n), sum(at_ms), sum(octet_length(${last})), min(at_ms), max(at_ms)) as counted,
      string_agg(textsend(format(E'${before.map(() => "%s\\x1f").join("")}', ${before.reverse().join(", ")})) || ${last}, '\\x0a') || '\\x0a'::bytea as body
    from (
      select ${before.join(", ")}, coalesce(json_send(${last}), '') as ${last} from events
      where cell = stretch.cell and epoch = stretch.epoch and n >= stretch.least + turn.nth * ${PAGE_ROWS} and n < stretch.least + (turn.nth + 1) * ${PAGE_ROWS} and n <= stretch.most order by n
    ) as in_order
  ) as page where page.rows > 0
) to stdout (format binary)`
}

/** The head of Postgres' binary COPY, before the first row: signature, flags, and nothing more. */
const COPY_HEAD_BYTES = 19
const ZERO = "0".charCodeAt(0), MINUS = "-".charCodeAt(0), NEWLINE = "\n".charCodeAt(0)
/** The whole number that stands at a place of a text. */
const numberAt = (text: Buffer, place: number): number => {
  const is_below = text[place] === MINUS
  let number = 0, at = is_below ? place + 1 : place
  for (let digit = text[at]! - ZERO; digit >= 0 && digit <= 9; digit = text[++at]! - ZERO) number = number * 10 + digit
  return is_below ? -number : number
}

/** A cell's and epoch's file of a day, and what of it is not on the disk yet. */
interface CellText { readonly cell: number; readonly epoch: number; readonly file: string; held: Buffer[]; held_bytes: number }
/** A business day of a range with its files, by cell and epoch. */
interface OpenDay { readonly day: string; readonly opens_ms: number; readonly closes_ms: number; readonly texts: Map<string, CellText> }

/** Write what is held of a file behind what is there. */
const write = (text: CellText): void => {
  if (text.held_bytes === 0) return
  const fd = openSync(text.file, "a")
  try { writevSync(fd, text.held) } finally { closeSync(fd) }
  text.held = []
  text.held_bytes = 0
}

/**
 * Write a range's pages to a file for each day, cell and epoch, as they come, and add up what was counted.
 *
 * An epoch's pages come in their order, so that nobody has to sort events (DuckDB takes 1.1 µs each for that). The stream never has to hold the
 * socket back: with Bun 1.4.5 a connection of postgres 3.4.9 that was paused once stays silent. So what is held is written before the next page is taken.
 */
const written = (from: Readable, folder: string, spanOf: (at_ms: number) => Period): Promise<Pick<Taken, "days" | "counted">> => new Promise((done, broken) => {
  const days = new Map<string, OpenDay>()
  let today: OpenDay | undefined
  let rows = 0, n = 0n, at_ms = 0n, bytes = 0n, is_first = true
  let held_bytes = 0
  const flush = (): void => {
    for (const { texts } of days.values()) for (const text of texts.values()) write(text)
    held_bytes = 0
  }
  const dayOf = (instant_ms: number): OpenDay => {
    if (today && instant_ms >= today.opens_ms && instant_ms < today.closes_ms) return today
    const { period: day, opens_ms, closes_ms } = spanOf(instant_ms)
    today = days.get(day) ?? { day, opens_ms, closes_ms, texts: new Map() }
    days.set(day, today)
    return today
  }
  const put = ({ day, texts }: OpenDay, cell: number, epoch: number, lines: Buffer): void => {
    const name = `cell=${cell}/epoch=${epoch}`
    let text = texts.get(name)
    if (!text) {
      mkdirSync(join(folder, day, name), { recursive: true })
      text = { cell, epoch, file: join(folder, day, name, "events"), held: [], held_bytes: 0 }
      texts.set(name, text)
    }
    text.held.push(lines)
    text.held_bytes += lines.length
    held_bytes += lines.length
    if (held_bytes >= HELD_BYTES_MAX) return flush()
    if (text.held_bytes < HELD_BYTES) return
    held_bytes -= text.held_bytes
    write(text)
  }
  const take = (message: Buffer): void => {
    let at = is_first ? COPY_HEAD_BYTES : 0
    is_first = false
    if (message.readInt16BE(at) === -1) return // the end
    const counts_end = at + 6 + message.readInt32BE(at + 2)
    const counts = message.toString("latin1", at + 6, counts_end).split(" ")
    const body = message.subarray(counts_end + 4)
    const [cell, epoch, least_ms, most_ms] = [Number(counts[0]), Number(counts[1]), Number(counts[6]), Number(counts[7])]
    rows += Number(counts[2])
    n += BigInt(counts[3]!)
    at_ms += BigInt(counts[4]!)
    bytes += BigInt(counts[5]!)
    const day = dayOf(least_ms)
    if (most_ms < day.closes_ms) return put(day, cell, epoch, body)
    // Midnight is in this page.
    for (let from = 0, row = 0; row < body.length;) {
      const day = dayOf(numberAt(body, row))
      row = body.indexOf(NEWLINE, row) + 1
      if (row < body.length && dayOf(numberAt(body, row)) === day) continue
      put(day, cell, epoch, body.subarray(from, row))
      from = row
    }
  }
  // What cannot be written (a disk that is full) is told at the end: a stream that nobody reads to its end holds the connection for ever.
  let broke: unknown
  const guarded = (work: () => void): void => {
    if (broke !== undefined) return
    try { work() } catch (fault) { broke = fault }
  }
  from.on("data", (message: Buffer) => guarded(() => take(message)))
  from.once("error", broken)
  from.once("end", () => {
    guarded(flush)
    if (broke !== undefined) return broken(broke)
    done({
      days: [...days.values()].sort((a, b) => a.day < b.day ? -1 : 1).map(({ day, texts }) => ({ day, files: [...texts.values()].sort((a, b) => a.cell - b.cell || a.epoch - b.epoch).map(({ file }) => file) })),
      counted: { rows, n: String(n), at_ms: String(at_ms), bytes: String(bytes) },
    })
  })
})

/** What a stream of a COPY holds before it pauses its connection: more than comes before its reader is there. */
const COPY_HELD_BYTES = 2 ** 30

/**
 * Begin to read a COPY. All of a small one may come in one piece with its beginning, before anybody reads: beyond what a stream usually holds that
 * paused the connection for good, and the job waited for its commit for ever (2026-11-22, load 14).
 */
const reading = async (copy: () => Promise<Readable>): Promise<Readable> => {
  const usual_bytes = getDefaultHighWaterMark(false)
  setDefaultHighWaterMark(false, COPY_HELD_BYTES)
  try {
    return await copy()
  } finally {
    setDefaultHighWaterMark(false, usual_bytes)
  }
}

type Parts = Pick<JobParts, "lake" | "duck" | "time_zone" | "signal" | "progress" | "sql">

/** Take what follows `done` from Postgres, as text in a folder; nothing where there is nothing more. */
const takeRange = async ({ time_zone, signal, sql }: Parts, done: Cursors, rows: RangeRows, folder: string): Promise<Taken | undefined> => {
  signal.throwIfAborted()
  return sql.begin("isolation level repeatable read read only", async (tx) => {
    // A plan that takes milliseconds is not worth a compiler, and a checkout needs the other processors more.
    await tx`select set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`
    const ranges = await nextRanges(tx as unknown as Sql, done, rows)
    if (ranges.length === 0) return undefined
    await tx`select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`
    mkdirSync(folder)
    const found = ranges.every(({ entries }) => !entries) ? { days: [], counted: NOTHING }
      : await written(await reading(() => tx.unsafe(copyPages(ranges)).readable()), folder, (at_ms) => periodSpan(periodAt(at_ms, "day", time_zone), time_zone))
    return { from: done, to: { ...done, ...Object.fromEntries(ranges.map(({ cell, to }) => [cell, to])) }, ...found }
  })
}

/** Make a range's files and its manifest. */
const publishRange = async ({ lake, duck, time_zone, progress }: Parts, part: string, taken: Taken): Promise<void> => {
  progress(`extracting ${taken.counted.rows} events`)
  const files: LakeFile[] = []
  for (const { day, files: texts } of taken.days) {
    files.push(await lake.write(duck, { select: eventsIn(texts, day), form: "quick", folder: `${EVENTS}/${part}`, name: day, day, range: "at_ms", sums: ["n", "at_ms"] }))
  }
  const counted = files.length === 0 ? NOTHING : await duck.one<Counted>(
    `select count(*) as rows, coalesce(sum(n), 0)::varchar as n, coalesce(sum(at_ms), 0)::varchar as at_ms, coalesce(sum(strlen(payload)), 0)::varchar as bytes from read_parquet([${files.map((file) => quoted(lake.place(file))).join(", ")}])`)
  if (sides(counted) !== sides(taken.counted)) throw new LakeFault(`Postgres has ${sides(taken.counted)} and what came of it ${sides(counted)}`)
  lake.publish({ dataset: EVENTS, part, files, facts: { from: taken.from, to: taken.to, postgres: taken.counted, parquet: counted, time_zone } })
}

/** The last range, or nothing where there is none. Throws LakeFault where one does not begin where the one before it ended. */
const lastRange = (lake: JobParts["lake"]): Manifest | undefined => {
  let last: Manifest | undefined
  for (const range of lake.parts(EVENTS)) {
    if (canonical(range.facts["from"]) !== canonical(last?.facts["to"] ?? {})) {
      throw new LakeFault(`${EVENTS}/${range.part} does not begin where ${last ? `${EVENTS}/${last.part} ends` : "the journal does"}: what lay between is gone. Bring it back from a copy, or remove ${EVENTS}/${range.part} and all that follow: they are extracted anew.`)
    }
    last = range
  }
  return last
}

/** Extract range by range until there is nothing more. */
const extractRanges = async (parts: Parts, range_rows: number): Promise<void> => {
  const last = lastRange(parts.lake)
  const least = Math.ceil(range_rows * RANGE_LEAST)
  let number = last === undefined ? 0 : Number(last.part)
  let done = (last?.facts["to"] ?? {}) as Cursors
  const folders = parts.lake.temp()
  mkdirSync(folders)
  try {
    for (let taken: Taken | undefined, most = least; ; most = Math.min(range_rows, most * RANGE_GROWS)) {
      const before = taken, folder = (of: number) => join(folders, String(of))
      // Both come to their end, also where one breaks: neither may go on in a folder that is removed.
      const [next, published] = await Promise.allSettled([
        takeRange(parts, done, { least, most }, folder(number + 1)),
        before && publishRange(parts, String(number).padStart(PART_DIGITS, "0"), before),
      ])
      if (published.status === "rejected") throw published.reason
      if (next.status === "rejected") throw next.reason
      rmSync(folder(number), { recursive: true, force: true })
      taken = next.value
      if (!taken) return
      number += 1
      done = taken.to
    }
  } finally {
    rmSync(folders, { recursive: true, force: true })
  }
}

const NOTHING: Counted = { rows: 0, n: "0", at_ms: "0", bytes: "0" }

/** The events of a day's text, as SQL. Cell and epoch are in the names of a file's folders, which costs nothing for each event. */
const eventsIn = (files: readonly string[], day: string): string => `
  select ${Object.keys(EVENT_COLUMNS).filter((name) => name !== "day").join(", ")}, ${quoted(day)} as day
  from read_csv([${files.map(quoted).join(", ")}], auto_detect = false, header = false, delim = '${BETWEEN}', quote = '', escape = '', new_line = '\\n', max_line_size = ${EVENT_BYTES_MAX},
    columns = {${SENT.map((name) => `'${name}': '${EVENT_COLUMNS[name]}'`).join(", ")}}, hive_partitioning = true, hive_types = {${IN_NAMES.map((name) => `'${name}': '${EVENT_COLUMNS[name]}'`).join(", ")}})`

/** Bring the lake's events up to the cursors that there are now. One host at a time; the others wait and find it done. */
export const extractEvents = async (parts: Parts, range_rows = RANGE_ROWS): Promise<void> => {
  const session = await parts.sql.reserve()
  const { threads } = await parts.duck.one<{ threads: number }>("select current_setting('threads') as threads")
  try {
    await session`select pg_advisory_lock(${EXTRACT_LOCK})`
    await parts.duck.run(`set threads = ${THREADS}`)
    await extractRanges(parts, range_rows)
  } finally {
    await parts.duck.run(`set threads = ${threads}`)
    await session`select pg_advisory_unlock(${EXTRACT_LOCK})`
    session.release()
  }
}

/** The files of events of these days, in the order of their ranges. */
export const eventFiles = ({ lake }: Pick<JobParts, "lake">, isWanted: (day: string) => boolean): LakeFile[] =>
  lake.parts(EVENTS).flatMap(({ files }) => files).filter(({ day }) => day !== undefined && isWanted(day))


/**
 * The flusher: it moves what the cells have decided from their journals to Postgres.
 *
 * What must stay true:
 * - Exactly once. The cursor moves in the transaction that writes the rows, and the stream is trimmed only after its commit: a crash
 *   between any two steps leaves a batch that is read again or not at all.
 * - No entry is passed over. A hole, a stale epoch or a lost tail stops its cell and is named; other cells go on. An
 *   entry that cannot be read or that Postgres will not have is quarantined in the same transaction.
 * - Two flushers cannot hurt each other: each batch begins at the cursor of a locked row, or is given up.
 *
 * Measured 2026-11-22 on 2 cores that were busy with other work (load 11): 6,540 entries a second of issue, reserve and confirm, 952 bytes
 * each in Redis, at 44 µs of our CPU and 40 µs of Postgres's an entry, in batches of FLUSH_BATCH_MAX.
 */
import { Redis } from "ioredis"
import { faultFields, type Log } from "../log.ts"
import { journalKey } from "../../lua/keys.ts"
import { withinWait } from "../store/away.ts"
import type { Used } from "../quota/refill.ts"
import { ask, type Servers } from "../store/redis.ts"
import type { Sql } from "../store/postgres.ts"
import { compareIds, idOf, rawOf, readEntry, textOf, type Entry, type EntryId, type Newer, type RawEntry } from "./entry.ts"
import { foldRuns, orderOf, type Allotment, type Batch, type Disorder, type Order, type Readable } from "./fold.ts"
import { lockCells, numberUsers, Unwritable, writeBatch, type LockedCell } from "./write_batch.ts"

/** Entries of one cell in one transaction at most. */
export const FLUSH_BATCH_MAX = 1_000
/** Bytes of one cell's entries in one transaction, about: large orders make small batches. */
const FLUSH_BATCH_BYTES = 8 * 1024 * 1024
/** Of a cell that had nothing more the last time so many are read at least. */
const GLANCE_MIN = 16
/** How much of what is flushed stays in the streams, over all cells, to feed a Postgres that has lost its last seconds. */
export const JOURNAL_KEEP_BYTES = 64 * 1024 * 1024
/** The stream is trimmed each time so many more entries can go: a call to Redis for each flush would be one too many. */
const TRIM_EVERY_ENTRIES = 1_000
/** A batch that takes longer hangs on a connection that is gone: the next begins at the cursor on another. */
const FLUSH_MS_MAX = 30_000
/** An entry's size before any was seen. */
const ENTRY_BYTES_GUESS = 1_000
/** A transaction that met another (40P01, 40001) is tried so often. */
const CONFLICT_TRIES_MAX = 5
/** Users whose numbers are remembered; all are forgotten when there are more. */
const USERS_KNOWN_MAX = 100_000
/** Epochs that are looked back through to find where to trim. */
const TRIM_EPOCHS_MAX = 64

/** What is known of a cell between two flushes. All of it can be lost and is found again. */
export interface CellFlush {
  readonly cell: number
  /** Undefined: to be read from Postgres. */
  cursor: EntryId | undefined
  at_ms: number
  entry_bytes: number
  flushed_since_trim: number
  /** The last reading took as many entries as it may: there is more. */
  is_full: boolean
  /** What follows the reading that is being written now, read and unpacked meanwhile. */
  ahead: { readonly from: EntryId; readonly reading: Promise<Reading> } | undefined
}

/** Numbers of users that Postgres has committed; the value is negative while the user's id is not known there. */
export type KnownUsers = Map<string, number>

/** The two moments at which a crash leaves work half done: a test throws in them. */
export interface Steps {
  readonly beforeCommit?: () => void
  readonly afterCommit?: () => void
}

export interface FlushParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly log: Log
  /** How many cells share JOURNAL_KEEP_BYTES. */
  readonly cells: number
  readonly known: KnownUsers
  readonly steps?: Steps
}

/** What stops a cell until a person has looked. */
export class JournalFault extends Error {
  override readonly name = "JournalFault"
  constructor(readonly cell: number, readonly disorder: Disorder | { readonly fault: "cell_unknown" | "newer_format"; readonly expected: string; readonly found: string }) {
    super(`cell ${cell}: ${disorder.fault}: expected ${disorder.expected}, found ${disorder.found}`)
  }
}

export interface Flushed {
  readonly entries: number
  readonly bytes: number
  readonly quarantined: number
  /** The instant of the oldest entry that was flushed: the lag was as old as it. 0 when nothing was. */
  readonly oldest_ms: number
  /** Whether there was more than one batch takes. */
  readonly is_full: boolean
  /** What the cells' leases have been used for, by the entries that were flushed. */
  readonly used: readonly Used[]
  /** Cells that are stopped, and why. */
  readonly faults: readonly JournalFault[]
}

/** A cell about which nothing is known yet. */
export const newCellFlush = (cell: number): CellFlush => ({ cell, cursor: undefined, at_ms: 0, entry_bytes: ENTRY_BYTES_GUESS, flushed_since_trim: 0, is_full: false, ahead: undefined })

interface Reading { readonly state: CellFlush; readonly cursor: EntryId; readonly entries: readonly Readable[]; readonly newer?: Newer; readonly is_full: boolean }

const readCursor = async (sql: Sql, cell: number): Promise<{ cursor: EntryId; at_ms: number } | undefined> => {
  const [row] = await sql<{ epoch: number; n: number; at_ms: number }[]>`select epoch, n, at_ms from cells where cell = ${cell}`
  return row && { cursor: { epoch: row.epoch, n: row.n }, at_ms: row.at_ms }
}

/** A cell's cursor: as it is known, or as Postgres has it. */
const cursorOf = async (sql: Sql, state: CellFlush): Promise<EntryId> => {
  if (!state.cursor) {
    const found = await readCursor(sql, state.cell)
    if (!found) throw new JournalFault(state.cell, { fault: "cell_unknown", expected: "a cursor", found: "none" })
    state.cursor = found.cursor
    state.at_ms = found.at_ms
  }
  return state.cursor
}

const readingOf = (state: CellFlush, cursor: EntryId, raw: readonly RawEntry[], count: number): Reading => {
  const entries: Readable[] = []
  state.is_full = raw.length === count
  for (const each of raw) {
    const read = readEntry(each)
    if ("newer" in read) return { state, cursor, entries, newer: read.newer, is_full: false }
    entries.push(read)
  }
  return { state, cursor, entries, is_full: state.is_full }
}

const readFrom = async ({ redis }: FlushParts, state: CellFlush, cursor: EntryId): Promise<Reading> => {
  const count = Math.max(1, Math.min(FLUSH_BATCH_MAX, Math.floor(FLUSH_BATCH_BYTES / state.entry_bytes)))
  const raw = await ask(redis, journalKey(state.cell), (node) => node.xrangeBuffer(journalKey(state.cell), `(${textOf(cursor)}`, "+", "COUNT", count)) as unknown as RawEntry[]
  return readingOf(state, cursor, raw, count)
}

/** Read what follows a cell's cursor, or take what was read of it ahead. */
const readOn = async (parts: FlushParts, state: CellFlush): Promise<Reading> => {
  const cursor = await cursorOf(parts.sql, state), { ahead } = state
  state.ahead = undefined
  return ahead && compareIds(ahead.from, cursor) === 0 ? ahead.reading : readFrom(parts, state, cursor)
}

/**
 * Begin to read what follows a full reading, while Postgres writes that. It is written only if the cursor is then where it begins, and
 * kept for the next batch alone.
 */
const readAhead = (parts: FlushParts, { state, entries, newer, is_full }: Reading): void => {
  const last = entries.at(-1)
  if (!is_full || newer || !last) return
  const from = "entry" in last ? last.entry.id : last.unreadable.id
  const reading = readFrom(parts, state, from)
  reading.catch(() => undefined) // heard by whoever takes it
  state.ahead = { from, reading }
}

/**
 * Look at many cells of one server in one call, a little of each: where 64 are read one by one, asking them for nothing was two thirds
 * of what Redis did while nobody came (2026-11-22). A cell that has more is read alone the next time.
 */
const glance = async ({ redis, sql }: FlushParts, states: readonly CellFlush[], entries_max: number): Promise<Reading[]> => {
  const cursors = await Promise.all(states.map((state) => cursorOf(sql, state)))
  const keys = states.map(({ cell }) => journalKey(cell)), count = Math.max(GLANCE_MIN, Math.floor(entries_max / states.length))
  const reply = await ask(redis, keys[0]!, (node) => node.xreadBuffer("COUNT", count, "STREAMS", ...keys, ...cursors.map(textOf)))
  const found = new Map((reply ?? []).map(([key, raw]) => [key.toString("latin1"), raw as unknown as RawEntry[]]))
  return states.map((state, i) => readingOf(state, cursors[i]!, found.get(keys[i]!) ?? [], count))
}

/** What follows the cursors of some cells; of each a reading, or why there is none. */
const readAll = async (parts: FlushParts, states: readonly CellFlush[]): Promise<PromiseSettledResult<Reading[]>[]> => {
  const isOne = parts.redis instanceof Redis || !parts.redis.is_cluster
  // A cursor that is not known may not be there at all, which concerns its cell alone.
  const idle = isOne ? states.filter(({ cursor, is_full, ahead }) => cursor !== undefined && !is_full && !ahead) : []
  const alone = idle.length > 1 ? states.filter((state) => !idle.includes(state)) : states
  return Promise.allSettled([
    ...(idle.length > 1 ? [glance(parts, idle, FLUSH_BATCH_MAX)] : []), ...alone.map(async (state) => [await readOn(parts, state)]),
  ])
}

const bytesOf = (read: Readable): number => "entry" in read ? read.entry.bytes : read.unreadable.bytes

const hasCode = (fault: unknown, pattern: RegExp): boolean => {
  const code = (fault as { code?: unknown } | null)?.code
  return typeof code === "string" && pattern.test(code)
}
const isConflict = (fault: unknown): boolean => hasCode(fault, /^40(P01|001)$/)
/** Postgres refuses what the rows say (class 22, data; 23, constraints), which no repeat mends. */
const isRefusedData = (fault: unknown): boolean => fault instanceof Unwritable || hasCode(fault, /^2[23]/)

interface Written {
  readonly runs: readonly ({ locked: LockedCell; reading: Reading } & Order)[]
  readonly batch: Batch
  readonly numbers: ReadonlyMap<string, number>
}

/** One transaction over some cells. A cell whose cursor is not where it was read is left out. */
const commitReadings = async (parts: FlushParts, readings: readonly Reading[]): Promise<Written> => {
  const { sql, known, steps } = parts
  const written = await sql.begin("read write", async (tx) => {
    const locked = await lockCells(tx, readings.map(({ state }) => state.cell).sort((a, b) => a - b))
    const runs = locked.flatMap((each) => {
      const reading = readings.find(({ state }) => state.cell === each.cell)!
      if (compareIds(each.cursor, reading.cursor) !== 0) {
        reading.state.cursor = undefined
        return []
      }
      return [{ locked: each, reading, ...orderOf(each.cursor, reading.entries, each.allotments) }]
    })
    const batch = foldRuns(runs.filter(({ count }) => count > 0).map(({ locked: { cell, at_ms }, reading, count }) => ({ cell, at_ms, entries: reading.entries.slice(0, count) })))
    if (batch.cursors.length === 0) return { runs, batch, numbers: new Map<string, number>() }
    const asked = new Map([...batch.users].filter(([hash, id]) => {
      const number = known.get(hash)
      return number === undefined || (number < 0 && id !== null)
    }))
    const numbers = await numberUsers(tx, asked)
    const relearned = runs.flatMap(({ locked: { cell }, relearned }) => relearned.map((allotment: Allotment) => ({ cell, allotment })))
    await writeBatch(tx, batch, relearned, (hash) => Math.abs(numbers.get(hash) ?? known.get(hash)!))
    steps?.beforeCommit?.()
    return { runs, batch, numbers }
  })
  steps?.afterCommit?.()
  return written
}

const withRetries = async <T>(work: () => Promise<T>): Promise<T> => {
  for (let tries = 1; ; tries += 1) {
    try { return await work() } catch (fault) {
      if (tries === CONFLICT_TRIES_MAX || !isConflict(fault)) throw fault
    }
  }
}

/** The same reading with its first entry taken for unreadable: Postgres will not have it. */
const condemned = (reading: Reading, { id, bytes }: Entry, raw: RawEntry, reason: string): Reading =>
  ({ ...reading, entries: [{ unreadable: { id, bytes, raw: rawOf(raw), reason } }] })

/**
 * Write readings, and where Postgres refuses what they say, look for the entry it refuses: cells one by one, then half of the
 * entries, down to the one that goes to quarantine.
 */
const writeReadings = async (parts: FlushParts, readings: readonly Reading[]): Promise<Written[]> => {
  try {
    return [await withRetries(() => commitReadings(parts, readings))]
  } catch (fault) {
    if (!isRefusedData(fault)) throw fault
    if (readings.length > 1) {
      const written: Written[] = []
      for (const reading of readings) written.push(...await writeReadings(parts, [reading]))
      return written
    }
    const reading = readings[0]!
    if (reading.entries.length > 1) return writeReadings(parts, [{ ...reading, entries: reading.entries.slice(0, Math.ceil(reading.entries.length / 2)), is_full: true }])
    const read = reading.entries[0]!
    if ("unreadable" in read) throw fault // it goes to quarantine already: the fault lies elsewhere
    const id = textOf(read.entry.id)
    const [raw] = await ask(parts.redis, journalKey(reading.state.cell), (node) => node.xrangeBuffer(journalKey(reading.state.cell), id, id)) as unknown as RawEntry[]
    if (!raw) throw fault
    const reason = fault instanceof Error ? fault.message : String(fault)
    return [await withRetries(() => commitReadings(parts, [condemned(reading, read.entry, raw, reason)]))]
  }
}

/** The id below which a stream is trimmed: so many entries behind the cursor, through the epochs before it. */
export const trimPoint = (cursor: EntryId, keep: number, allotments: readonly Allotment[]): EntryId | undefined => {
  let { epoch, n } = cursor
  let left = keep
  for (let i = 0; i < TRIM_EPOCHS_MAX; i += 1) {
    if (n >= left) return { epoch, n: n - left }
    left -= n + 1
    const before = allotments.find((each) => each.epoch === epoch)
    if (!before || before.tail.epoch === 0) return undefined
    ;({ epoch, n } = before.tail)
  }
  return undefined
}

const trim = async ({ redis, sql, cells }: FlushParts, state: CellFlush): Promise<void> => {
  if (!state.cursor) return
  const keep = Math.floor(JOURNAL_KEEP_BYTES / cells / state.entry_bytes)
  state.flushed_since_trim = 0
  const key = journalKey(state.cell)
  const trimTo = (id: EntryId) => ask(redis, key, (node) => node.xtrim(key, "MINID", "~", textOf(id)))
  if (state.cursor.n >= keep) {
    await trimTo({ epoch: state.cursor.epoch, n: state.cursor.n - keep })
    return
  }
  const rows = await sql<{ epoch: number; tail: string }[]>`select epoch, tail from epochs where cell = ${state.cell} order by epoch desc limit ${TRIM_EPOCHS_MAX}`
  const point = trimPoint(state.cursor, keep, rows.map(({ epoch, tail }) => ({ epoch, tail: idOf(tail) })))
  if (point) await trimTo(point)
}

const flushBatch = async (parts: FlushParts, states: readonly CellFlush[]): Promise<Flushed> => {
  const { known, log } = parts
  const faults: JournalFault[] = []
  const readings: Reading[] = []
  for (const result of await readAll(parts, states)) {
    if (result.status === "fulfilled") readings.push(...result.value)
    else if (result.reason instanceof JournalFault) faults.push(result.reason)
    else throw result.reason
  }
  for (const { state: { cell }, newer, entries } of readings) {
    if (newer && entries.length === 0) faults.push(new JournalFault(cell, { fault: "newer_format", expected: `${textOf(newer.id)} in our format`, found: `format ${newer.format}` }))
  }
  const busy = readings.filter(({ entries }) => entries.length > 0)
  if (busy.length === 0) return { entries: 0, bytes: 0, quarantined: 0, oldest_ms: 0, is_full: false, used: [], faults }

  for (const reading of busy) readAhead(parts, reading)
  let entries = 0, bytes = 0, quarantined = 0, oldest_ms = 0
  const used: Used[] = []
  for (const { runs, batch, numbers } of await writeReadings(parts, busy)) {
    if (known.size + numbers.size > USERS_KNOWN_MAX) known.clear()
    for (const [hash, number] of numbers) known.set(hash, batch.users.get(hash) == null ? -number : number)
    for (const { cell, unreadable: { id, reason } } of batch.quarantine) {
      quarantined += 1
      log.error("an entry cannot be read and lies in quarantine", { cell, cursor: textOf(id), error: reason })
    }
    for (const { cell, budget_no, held_minor, spent_minor } of batch.cellBudgets) used.push({ cell, name: `b${budget_no}`, used: held_minor + spent_minor })
    for (const { cell, campaign_no, issued, revoked } of batch.cellCampaigns) used.push({ cell, name: `k${campaign_no}`, used: issued - revoked })
    for (const { cell, id, at_ms } of batch.cursors) {
      const { reading: { state, entries: read }, count } = runs.find(({ locked }) => locked.cell === cell)!
      const run_bytes = read.slice(0, count).reduce((sum, each) => sum + bytesOf(each), 0)
      const first = read[0]!
      if ("entry" in first && (oldest_ms === 0 || first.entry.at_ms < oldest_ms)) oldest_ms = first.entry.at_ms
      state.cursor = id
      state.at_ms = at_ms
      // A mean that follows what entries weigh now, a tenth at a time.
      state.entry_bytes = Math.max(1, Math.round(state.entry_bytes * 0.9 + (run_bytes / count) * 0.1))
      state.flushed_since_trim += count
      entries += count
      bytes += run_bytes
    }
    for (const { locked: { cell }, disorder, relearned } of runs) {
      if (disorder) faults.push(new JournalFault(cell, disorder))
      for (const allotment of relearned) log.error("Postgres has lost the allotment of an epoch and has learned it again", { cell, epoch: allotment.epoch, tail: textOf(allotment.tail) })
    }
  }
  for (const state of states) if (state.flushed_since_trim >= TRIM_EVERY_ENTRIES) await trim(parts, state)
  return { entries, bytes, quarantined, oldest_ms, is_full: busy.some(({ is_full }) => is_full), used, faults }
}

/**
 * Flush one batch of some cells: what follows each cursor, in one transaction. Faults of single cells are told in the
 * result; whatever else goes wrong is thrown, and the next call begins at the cursors that Postgres then has, because whether a
 * commit came through is unknown.
 */
export const flushOnce = async (parts: FlushParts, states: readonly CellFlush[]): Promise<Flushed> => {
  try {
    return await withinWait(flushBatch(parts, states), FLUSH_MS_MAX)
  } catch (fault) {
    for (const state of states) state.cursor = state.ahead = undefined
    throw fault
  }
}

/** How the loop paces itself. */
export interface Pace {
  /** Pause after a batch that left nothing behind, so that the next is worth a commit. */
  readonly gather_ms: number
  /** The same while much comes. */
  readonly busy_gather_ms: number
  /** Longest pause while nothing comes. */
  readonly idle_ms_max: number
}

/**
 * Answers do not wait for Postgres: batches may gather, and a commit serves more of them. A batch is a dozen statements however small it
 * is: at 4,000 acts a second batches of 80 ms instead of 20 take a tenth off the processor time of Postgres and of this process for an
 * act (2026-11-22). A reader of a list waits for them, so where little comes they stay short.
 */
export const PACE: Pace = { gather_ms: 20, busy_gather_ms: 80, idle_ms_max: 20 }
/** With many cells a look costs as much as it has cells: there is one for each millisecond at most, so 64 cells are read each 64 ms. */
export const paceOf = (cells: number): Pace => {
  const wait_ms = Math.min(Math.max(PACE.gather_ms, cells), PACE.busy_gather_ms)
  return { ...PACE, gather_ms: wait_ms, idle_ms_max: wait_ms }
}
/** Answers wait: a batch gathers only what comes while the one before is committed, and a little. */
export const LEDGER_PACE: Pace = { gather_ms: 2, busy_gather_ms: 2, idle_ms_max: 4 }
/** From so many entries in one batch on, much comes. */
const BUSY_ENTRIES = 50
const IDLE_MS_MIN = 2
/** A stopped cell is looked at again after this long. */
const STOPPED_MS = 5_000
/** Postgres or Redis away: the pause doubles up to here. */
const AWAY_MS_MAX = 1_000
const AWAY_MS_MIN = 20
/** An ordered stop flushes what is there for so long at most. */
const DRAIN_MS_MAX = 5_000

export interface FlushLoop extends FlushParts {
  readonly states: readonly CellFlush[]
  readonly pace: Pace
  readonly signal: AbortSignal
  /** Hears of every flush that moved something, and how long it took. */
  readonly onFlushed?: (flushed: Flushed, took_ms: number) => void
}

/** Flush until the signal is aborted, and then what is left. Faults of a cell stop that cell, faults of a server pause all. */
export const flushForever = async (loop: FlushLoop): Promise<void> => {
  const { states, pace, signal, log, onFlushed } = loop
  const stopped = new Map<number, { until: number; said: string }>()
  let idle_ms = IDLE_MS_MIN, away_ms = 0, drain_until = Infinity
  while (performance.now() < drain_until) {
    if (signal.aborted && drain_until === Infinity) drain_until = performance.now() + DRAIN_MS_MAX
    const began = performance.now()
    let wait_ms: number
    try {
      const flushed = await flushOnce(loop, states.filter(({ cell }) => (stopped.get(cell)?.until ?? 0) <= began))
      if (away_ms > 0) log.info("the journals are flushed again")
      away_ms = 0
      for (const fault of flushed.faults) {
        if (stopped.get(fault.cell)?.said !== fault.message) log.error("a cell's journal cannot be flushed", { cell: fault.cell, error: fault.message })
        stopped.set(fault.cell, { until: began + STOPPED_MS, said: fault.message })
      }
      if (flushed.entries > 0) onFlushed?.(flushed, performance.now() - began)
      if (signal.aborted && flushed.entries === 0) return
      idle_ms = flushed.entries > 0 ? IDLE_MS_MIN : Math.min(idle_ms * 2, pace.idle_ms_max)
      wait_ms = flushed.is_full || signal.aborted ? 0 : flushed.entries >= BUSY_ENTRIES ? pace.busy_gather_ms : flushed.entries > 0 ? pace.gather_ms : idle_ms
    } catch (fault) {
      if (away_ms === 0) log.error("the journals cannot be flushed now", faultFields(fault))
      away_ms = Math.min(Math.max(away_ms * 2, AWAY_MS_MIN), AWAY_MS_MAX)
      wait_ms = away_ms
    }
    if (wait_ms > 0) await Bun.sleep(wait_ms)
  }
}

/**
 * The gate: how a cell that is shut is compared with Postgres and opened again.
 *
 * A restart, a failover or another dataset shuts every cell, because the library forgets in which epoch it had opened it. What must
 * stay true:
 * - A cell is opened only in an epoch that Postgres has allotted, in a commit before, with the tail that Redis then had. So each
 *   opening can be proved, and a tail that was lost or a master that was left behind is seen by the flusher.
 * - Of two engines at it, one opens and the other finds it open; a crash at any point leaves a cell that is shut.
 * - A cell that Postgres knows better than Redis is rebuilt first, never opened as it is.
 */
import type { Redis } from "ioredis"
import { gate_state } from "../../lua/gate_state.ts"
import { journalKey, quotaKey } from "../../lua/keys.ts"
import { open_gate } from "../../lua/open_gate.ts"
import { FORMAT, unpack, type CellRecord } from "../../lua/records.ts"
import type { Log } from "../log.ts"
import { withinWait } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"
import { ask, loadLibrary, ourLibrary, run, type Servers } from "../store/redis.ts"
import { BIRTH, compareIds, idOf, readEntry, textOf, type EntryId, type RawEntry } from "./entry.ts"
import { JournalFault } from "./flusher.ts"

/** Another engine may be faster so often before this one gives up and says so. */
const TRIES_MAX = 10
const RETRY_MS = 50
/**
 * So many looks, 0.75 s in all, are given to an engine that has allotted an epoch and not opened it yet. If a second one were allotted
 * beside it and lost the race, and its engine died before it could take it back, it would seem to end the epoch of the one that won.
 */
const PATIENT_TRIES = 5
/** A look that takes longer hangs on a connection that is gone, or behind whoever holds the cell's row: it is tried again later. */
const LOOK_MS_MAX = 30_000

export interface GateParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly log: Log
  readonly cell: number
  readonly now_ms: number
  /** Writes the cell from Postgres; it holds the cell's cursor row while it does. */
  readonly rebuild: (cell: number) => Promise<void>
  /** Takes the cell's leases back from every bank, while the cell is shut and about to open in this epoch. */
  readonly takeLeases: (cell: number, epoch: number) => Promise<void>
  /** Crash points for tests: after the allotment was committed, before the cell is opened. */
  readonly afterAllotment?: () => void
}

export type Opened =
  /** This library holds it open already. */
  | { readonly outcome: "open"; readonly epoch: number }
  /** Opened for the first time ever. */
  | { readonly outcome: "born"; readonly epoch: number }
  /** Opened beside another library that holds it open. */
  | { readonly outcome: "joined"; readonly epoch: number }
  /** Opened after a restart, with all that Redis had. */
  | { readonly outcome: "opened"; readonly epoch: number }
  /** Written from Postgres and then opened. */
  | { readonly outcome: "rebuilt"; readonly epoch: number }

/** The names of every library of ours that a cell's server has loaded, whoever loaded it. */
export const loadedLibraries = async (redis: Servers, cell: number): Promise<string[]> => {
  const reply = await ask(redis, quotaKey(cell), (node) => node.call("FUNCTION", "LIST", "LIBRARYNAME", "scrip_*"))
  return [...new Set(JSON.stringify(reply, (_, value: unknown) => value instanceof Map ? [...value] : value).match(/scrip_[0-9a-f]{12}(?=")/g) ?? [])]
}

interface GateState { readonly epoch_open: number; readonly cell: CellRecord | undefined; readonly tail: EntryId }

const ourState = async (redis: Servers, cell: number): Promise<GateState> => {
  const { epoch_open, cell: raw, tail } = await run(redis, gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })
  return { epoch_open, cell: raw.length > 0 ? unpack("cell", raw) : undefined, tail: idOf(tail) }
}

/** Whether another library holds a cell open in the running epoch. */
const isOpenElsewhere = async (redis: Servers, cell: number, epoch: number): Promise<boolean> => {
  for (const name of await loadedLibraries(redis, cell)) {
    if (name === ourLibrary().name) continue
    const reply = await ask(redis, quotaKey(cell), (node) =>
      node.callBuffer("FCALL_RO", `gate_state_${name.slice("scrip_".length)}`, 2, quotaKey(cell), journalKey(cell))) as Buffer[]
    if (Number(reply[1]?.toString()) === epoch) return true
  }
  return false
}

/** What has to be done with a shut cell. */
type Finding =
  | { readonly found: "open" | "join"; readonly epoch: number }
  | { readonly found: "birth" | "restart"; readonly epoch: number; readonly tail: EntryId }
  | { readonly found: "rebuild" }
  /** A rebuild was begun while entries lay unflushed: the flusher comes first. */
  | { readonly found: "unflushed" }
  /** Another engine has allotted an epoch with this tail and is about to open it. */
  | { readonly found: "allotted" }

/** The first entry after the cursor, which proves that nothing between the two is missing. */
const checkFollows = async (redis: Servers, cell: number, cursor: EntryId, tail: EntryId): Promise<void> => {
  if (compareIds(tail, cursor) === 0) return
  const [raw] = await ask(redis, journalKey(cell), (node) => node.xrangeBuffer(journalKey(cell), `(${textOf(cursor)}`, "+", "COUNT", 1)) as unknown as RawEntry[]
  const expected = textOf({ epoch: cursor.epoch, n: cursor.n + 1 })
  if (!raw) throw new JournalFault(cell, { fault: "hole", expected, found: `nothing up to ${textOf(tail)}` })
  const read = readEntry(raw)
  if ("newer" in read) return // its format is refused where the cell's own is
  const id = "entry" in read ? read.entry.id : read.unreadable.id
  const isNext = id.epoch === cursor.epoch && id.n === cursor.n + 1
  const isNextEpoch = "entry" in read && read.entry.act === "opened" && id.n === 0 && read.entry.payload === textOf(cursor)
  if (!isNext && !isNextEpoch) throw new JournalFault(cell, { fault: "hole", expected, found: textOf(id) })
}

const judge = async ({ redis, cell, log }: GateParts, state: GateState, cursor: EntryId, epochs: readonly { epoch: number; tail: EntryId }[]): Promise<Finding> => {
  const { epoch_open, cell: record, tail } = state
  const allotted_max = epochs.reduce((max, { epoch }) => Math.max(max, epoch), cursor.epoch)
  if (!record) {
    if (compareIds(cursor, BIRTH) > 0) return { found: "rebuild" }
    if (compareIds(tail, BIRTH) > 0) throw new JournalFault(cell, { fault: "hole", expected: "a cell's own record beside its journal", found: textOf(tail) })
    return { found: "birth", epoch: allotted_max + 1, tail }
  }
  if (record.format > FORMAT) throw new JournalFault(cell, { fault: "newer_format", expected: `format ${FORMAT}`, found: `format ${record.format}` })
  if (record.rebuilding === 1) return compareIds(tail, cursor) > 0 ? { found: "unflushed" } : { found: "rebuild" }
  if (epoch_open !== 0 && epoch_open === record.epoch) return { found: "open", epoch: epoch_open }
  if (record.epoch > 0 && await isOpenElsewhere(redis, cell, record.epoch)) return { found: "join", epoch: record.epoch }
  if (compareIds(tail, cursor) < 0) return { found: "rebuild" }
  // A tail beyond the end of its own epoch was written by a master that had been left behind.
  const ended = epochs.find((each) => each.epoch > tail.epoch && compareIds(each.tail, tail) < 0)
  if (ended) throw new JournalFault(cell, { fault: "stale_epoch", expected: `nothing after ${textOf(ended.tail)}`, found: textOf(tail) })
  const lost = epochs.find((each) => each.epoch > tail.epoch && compareIds(each.tail, tail) > 0)
  if (lost) log.error("Redis has lost the end of its journal", { cell, tail: textOf(tail), cursor: textOf(lost.tail) })
  await checkFollows(redis, cell, cursor, tail)
  return { found: "restart", epoch: Math.max(allotted_max, record.epoch, tail.epoch) + 1, tail }
}

/** Look at a cell under the lock of its cursor row, and allot it an epoch where it needs one. */
const lookAndAllot = (parts: GateParts, tries: number): Promise<Finding> => parts.sql.begin("read write", async (tx): Promise<Finding> => {
  const { cell, redis, now_ms } = parts
  await tx`insert into cells (cell, epoch, n, at_ms) values (${cell}, 0, 0, 0) on conflict (cell) do nothing`
  const [row] = await tx<EntryId[]>`select epoch, n from cells where cell = ${cell} for update`
  if (!row) throw new Error(`cell ${cell} has no cursor row`)
  const epochs = await tx<{ epoch: number; tail: string }[]>`select epoch, tail from epochs where cell = ${cell} and epoch >= ${row.epoch} order by epoch`
  const finding = await judge(parts, await ourState(redis, cell), { epoch: row.epoch, n: row.n }, epochs.map(({ epoch, tail }) => ({ epoch, tail: idOf(tail) })))
  if (finding.found === "birth" || finding.found === "restart") {
    if (tries < PATIENT_TRIES && epochs.some(({ tail }) => tail === textOf(finding.tail))) return { found: "allotted" }
    await tx`insert into epochs (cell, epoch, tail, at_ms) values (${cell}, ${finding.epoch}, ${textOf(finding.tail)}, ${now_ms})`
  }
  return finding
}) as Promise<Finding>

/**
 * Open a cell, whatever it needs for that. Throws JournalFault where a person has to look first, and whatever the servers throw:
 * the cell is then as shut as before, and the call may be repeated.
 */
export const openCell = async (parts: GateParts): Promise<Opened> => {
  const { redis, sql, cell, now_ms, log } = parts
  await ask(redis, quotaKey(cell), loadLibrary)
  const keys = { quota: quotaKey(cell), journal: journalKey(cell) }
  let rebuilt = false
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const finding = await withinWait(lookAndAllot(parts, tries), LOOK_MS_MAX)
    switch (finding.found) {
      case "open": return { outcome: rebuilt ? "rebuilt" : "open", epoch: finding.epoch }
      case "unflushed": case "allotted": await Bun.sleep(RETRY_MS * (tries + 1)); continue
      case "rebuild":
        log.warn("a cell is rebuilt from Postgres before it opens", { cell })
        await parts.rebuild(cell)
        rebuilt = true
        continue
      case "join": {
        const reply = await run(redis, open_gate, { keys, args: { now_ms, epoch: finding.epoch, tail: "", is_joining: 1 } })
        if (reply.outcome === "joined") return { outcome: "joined", epoch: finding.epoch }
        continue
      }
      case "birth": case "restart": {
        parts.afterAllotment?.()
        await parts.takeLeases(cell, finding.epoch)
        const reply = await run(redis, open_gate, { keys, args: { now_ms, epoch: finding.epoch, tail: textOf(finding.tail), is_joining: 0 } })
        if (reply.outcome === "opened") return { outcome: rebuilt ? "rebuilt" : finding.found === "birth" ? "born" : "opened", epoch: finding.epoch }
        // Another engine was faster, or a rebuild has begun: look again. What was allotted here was not opened and never will be; left
        // standing it would seem to end the epoch of whoever won.
        await sql`delete from epochs where cell = ${cell} and epoch = ${finding.epoch}`
      }
    }
  }
  throw new Error(`cell ${cell} could not be opened in ${TRIES_MAX} tries: it keeps changing hands`)
}

/** Where Redis keeps what it was told of the installation. The hash tag is no cell's. */
export const INSTALLATION_KEY = "{scrip}installation"

export type CellsCheck =
  | { readonly outcome: "agreed" }
  /** The number of cells is another in one of the stores; it changes only by a rebuild. */
  | { readonly outcome: "cells_mismatch"; readonly store: "redis" | "postgres"; readonly stored: number; readonly asked: number }
  /** This Redis has served another Postgres. */
  | { readonly outcome: "installation_mismatch"; readonly redis: string; readonly postgres: string }
  | { readonly outcome: "newer_format"; readonly format: number }

/** Hold the number of cells, the format and the installation's name against both stores, and write them where they are new. */
export const checkCells = async ({ redis, sql, cells }: { redis: Servers; sql: Sql; cells: number }): Promise<CellsCheck> => {
  await sql`insert into settings (key, value) values ('installation', ${crypto.randomUUID()}), ('cells', ${String(cells)}), ('format', ${String(FORMAT)}) on conflict (key) do nothing`
  const rows = await sql<{ key: string; value: string }[]>`select key, value from settings where key in ('installation', 'cells', 'format')`
  const stored = new Map(rows.map(({ key, value }) => [key, value]))
  const installation = stored.get("installation")!
  if (Number(stored.get("format")) > FORMAT) return { outcome: "newer_format", format: Number(stored.get("format")) }
  if (Number(stored.get("cells")) !== cells) return { outcome: "cells_mismatch", store: "postgres", stored: Number(stored.get("cells")), asked: cells }
  const inInstallation = <T>(send: (node: Redis) => Promise<T>) => ask(redis, INSTALLATION_KEY, send)
  await inInstallation((node) => node.hsetnx(INSTALLATION_KEY, "installation", installation))
  await inInstallation((node) => node.hsetnx(INSTALLATION_KEY, "cells", String(cells)))
  const [inRedis, cellsInRedis] = await inInstallation((node) => node.hmget(INSTALLATION_KEY, "installation", "cells"))
  if (inRedis !== installation) return { outcome: "installation_mismatch", redis: String(inRedis), postgres: installation }
  if (Number(cellsInRedis) !== cells) return { outcome: "cells_mismatch", store: "redis", stored: Number(cellsInRedis), asked: cells }
  return { outcome: "agreed" }
}

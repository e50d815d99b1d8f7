/**
 * The promise `ledger`: a yes is heard once Postgres has committed it.
 *
 * What must stay true: an act that was heard of survives the loss of every Redis. So its answer waits until the cell's cursor has passed
 * the journal's tail that was read behind it, and a cursor that got there in a later epoch proves nothing by itself: after a failover
 * the next epoch goes on without what was lost, so then the very entry is looked for. While the flusher is more than LAG_MS_MAX behind,
 * no act is begun that would only be left waiting.
 */
import { gate_state } from "../../lua/gate_state.ts"
import { journalKey, quotaKey } from "../../lua/keys.ts"
import type { Log } from "../log.ts"
import { type Loop, startEvery } from "../loop.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Ledger } from "../store/masters.ts"
import type { Postgres } from "../store/postgres.ts"
import { NotExecuted, OutcomeUnknown, run, type Servers } from "../store/redis.ts"
import { caughtUp, cursorsOf } from "./caught_up.ts"
import { BIRTH, compareIds, idOf, type EntryId } from "./entry.ts"

/** An answer waits so long for Postgres before its outcome counts as unknown. */
export const LEDGER_WAIT_MS = 3_000
/** While what is not flushed is older than this, no act begins. */
export const LAG_MS_MAX = 1_000
/** How often the lag is looked at, and for how long after the last act that asked. */
const LOOK_EVERY_MS = 200
const ASKED_MS = 60_000

export interface LedgerParts {
  readonly redis: Servers
  readonly postgres: Postgres
  readonly log: Log
  readonly cells: number
}

/** Whether Postgres has an entry: as an event, or as one that could not be read and waits for a person. */
const isKept = async ({ postgres: { sql } }: LedgerParts, cell: number, { epoch, n }: EntryId): Promise<boolean> => {
  const [row] = await answeringPostgres(() => sql<{ kept: boolean }[]>`
    select exists (select from events where cell = ${cell} and epoch = ${epoch} and n = ${n}) or exists (select from quarantine where cell = ${cell} and epoch = ${epoch} and n = ${n}) as kept`)
  return row?.kept ?? false
}

/** The way to Postgres for acts, and the loop that watches how late it is. */
export const openLedger = (parts: LedgerParts): { ledger: Ledger; loop: Loop } => {
  const cells = Array.from({ length: parts.cells }, (_, cell) => cell)
  /** Of each cell that is behind: a tail that was seen and is not passed yet, and since when. */
  const behind = new Map<number, { tail: EntryId; since: number }>()
  let asked_at = -Infinity, looked_at = performance.now()

  const look = async (): Promise<void> => {
    const now = performance.now()
    if (now - asked_at > ASKED_MS) {
      behind.clear()
      looked_at = now
      return
    }
    const [cursors, tails] = await Promise.all([
      answeringPostgres(() => cursorsOf(parts.postgres.sql, cells)),
      Promise.all(cells.map(async (cell) => idOf((await run(parts.redis, gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })).tail))),
    ])
    for (const cell of cells) {
      const cursor = cursors.get(cell) ?? BIRTH
      const seen = behind.get(cell)
      if (seen && compareIds(cursor, seen.tail) < 0) continue
      if (compareIds(cursor, tails[cell]!) >= 0) behind.delete(cell)
      else behind.set(cell, { tail: tails[cell]!, since: now })
    }
    looked_at = performance.now()
  }

  const ledger: Ledger = {
    begin: () => {
      const now = performance.now()
      // Nobody has looked for a while: the first to ask finds out by waiting.
      if (now - asked_at > ASKED_MS) looked_at = now
      asked_at = now
      let oldest = looked_at
      for (const { since } of behind.values()) if (since < oldest) oldest = since
      if (now - oldest > LAG_MS_MAX) throw new NotExecuted(`Postgres is ${Math.round(now - oldest)} ms behind`)
    },
    passed: async (cell, entry_id) => {
      const entry = idOf(entry_id)
      try {
        const cursor = await caughtUp(parts, cell, LEDGER_WAIT_MS, entry)
        if (cursor.epoch === entry.epoch || await isKept(parts, cell, entry)) return
      } catch (fault) {
        throw new OutcomeUnknown(fault instanceof Error ? fault.message : String(fault), { cause: fault })
      }
      throw new OutcomeUnknown(`entry ${entry_id} of cell ${cell} was lost with its master`)
    },
  }
  return { ledger, loop: startEvery("ledger", LOOK_EVERY_MS, parts.log, look) }
}

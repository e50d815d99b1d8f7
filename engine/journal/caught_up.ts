/**
 * Wait until Postgres has what a cell had decided when the caller asked: so that a list shows a reader his own writes.
 *
 * One loop a cell serves all who wait, so that a thousand readers are one query every few milliseconds.
 */
import { journalKey } from "../../lua/keys.ts"
import { answeringPostgres, PostgresAway } from "../store/away.ts"
import type { Postgres, Sql } from "../store/postgres.ts"
import { ask, type Servers } from "../store/redis.ts"
import { BIRTH, compareIds, idOf, textOf, type EntryId } from "./entry.ts"

/** A reader waits so long for the flusher before he is told to come again. */
export const CAUGHT_UP_WAIT_MS = 3_000
const POLL_MS = 3

interface Stores { readonly redis: Servers; readonly postgres: Pick<Postgres, "sql"> }
interface Waiter { readonly tail: EntryId; readonly until: number; readonly settle: (fault?: Error) => void }

/** The id of the last entry that a cell's journal was ever given, also after it was trimmed. */
export const tailOf = async (redis: Servers, cell: number): Promise<EntryId> => {
  try {
    const facts = await ask(redis, journalKey(cell), (node) => node.xinfo("STREAM", journalKey(cell))) as unknown
    const pairs = Array.isArray(facts) ? new Map(Array.from({ length: facts.length / 2 }, (_, i) => [String(facts[2 * i]), facts[2 * i + 1]] as const))
      : facts instanceof Map ? facts as Map<string, unknown> : new Map(Object.entries(facts as object))
    return idOf(String(pairs.get("last-generated-id")))
  } catch (fault) {
    if (fault instanceof Error && /no such key/.test(fault.message)) return BIRTH
    throw fault
  }
}

/** The cursor of a cell; the beginning where there is none yet. */
export const cursorOf = async (sql: Sql, cell: number): Promise<EntryId> => {
  const [row] = await sql<EntryId[]>`select epoch, n from cells where cell = ${cell}`
  return row ? { epoch: row.epoch, n: row.n } : BIRTH
}

const loops = new WeakMap<Sql, Map<number, Waiter[]>>()

const poll = async (sql: Sql, cell: number, waiting: Waiter[]): Promise<void> => {
  // Bounded: each waiter leaves by its instant at the latest.
  while (waiting.length > 0) {
    let cursor: EntryId
    try {
      cursor = await answeringPostgres(() => cursorOf(sql, cell))
    } catch (fault) {
      for (const { settle } of waiting.splice(0)) settle(fault instanceof Error ? fault : new Error(String(fault)))
      return
    }
    const now = performance.now()
    for (const waiter of waiting.splice(0)) {
      if (compareIds(cursor, waiter.tail) >= 0) waiter.settle()
      else if (now >= waiter.until) waiter.settle(new PostgresAway(`cell ${cell} is flushed up to ${textOf(cursor)}, not yet to ${textOf(waiter.tail)}`))
      else waiting.push(waiter)
    }
    if (waiting.length > 0) await Bun.sleep(POLL_MS)
  }
}

/**
 * Resolve when the cell's cursor has passed the tail seen at this call; throws PostgresAway when it has not within
 * `wait_ms`. A caller who knows the entry he waits for names it and saves the call to Redis.
 */
export const caughtUp = async ({ redis, postgres: { sql } }: Stores, cell: number, wait_ms = CAUGHT_UP_WAIT_MS, entry?: EntryId): Promise<void> => {
  const tail = entry ?? await tailOf(redis, cell)
  let cells = loops.get(sql)
  if (!cells) loops.set(sql, cells = new Map())
  let waiting = cells.get(cell)
  if (!waiting) cells.set(cell, waiting = [])
  const isFirst = waiting.length === 0
  await new Promise<void>((resolve, reject) => {
    waiting.push({ tail, until: performance.now() + wait_ms, settle: (fault) => fault ? reject(fault) : resolve() })
    if (isFirst) void poll(sql, cell, waiting)
  })
}

/**
 * Wait until Postgres has what a cell had decided when the caller asked: so that a list shows a reader his own writes.
 *
 * One loop serves all who wait, for whichever cell, so that a thousand readers are one query every few milliseconds.
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
interface Waiter { readonly cell: number; readonly tail: EntryId; readonly until: number; readonly settle: (at: EntryId | Error) => void }

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

/** The cursors of some cells; the beginning where there is none yet. */
export const cursorsOf = async (sql: Sql, cells: readonly number[]): Promise<Map<number, EntryId>> => {
  const rows = await sql<(EntryId & { cell: number })[]>`select cell, epoch, n from cells where cell = any(${[...cells]})`
  return new Map(rows.map(({ cell, epoch, n }) => [cell, { epoch, n }]))
}

const loops = new WeakMap<Sql, Waiter[]>()

const poll = async (sql: Sql, waiting: Waiter[]): Promise<void> => {
  // Bounded: each waiter leaves by its instant at the latest.
  while (waiting.length > 0) {
    let cursors: Map<number, EntryId>
    try {
      cursors = await answeringPostgres(() => cursorsOf(sql, [...new Set(waiting.map(({ cell }) => cell))]))
    } catch (fault) {
      for (const { settle } of waiting.splice(0)) settle(fault instanceof Error ? fault : new Error(String(fault)))
      return
    }
    const now = performance.now()
    for (const waiter of waiting.splice(0)) {
      const { cell, tail, until, settle } = waiter
      // Whoever began to wait for another cell while the question was on its way is asked for in the next.
      const cursor = cursors.get(cell) ?? BIRTH
      if (compareIds(cursor, tail) >= 0) settle(cursor)
      else if (now >= until) settle(new PostgresAway(`cell ${cell} is flushed up to ${textOf(cursor)}, not yet to ${textOf(tail)}`))
      else waiting.push(waiter)
    }
    if (waiting.length > 0) await Bun.sleep(POLL_MS)
  }
}

/**
 * Resolve when the cell's cursor has passed the tail seen at this call, with where it is then; throws PostgresAway when it has not
 * within `wait_ms`. A caller who knows the entry he waits for names it and saves the call to Redis.
 */
export const caughtUp = async ({ redis, postgres: { sql } }: Stores, cell: number, wait_ms = CAUGHT_UP_WAIT_MS, entry?: EntryId): Promise<EntryId> => {
  const tail = entry ?? await tailOf(redis, cell)
  let waiting = loops.get(sql)
  if (!waiting) loops.set(sql, waiting = [])
  const isFirst = waiting.length === 0
  return new Promise((resolve, reject) => {
    waiting.push({ cell, tail, until: performance.now() + wait_ms, settle: (at) => at instanceof Error ? reject(at) : resolve(at) })
    if (isFirst) void poll(sql, waiting)
  })
}

/**
 * The worker: what runs beside the API. It moves the journals to Postgres, ends what has run out, opens cells that a restart has
 * shut, and pushes campaigns until every cell has them. Any number of workers may run; each act is safe to repeat.
 */
import { journalKey, quotaKey } from "../lua/keys.ts"
import { open_gate } from "../lua/open_gate.ts"
import { flushOnce, newCellFlush } from "./journal/flusher.ts"
import type { Log } from "./log.ts"
import { type Loop, startLoop } from "./loop.ts"
import { pushBehind } from "./operate/push.ts"
import type { Parts } from "./parts.ts"
import type { Clock } from "./store/clock.ts"
import { run } from "./store/redis.ts"

/** Between two looks for campaigns that not every cell has. */
const PUSH_EVERY_MS = 1_000
const FLUSH_IDLE_MS = 10

export const cellsOf = ({ cells }: Parts): number[] => Array.from({ length: cells }, (_, cell) => cell)

/** Open cells that have never been opened. */
export const openCells = async (parts: Parts, now_ms: number): Promise<void> => {
  const { sql } = parts.postgres
  for (const cell of cellsOf(parts)) {
    await sql`insert into cells (cell, epoch, n, at_ms) values (${cell}, 0, 0, 0) on conflict do nothing`
    await sql`insert into epochs (cell, epoch, tail, at_ms) values (${cell}, 1, '0-0', ${now_ms}) on conflict do nothing`
    await run(parts.redis, open_gate, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: { now_ms, epoch: 1, tail: "0-0", is_joining: 0 } })
    await run(parts.redis, open_gate, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: { now_ms, epoch: 1, tail: "0-0", is_joining: 1 } })
  }
}

/** The worker's loops, in the order in which they start. */
export const startWorker = (parts: Parts, clock: Clock, log: Log): Loop[] => {
  const flush = { redis: parts.redis, sql: parts.postgres.sql, log, cells: parts.cells, known: new Map<string, number>() }
  const states = cellsOf(parts).map(newCellFlush)
  return [
    startLoop("flusher", log, async () => {
      const { entries, is_full } = await flushOnce(flush, states)
      return is_full ? 0 : entries > 0 ? 1 : FLUSH_IDLE_MS
    }),
    startLoop("pusher", log, async () => {
      await pushBehind(parts, clock.now_ms())
      return PUSH_EVERY_MS
    }),
  ]
}

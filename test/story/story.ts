/**
 * A shop of a story's own: one whole engine on servers that nobody else touches, whose clock a story may drive through months.
 */
import { expect } from "bun:test"
import { caughtUp } from "../../engine/journal/caught_up.ts"
import { JOURNAL_BYTES_MAX, newCellSweep, sweepOnce } from "../../engine/journal/sweeper.ts"
import { verifyAll } from "../../engine/journal/verify.ts"
import { quietLog } from "../../engine/log.ts"
import { cellsOf } from "../../engine/parts.ts"
import { openShop, type Shop, type ShopWishes } from "../support/shop.ts"
import { imbalances } from "./conservation.ts"

const FLUSH_WAIT_MS = 60_000
const ROUNDS_MAX = 1_000

export interface Story extends Shop {
  readonly now_ms: () => number
  /** Time goes on to an instant. It never goes back. */
  setNow(now_ms: number): void
  /** Everything happens that has come by time alone. */
  sweep(): Promise<void>
  /** Postgres has what was decided until now. */
  flush(): Promise<void>
  /** Sweep, flush, and hold every budget against its ledger and its sources. */
  expectConserved(): Promise<void>
}

/** Open a story's shop as it is wished for. */
export const openStory = async (wishes: Omit<ShopWishes, "own"> = {}): Promise<Story> => {
  const shop = await openShop({ ...wishes, own: true })
  const { parts, clock } = shop
  const { sql } = parts.postgres
  const states = cellsOf(parts).map(newCellSweep)
  const sweep = async () => {
    const now_ms = clock.now_ms()
    const flushed = await sql<{ cell: number; at_ms: number }[]>`select cell, at_ms from cells`
    for (const state of states) {
      const flushed_ms = flushed.find(({ cell }) => cell === state.cell)?.at_ms ?? 0
      const ages = { now_ms, age_ms: parts.age_ms, remember_ms: parts.remember_ms }
      let rounds = 0
      while ((await sweepOnce({ redis: parts.redis, sql, log: quietLog, cells: parts.cells, ages, flushed_ms, journal_bytes_max: JOURNAL_BYTES_MAX }, state)).is_behind) {
        if (++rounds > ROUNDS_MAX) throw new Error("the sweeper never catches up")
      }
    }
  }
  const flush = async () => { for (const cell of cellsOf(parts)) await caughtUp(parts, cell, FLUSH_WAIT_MS) }
  const ages = () => ({ now_ms: clock.now_ms(), age_ms: parts.age_ms, remember_ms: parts.remember_ms })
  const verify = async () => (await verifyAll({ redis: parts.redis, sql, cells: parts.cells, ages })).differences
  return {
    ...shop, sweep, flush, now_ms: clock.now_ms, setNow: clock.told,
    expectConserved: async () => {
      await sweep()
      await flush()
      expect(await imbalances({ call: shop.call, sql, verify })).toEqual([])
    },
  }
}

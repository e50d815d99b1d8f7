// Evict settled: an hour of settled redemptions leaves whole.

import { expect } from "bun:test"
import { AGE_MS, HOUR_MS, inShop, NOON, refused, use } from "./cell.ts"

const HOUR = NOON / HOUR_MS

inShop("not_due: an hour that is not over, not old or not flushed", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.confirm()
  expect(await refused(cell, () => cell.evictSettled({ hour: HOUR }))).toEqual({ outcome: "not_due" })
  cell.later(HOUR_MS + AGE_MS - 1)
  expect(await refused(cell, () => cell.evictSettled({ hour: HOUR }))).toEqual({ outcome: "not_due" })
  cell.later(1)
  expect(await refused(cell, () => cell.evictSettled({ hour: HOUR, flushed_ms: NOON + HOUR_MS }))).toEqual({ outcome: "not_due" })
})

inShop("evicted: the hour's records leave, another hour's and an open one stay, and nothing is journalled", async (cell) => {
  for (const request of ["first", "second", "third"]) await cell.issue({ request })
  await cell.reserve()
  await cell.confirm()
  await cell.reserve({ order: "order 3", coupons: [use({ request: "third" })], hold_ms: 7 * 24 * HOUR_MS })
  cell.later(HOUR_MS)
  await cell.reserve({ order: "order 2", coupons: [use({ request: "second" })] })
  await cell.confirm({ order: "order 2" })
  cell.later(AGE_MS)
  const entries = await cell.entries()
  expect(await cell.evictSettled({ hour: HOUR })).toEqual({ outcome: "evicted" })
  expect([await cell.redemption(), await cell.redemption({ order: "order 2" }), await cell.redemption({ order: "order 3" })].map((one) => one?.state)).toEqual([undefined, "confirmed", "reserved"])
  expect(await cell.mark()).toBe(`c${HOUR}`)
  expect(await cell.cell()).toMatchObject({ evicted: entries.at(-1)!.id })
  expect(await cell.entries()).toEqual(entries)
  expect(await cell.evictSettled({ hour: HOUR })).toEqual({ outcome: "evicted" }) // an hour that is gone may leave again
})

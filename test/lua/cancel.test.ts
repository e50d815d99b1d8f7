// Cancel: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { HOLD_MS, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, OTHER_MONEY, redemptionOf, refused, SECOND_MS, SPRING, SUMMER, use } from "./cell.ts"

inShop("not_open: a redemption that never was, or is not open any more", async (cell) => {
  await cell.issue()
  expect(await refused(cell, () => cell.cancel())).toEqual({ outcome: "not_open" })
  await cell.reserve()
  await cell.cancel()
  expect(await refused(cell, () => cell.cancel())).toEqual({ outcome: "not_open" })
})

inShop("redemption_expired: a hold that ran out is the sweeper's", async (cell) => {
  await cell.issue()
  await cell.reserve()
  cell.later(HOLD_MS)
  expect(await refused(cell, () => cell.cancel())).toEqual({ outcome: "redemption_expired", expired_at_ms: NOON + HOLD_MS })
})

inShop("cancelled: the coupon and the money are as before, the record is settled", async (cell) => {
  await cell.issue()
  const before = await cell.coupon()
  await cell.reserve()
  cell.later(1)
  const reply = await cell.cancel()
  if (reply.outcome !== "cancelled") throw new Error(reply.outcome)
  expect([reply.cancelled_at_ms, reply.body]).toEqual([NOON + 1, "allocation of order 1"])
  expect(await cell.redemption()).toMatchObject({ state: "cancelled", since_ms: NOON + 1, revision: 1 })
  expect(await cell.coupon()).toEqual(before!)
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 0 })
  expect(await cell.redemption()).toMatchObject({ state: "cancelled", revision: 1, since_ms: NOON + 1 })
  expect(await cell.mark()).toMatch(/^x\d+$/)
  const entry = await cell.lastEntry()
  expect(entry).toMatchObject({ act: "cancelled", payload: "", redemptions: [[redemptionOf(), expect.anything(), ""]] })
  expect(entry.moves).toEqual([[`b${MONEY}`, 0, -100, 0], [`k${SPRING}`, 0, 0, 0, -1, 0]])
})

inShop("cancelled: several coupons and budgets, each exactly what was taken from it", async (cell) => {
  await cell.publish({ campaign: SUMMER })
  await cell.fund({ budget: OTHER_MONEY, addition: "other" })
  await cell.issue({ holds: [[MONEY, 300]] })
  await cell.issue({ campaign: SUMMER })
  await cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 1 }), use({ campaign: SUMMER, shares: [[MONEY, 33], [OTHER_MONEY, 67]] })] })
  await cell.cancel()
  expect([await cell.money(), await cell.money(OTHER_MONEY)]).toEqual([{ held: 300, spent: 0, available: 700 }, { held: 0, spent: 0, available: 1_000 }])
  expect(await cell.idle()).toEqual([[MONEY, 300]])
  expect(await cell.coupon()).toMatchObject({ state: "issued", holds: [[MONEY, 300]] })
})

inShop("cancelled: a coupon whose end passed while it was held ends with the hold, with its money", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 300]] })
  await cell.reserve({ coupons: [use({ at_issue: 1 })] })
  cell.later(SECOND_MS)
  await cell.cancel()
  expect(await cell.coupon()).toEqual({ state: "ended", ends_at_ms: NOON + SECOND_MS, fingerprint: "as-sent", since_ms: NOON + SECOND_MS })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.idle()).toEqual([])
})

inShop("cancelled: what gives back works when the journal is full and when the month is over", async (cell) => {
  cell.later(MONTH_ENDS - NOON - SECOND_MS)
  await cell.issue()
  await cell.reserve()
  await cell.markFull()
  cell.later(2 * SECOND_MS)
  expect(await cell.cancel()).toMatchObject({ outcome: "cancelled" })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
})

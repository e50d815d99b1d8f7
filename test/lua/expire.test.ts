// Expire: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { deadline, HOLD_MS, inShop, LIMIT_MINOR, MONEY, NOON, redemptionOf, refused, SPRING, use } from "./cell.ts"

inShop("not_open: a deadline whose redemption is gone is forgotten, and nothing else", async (cell) => {
  await cell.redis.zadd(cell.keys.due, NOON, deadline.hold())
  expect(await cell.expire()).toEqual({ outcome: "not_open" })
  expect(await cell.due()).toEqual({})
  expect(await cell.entries()).toHaveLength(3)
})

inShop("not_due: a hold that was extended since the sweeper looked stays", async (cell) => {
  await cell.issue()
  await cell.reserve()
  expect(await refused(cell, () => cell.expire())).toEqual({ outcome: "not_due", expires_at_ms: NOON + HOLD_MS })
  await cell.extend({ expires_ms: NOON + 2 * HOLD_MS })
  cell.later(HOLD_MS)
  expect(await refused(cell, () => cell.expire())).toEqual({ outcome: "not_due", expires_at_ms: NOON + 2 * HOLD_MS })
})

inShop("expired: exactly what the hold took comes back, once, by any number of sweepers", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "second", holds: [[MONEY, 300]] })
  await cell.reserve({ coupons: [use(), use({ request: "second", at_issue: 1, discount_minor: 7 })] })
  cell.later(HOLD_MS)
  const replies = await Promise.all(Array.from({ length: 20 }, () => cell.expire()))
  expect(replies.filter(({ outcome }) => outcome === "expired")).toHaveLength(1)
  expect(await cell.redemption()).toMatchObject({ state: "expired", since_ms: NOON + HOLD_MS, revision: 1, body: "allocation of order 1" })
  expect([await cell.coupon(), await cell.coupon({ request: "second" })]).toMatchObject([{ state: "issued" }, { state: "issued", holds: [[MONEY, 300]] }])
  expect(await cell.money()).toEqual({ held: 300, spent: 0, available: LIMIT_MINOR - 300 })
  expect(await cell.mark()).toMatch(/^x\d+$/)
  const entry = await cell.lastEntry()
  expect(entry).toMatchObject({ act: "expired", redemptions: [[redemptionOf(), expect.anything(), ""]] })
  expect(entry.moves).toEqual([[`b${MONEY}`, 0, -100, 0], [`i${SPRING}`, MONEY, 300], [`k${SPRING}`, 0, 0, 0, -2, 0]])
})

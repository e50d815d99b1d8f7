// Revoke: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, refused, SECOND_MS, SPRING, STOCK, SUMMER, use } from "./cell.ts"

inShop("coupon_unknown: no such coupon in this wallet, or no such campaign in this cell", async (cell) => {
  await cell.issue()
  expect(await refused(cell, () => cell.revoke({ request: "second" }))).toEqual({ outcome: "coupon_unknown" })
  expect(await refused(cell, () => cell.revoke({ user: "bob" }))).toEqual({ outcome: "coupon_unknown" })
  expect(await refused(cell, () => cell.revoke({ campaign: SUMMER }))).toEqual({ outcome: "coupon_unknown" })
})

inShop("replayed: a coupon is taken away once", async (cell) => {
  await cell.issue()
  await cell.revoke()
  cell.later(MONTH_ENDS - NOON)
  expect(await refused(cell, () => cell.revoke())).toEqual({ outcome: "replayed" })
})

inShop("coupon_reserved: what is held for an order is not taken away", async (cell) => {
  await cell.issue()
  await cell.reserve()
  expect(await refused(cell, () => cell.revoke())).toEqual({ outcome: "coupon_reserved" })
  await cell.cancel()
  expect(await cell.revoke()).toEqual({ outcome: "revoked" })
})

inShop("coupon_redeemed: what was used is not taken away", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.confirm()
  expect(await refused(cell, () => cell.revoke())).toEqual({ outcome: "coupon_redeemed" })
})

inShop("coupon_ended: by its own end or its campaign's stop, swept or not", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  await cell.issue({ request: "second" })
  cell.later(SECOND_MS)
  expect(await refused(cell, () => cell.revoke())).toEqual({ outcome: "coupon_ended", ended_at_ms: NOON + SECOND_MS })
  await cell.endCoupons()
  expect(await refused(cell, () => cell.revoke())).toEqual({ outcome: "coupon_ended", ended_at_ms: NOON + SECOND_MS })
  await cell.publish({ version: 2, state: "stopped" })
  expect(await refused(cell, () => cell.revoke({ request: "second" }))).toEqual({ outcome: "coupon_ended", ended_at_ms: MONTH_ENDS })
})

inShop("revoked: the stock and the money come back, the user's count does not", async (cell) => {
  for (let i = 0; i < STOCK; i++) await cell.issue({ user: `user ${i}`, holds: [[MONEY, 100]] })
  expect(await cell.issue()).toEqual({ outcome: "stock_exhausted" })
  cell.later(1)
  expect(await cell.revoke({ user: "user 0" })).toEqual({ outcome: "revoked" })
  expect(await cell.coupon({ user: "user 0" })).toEqual({ state: "revoked", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent", since_ms: NOON + 1 })
  expect(await cell.lastEntry()).toMatchObject({ act: "revoked", moves: [[`b${MONEY}`, 0, -100, 0], [`i${SPRING}`, MONEY, -100], [`k${SPRING}`, 0, 0, 1, 0, 0]] })
  expect(await cell.money()).toEqual({ held: 400, spent: 0, available: LIMIT_MINOR - 400 })
  expect(await cell.counts()).toEqual({ issued: STOCK, revoked: 1, reserved: 0, redeemed: 0 })
  expect(await cell.count({ user: "user 0" })).toBe("1")
  expect(await cell.issue()).toMatchObject({ outcome: "issued" })
})

inShop("revoked: a coupon that came back from a hold", async (cell) => {
  await cell.issue({ holds: [[MONEY, 100]] })
  await cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 10 })] })
  await cell.cancel()
  expect(await cell.revoke()).toEqual({ outcome: "revoked" })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
})

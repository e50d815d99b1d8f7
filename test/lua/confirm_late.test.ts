// Confirm late, once the hold was swept: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { COUPON_STATES, valuesOf } from "../../lua/records.ts"
import {
  AGE_MS, type Cell, HOLD_MS, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, OTHER_MONEY, redemptionOf, refused, SECOND_MS, SPRING, use, walletField,
} from "./cell.ts"

/** A coupon whose hold ran out and was swept. */
const expired = async (cell: Cell, issued: Parameters<Cell["issue"]>[0] = {}, used: Parameters<typeof use>[0] = {}) => {
  await cell.issue(issued)
  await cell.reserve({ coupons: [use(used)] })
  cell.later(HOLD_MS)
  await cell.expire()
}

inShop("moved: a record that is not where it was, or is not expired", async (cell) => {
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "moved" })
  await cell.issue()
  await cell.reserve()
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "moved" }) // still open
  await cell.cancel()
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "moved" }) // cancelled
  await cell.reserve({ request: "again" })
  await cell.confirm({ request: "again" })
  expect(await refused(cell, () => cell.confirmLate({ request: "again" }))).toEqual({ outcome: "moved" }) // confirmed
})

inShop("journal_full: money that was given back is spending to take again", async (cell) => {
  await expired(cell)
  await cell.markFull()
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "journal_full" })
})

inShop("order_taken: the order has another hold, open or confirmed", async (cell) => {
  await expired(cell)
  await cell.issue({ request: "second" })
  await cell.reserve({ request: "again", coupons: [use({ request: "second" })] })
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "order_taken" })
  await cell.confirm({ request: "again" })
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "order_taken" })
})

inShop("order_taken: not by a hold that came to nothing", async (cell) => {
  await expired(cell)
  await cell.issue({ request: "second" })
  await cell.reserve({ request: "again", coupons: [use({ request: "second" })] })
  await cell.cancel({ request: "again" })
  expect(await cell.confirmLate()).toMatchObject({ outcome: "confirmed" })
  expect((await cell.wallet())[walletField.order()]?.toString()).toBe(redemptionOf())
})

inShop("coupon_aged: a coupon that has left before its redemption is asked for, and comes back from its record", async (cell) => {
  await expired(cell, { valid_ms: HOLD_MS })
  const coupon = (await cell.coupon())!
  expect(coupon.state).toBe("ended")
  cell.later(AGE_MS)
  await cell.evict({ next_ms: 1 })
  expect(await cell.coupon()).toBeUndefined()
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "coupon_aged" })
  expect(await refused(cell, () => cell.confirmLate({ aged: [[walletField.coupon(), 0]] }))).toEqual({ outcome: "coupon_taken", field: walletField.coupon() })
  const values = valuesOf("coupon", { ...coupon, state: COUPON_STATES.indexOf("ended") + 1 })
  expect(await cell.confirmLate({ aged: [[walletField.coupon(), values]] })).toMatchObject({ outcome: "confirmed" })
  expect(await cell.coupon()).toMatchObject({ state: "redeemed" })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 1 })
})

inShop("coupon_taken: reserved by another order, redeemed there, or revoked", async (cell) => {
  const taken = { outcome: "coupon_taken", field: walletField.coupon() } as const
  await expired(cell)
  await cell.reserve({ order: "order 2" })
  expect(await refused(cell, () => cell.confirmLate())).toEqual(taken)
  await cell.confirm({ order: "order 2" })
  expect(await refused(cell, () => cell.confirmLate())).toEqual(taken)
})

inShop("coupon_taken: a coupon that was revoked since", async (cell) => {
  await expired(cell)
  await cell.revoke()
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "coupon_taken", field: walletField.coupon() })
})

inShop("budget_exhausted: the money was spent elsewhere meanwhile, and a part of it is not taken", async (cell) => {
  await cell.fund({ budget: OTHER_MONEY, addition: "other" })
  await expired(cell, {}, { shares: [[MONEY, 60], [OTHER_MONEY, 40]] })
  await cell.issue({ user: "bob" })
  await cell.reserve({ user: "bob", coupons: [use({ shares: [[OTHER_MONEY, LIMIT_MINOR - 39]] })] })
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "budget_exhausted", field: walletField.coupon(), budget: OTHER_MONEY, missing_minor: 1, left_minor: 39 })
  await cell.cancel({ user: "bob" })
  expect(await cell.confirmLate()).toMatchObject({ outcome: "confirmed" })
})

inShop("confirmed: at its price, with money taken anew, though the coupon and the month have ended since", async (cell) => {
  await expired(cell, { valid_ms: HOLD_MS + SECOND_MS })
  const then = await cell.redemption()
  cell.later(MONTH_ENDS - NOON)
  const reply = await cell.confirmLate()
  if (reply.outcome !== "confirmed") throw new Error(reply.outcome)
  expect([reply.confirmed_at_ms, reply.body]).toEqual([cell.now(), "allocation of order 1"])
  expect(await cell.redemption()).toEqual({ ...then!, state: "confirmed", since_ms: cell.now(), confirmed_ms: cell.now(), revision: 2 })
  expect(await cell.coupon()).toMatchObject({ state: "redeemed", redemption: redemptionOf(), since_ms: cell.now() })
  expect(await cell.money()).toEqual({ held: 0, spent: 100, available: LIMIT_MINOR - 100 })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 1 })
  expect(await cell.mark()).toMatch(/^c\d+$/)
  const entry = await cell.lastEntry()
  expect(entry).toMatchObject({ act: "confirmed", redemptions: [[redemptionOf(), expect.anything(), ""]] })
  expect(entry.moves).toEqual([[`b${MONEY}`, 0, 0, 100], [`k${SPRING}`, 0, 0, 0, 0, 1]])
  expect(await refused(cell, () => cell.confirmLate())).toEqual({ outcome: "moved" })
})

inShop("confirmed: a coupon that ended without a sweep keeps its right to a late confirm until it is old", async (cell) => {
  await expired(cell, { valid_ms: HOLD_MS + SECOND_MS })
  cell.later(2 * SECOND_MS)
  expect(await cell.evict()).toEqual({ outcome: "evicted", count: 0 })
  cell.later(AGE_MS - 4 * SECOND_MS)
  expect(await cell.evict()).toEqual({ outcome: "evicted", count: 0 })
  expect(await cell.confirmLate()).toMatchObject({ outcome: "confirmed" })
})

inShop("confirmed: money that is still held since the issue is not taken twice", async (cell) => {
  await expired(cell, { holds: [[MONEY, 300]] }, { at_issue: 1, discount_minor: 250 })
  expect(await cell.idle()).toEqual([[MONEY, 300]])
  await cell.issue({ user: "bob" })
  await cell.reserve({ user: "bob", coupons: [use({ discount_minor: 700 })] }) // nothing is free
  expect(await cell.confirmLate()).toMatchObject({ outcome: "confirmed" })
  expect(await cell.money()).toEqual({ held: 700, spent: 250, available: 50 })
  expect(await cell.idle()).toEqual([])
  expect((await cell.lastEntry()).moves).toEqual([[`b${MONEY}`, 0, -300, 250], [`i${SPRING}`, MONEY, -300], [`k${SPRING}`, 0, 0, 0, 0, 1]])
})

inShop("confirmed: money held at issue that a stop or a sweep gave back is taken anew, at the price", async (cell) => {
  await expired(cell, { holds: [[MONEY, 300]] }, { at_issue: 1, discount_minor: 250 })
  await cell.publish({ version: 2, state: "stopped" })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.confirmLate()).toMatchObject({ outcome: "confirmed" })
  expect(await cell.money()).toEqual({ held: 0, spent: 250, available: 750 })
  expect(await cell.coupon()).toMatchObject({ state: "redeemed" })

  await cell.publish({ campaign: 20 })
  await cell.issue({ user: "bob", campaign: 20, holds: [[MONEY, 300]], valid_ms: HOLD_MS + SECOND_MS })
  await cell.reserve({ user: "bob", coupons: [use({ campaign: 20, at_issue: 1, discount_minor: 250 })] })
  cell.later(HOLD_MS)
  await cell.expire({ user: "bob" })
  cell.later(SECOND_MS)
  expect(await cell.endCoupons([{ campaign: 20 }], "bob")).toEqual({ outcome: "ended", count: 1 })
  expect(await cell.confirmLate({ user: "bob" })).toMatchObject({ outcome: "confirmed" })
  expect(await cell.money()).toEqual({ held: 0, spent: 500, available: 500 })
})

inShop("confirmed: what was confirmed late can be refunded", async (cell) => {
  await expired(cell)
  await cell.confirmLate()
  expect(await cell.refund({ revision: 2 })).toMatchObject({ outcome: "refunded" })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.counts(SPRING)).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 1 })
})

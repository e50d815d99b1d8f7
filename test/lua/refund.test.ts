// Refund: one test an outcome, in the order of precedence.

import { expect, test } from "bun:test"
import { idHash } from "../../lua/keys.ts"
import { valuesOf } from "../../lua/records.ts"
import {
  AGE_MS, agrees, broken, type Cell, HOLD_MS, HOUR_MS, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, openShop, OTHER_MONEY, redemptionOf, refused, SECOND_MS, SPRING, SUMMER, use, walletField,
} from "./cell.ts"

/** A coupon that was used. */
const redeemed = async (cell: Cell, used: Parameters<typeof use>[0] = {}) => {
  await cell.issue()
  await cell.reserve({ coupons: [use(used)] })
  await cell.confirm()
}

inShop("moved: a record that is not where it was, and one that has moved on since it was read", async (cell) => {
  expect(await refused(cell, () => cell.refund())).toEqual({ outcome: "moved" })
  await redeemed(cell)
  expect(await refused(cell, () => cell.refund({ revision: 0 }))).toEqual({ outcome: "moved" })
  await cell.refund({ backs: [[1, [40], 0]], full: 0 })
  expect(await refused(cell, () => cell.refund({ refund_id: "refund 2", revision: 1, backs: [[1, [60], 0]] }))).toEqual({ outcome: "moved" })
})

inShop("request_conflict: the same refund id with other content, at any revision", async (cell) => {
  await redeemed(cell)
  await cell.refund()
  expect(await refused(cell, () => cell.refund({ fingerprint: "other", revision: 9 }))).toEqual({ outcome: "request_conflict" })
})

inShop("replayed: the same refund again is told what it was told, also when nothing is left", async (cell) => {
  await redeemed(cell)
  await cell.refund({ answer: "forty back", backs: [[1, [40], 0]], full: 0 })
  await cell.refund({ refund_id: "refund 2", revision: 2, backs: [[1, [60], 0]] })
  cell.later(3 * HOUR_MS)
  expect(await refused(cell, () => cell.refund())).toEqual({ outcome: "replayed", answer_then: "forty back" })
})

inShop("wrong_state: only what was confirmed is refunded, and nothing once all is", async (cell) => {
  await redeemed(cell)
  await cell.refund()
  expect(await refused(cell, () => cell.refund({ refund_id: "refund 2", revision: 2, backs: [] }))).toEqual({ outcome: "wrong_state", state: 6 })
  await cell.issue({ request: "second" })
  await cell.reserve({ order: "order 2", coupons: [use({ request: "second" })] })
  await cell.cancel({ order: "order 2" })
  expect(await refused(cell, () => cell.refund({ order: "order 2" }))).toEqual({ outcome: "wrong_state", state: 3 })
  await cell.reserve({ order: "order 3", coupons: [use({ request: "second" })] })
  cell.later(HOLD_MS)
  await cell.expire({ order: "order 3" })
  expect(await refused(cell, () => cell.refund({ order: "order 3" }))).toEqual({ outcome: "wrong_state", state: 4 })
})

inShop("coupon_aged: a coupon that has left before its redemption is asked for, and comes back from its record", async (cell) => {
  await redeemed(cell)
  const { state: _, ...coupon } = (await cell.coupon())!
  cell.later(AGE_MS)
  await cell.evict({ next_ms: 1 })
  expect(await cell.coupon()).toBeUndefined()
  expect(await refused(cell, () => cell.refund({ backs: [[1, [100], 1]] }))).toEqual({ outcome: "coupon_aged" })
  const values = valuesOf("coupon", { ...coupon, state: 3 })
  expect(await cell.refund({ backs: [[1, [100], 1]], aged: [[walletField.coupon(), values]] })).toMatchObject({ outcome: "refunded" })
  expect(await cell.coupon()).toMatchObject({ state: "issued" })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 0 })
})

inShop("refunded: a part, the record with its new body, the money in its budget, the entry", async (cell) => {
  await redeemed(cell)
  cell.later(HOUR_MS)
  const reply = await cell.refund({ backs: [[1, [40], 0]], full: 0, body: "forty are back", answer: "forty back", payload: `{"refund_id":"refund 1"}` })
  if (reply.outcome !== "refunded") throw new Error(reply.outcome)
  expect(await cell.redemption()).toMatchObject({
    state: "partly_refunded", revision: 2, refunds: [[idHash("refund 1"), "as-sent", "forty back"]], since_ms: NOON + HOUR_MS, confirmed_ms: NOON, body: "forty are back",
  })
  expect(await cell.money()).toEqual({ held: 0, spent: 60, available: LIMIT_MINOR - 60 })
  expect(await cell.coupon()).toMatchObject({ state: "redeemed" })
  expect(await cell.mark()).toBe(`c${NOON / HOUR_MS + 1}`)
  expect(await cell.lastEntry()).toMatchObject({
    act: "refunded", moves: [[`b${MONEY}`, 0, 0, -40]], coupons: [], redemptions: [[redemptionOf(), expect.anything(), "forty are back"]], payload: `{"refund_id":"refund 1"}`,
  })
})

inShop("refunded: in parts until all is back, and never a cent more", async (cell) => {
  await redeemed(cell)
  await cell.refund({ backs: [[1, [40], 0]], full: 0 })
  expect(await broken(cell, () => cell.refund({ refund_id: "refund 2", revision: 2, backs: [[1, [61], 0]] }))).toContain("gives back more than was spent")
  expect(await cell.refund({ refund_id: "refund 2", revision: 2, backs: [[1, [60], 0]] })).toMatchObject({ outcome: "refunded" })
  expect(await cell.redemption()).toMatchObject({ state: "refunded", coupons: [[expect.any(String), SPRING, 100, 0, [[MONEY, 100, 100, 100]]]] })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
})

inShop("refunded: each budget gets back its own part, of each coupon", async (cell) => {
  await cell.publish({ campaign: SUMMER })
  await cell.fund({ budget: OTHER_MONEY, addition: "other" })
  await cell.issue()
  await cell.issue({ campaign: SUMMER })
  await cell.reserve({ coupons: [use({ shares: [[MONEY, 70], [OTHER_MONEY, 30]] }), use({ campaign: SUMMER, discount_minor: 50 })] })
  await cell.confirm()
  expect(await cell.refund({ backs: [[1, [7, 3], 0], [2, [50], 0]], full: 0 })).toMatchObject({ outcome: "refunded" })
  expect([await cell.money(), await cell.money(OTHER_MONEY)]).toMatchObject([{ spent: 63 }, { spent: 27 }])
})

inShop("refunded: a coupon that is returned can be used again, one that is kept cannot", async (cell) => {
  await redeemed(cell)
  expect(await cell.refund({ backs: [[1, [100], 1]] })).toMatchObject({ outcome: "refunded" })
  expect(await cell.coupon()).toEqual({ state: "issued", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent" })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 0 })
  expect((await cell.lastEntry()).moves).toEqual([[`b${MONEY}`, 0, 0, -100], [`k${SPRING}`, 0, 0, 0, 0, -1]])
  expect(await cell.reserve({ order: "order 2" })).toMatchObject({ outcome: "reserved" })
})

inShop("refunded: a coupon that is returned after its end has ended", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS })
  await cell.reserve()
  await cell.confirm()
  cell.later(SECOND_MS)
  await cell.refund({ backs: [[1, [100], 1]] })
  expect(await cell.coupon()).toEqual({ state: "ended", ends_at_ms: NOON + SECOND_MS, fingerprint: "as-sent", since_ms: NOON + SECOND_MS })
})

inShop("refunded: a coupon that is returned twice in one refund comes back once", async (cell) => {
  await redeemed(cell)
  expect(await cell.refund({ backs: [[1, [50], 1], [1, [50], 1]] })).toMatchObject({ outcome: "refunded" })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 0 })
})

inShop("refunded: after the campaign's stop, the month's close and with a full journal", async (cell) => {
  await redeemed(cell)
  await cell.publish({ version: 2, state: "stopped" })
  await cell.closeBudget()
  await cell.markFull()
  cell.later(MONTH_ENDS)
  expect(await cell.refund({ backs: [[1, [100], 1]] })).toMatchObject({ outcome: "refunded" })
  expect(await cell.coupon()).toMatchObject({ state: "ended" })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: 100 })
})

inShop("what is not a refund of this redemption breaks before anything is written", async (cell) => {
  await redeemed(cell)
  for (const backs of [[[1, [101], 0]], [[1, [-1], 0]], [[1, [0.5], 0]], [[1, [2 ** 53], 0]], [[2, [1], 0]], [[0, [1], 0]], [[1, [1, 1], 0]], [[1, [60], 0], [1, [41], 0]], [5], [[1]]]) {
    expect(await broken(cell, () => cell.refund({ backs }))).not.toContain("no error")
  }
})

test("replayed: one refund, a hundred callers, one refund", async () => {
  const cell = await openShop()
  await redeemed(cell)
  const replies = await Promise.all(Array.from({ length: 100 }, () => cell.refund({ backs: [[1, [30], 0]], full: 0 })))
  expect(replies.filter(({ outcome }) => outcome === "refunded")).toHaveLength(1)
  expect(replies.filter(({ outcome }) => outcome === "replayed")).toHaveLength(99)
  expect(await cell.money()).toMatchObject({ spent: 70 })
  await agrees(cell)
})

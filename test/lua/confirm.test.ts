// Confirm: one test an outcome, in the order of precedence.

import { expect, test } from "bun:test"
import {
  agrees, HOLD_MS, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, openShop, OTHER_MONEY, redemptionOf, refused, SECOND_MS, SPRING, SUMMER, use, walletField,
} from "./cell.ts"

inShop("not_open: a redemption that never was, was given back, or is confirmed already", async (cell) => {
  await cell.issue()
  expect(await refused(cell, () => cell.confirm())).toEqual({ outcome: "not_open" })
  await cell.reserve()
  await cell.cancel()
  expect(await refused(cell, () => cell.confirm())).toEqual({ outcome: "not_open" })
  await cell.reserve({ request: "again" })
  await cell.confirm({ request: "again" })
  expect(await refused(cell, () => cell.confirm({ request: "again" }))).toEqual({ outcome: "not_open" })
})

inShop("redemption_expired: from its last millisecond on, before the sweeper came", async (cell) => {
  await cell.issue()
  await cell.reserve()
  cell.later(HOLD_MS)
  expect(await refused(cell, () => cell.confirm())).toEqual({ outcome: "redemption_expired", expired_at_ms: NOON + HOLD_MS })
  cell.later(-1)
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
})

inShop("confirmed: late, before the sweeper came, with what the hold itself still holds", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS })
  await cell.reserve({ coupons: [use({ discount_minor: LIMIT_MINOR })] })
  await cell.publish({ version: 2, state: "stopped" })
  cell.later(HOLD_MS)
  expect(await cell.confirm({ late: 1 })).toMatchObject({ outcome: "confirmed" })
  expect(await cell.money()).toEqual({ held: 0, spent: LIMIT_MINOR, available: 0 })
})

inShop("confirmed: the coupon is redeemed, the money spent, the record settled in its hour, the deadline gone", async (cell) => {
  await cell.issue()
  await cell.reserve()
  cell.later(1)
  const reply = await cell.confirm()
  if (reply.outcome !== "confirmed") throw new Error(reply.outcome)
  expect([reply.confirmed_at_ms, reply.body]).toEqual([NOON + 1, "allocation of order 1"])
  expect(await cell.redemption()).toMatchObject({ state: "confirmed", revision: 1, since_ms: NOON + 1, confirmed_ms: NOON + 1, coupons: [[walletField.coupon(), SPRING, 100, 0, [[MONEY, 100, 100, 0]]]], body: "allocation of order 1" })
  expect(await cell.mark()).toBe(`c${Math.floor(NOON / 3_600_000)}`)
  expect(await cell.coupon()).toEqual({ state: "redeemed", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent", redemption: redemptionOf(), since_ms: NOON + 1 })
  expect(await cell.money()).toEqual({ held: 0, spent: 100, available: LIMIT_MINOR - 100 })
  expect(await cell.counts()).toEqual({ issued: 1, revoked: 0, reserved: 0, redeemed: 1 })
  expect((await cell.lastEntry()).moves).toEqual([[`b${MONEY}`, 0, -100, 100], [`k${SPRING}`, 0, 0, 0, -1, 1]])
  expect(await cell.lastEntry()).toMatchObject({ act: "confirmed", payload: "", redemptions: [[redemptionOf(), expect.anything(), ""]] })
})

inShop("confirmed: what was held at issue beyond the discount goes back, to the cent, in each budget", async (cell) => {
  await cell.fund({ budget: OTHER_MONEY, addition: "other" })
  await cell.issue({ holds: [[MONEY, 300], [OTHER_MONEY, 100]] })
  await cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 201, shares: [[MONEY, 151], [OTHER_MONEY, 50]] })] })
  await cell.confirm()
  expect(await cell.money()).toEqual({ held: 0, spent: 151, available: LIMIT_MINOR - 151 })
  expect(await cell.money(OTHER_MONEY)).toEqual({ held: 0, spent: 50, available: LIMIT_MINOR - 50 })
  expect(await cell.coupon()).toEqual({ state: "redeemed", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent", redemption: redemptionOf(), since_ms: NOON })
})

inShop("confirmed: several coupons of several campaigns at once", async (cell) => {
  await cell.publish({ campaign: SUMMER })
  await cell.issue()
  await cell.issue({ campaign: SUMMER })
  await cell.reserve({ coupons: [use({ discount_minor: 10 }), use({ campaign: SUMMER, discount_minor: 20 })] })
  await cell.confirm()
  expect([await cell.counts(), await cell.counts(SUMMER)]).toMatchObject([{ redeemed: 1 }, { redeemed: 1 }])
  expect(await cell.money()).toEqual({ held: 0, spent: 30, available: LIMIT_MINOR - 30 })
})

inShop("confirmed: pause, stop, the coupon's end and the budget's month touch no hold", async (cell) => {
  cell.later(MONTH_ENDS - NOON - SECOND_MS)
  await cell.issue()
  await cell.reserve()
  await cell.publish({ version: 2, state: "stopped" })
  await cell.markFull()
  cell.later(2 * SECOND_MS)
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
})

test("confirmed: a confirm, a cancel and an expiry at once: one of them, and the money once", async () => {
  const cell = await openShop()
  await cell.issue()
  await cell.reserve()
  const replies = await Promise.all(Array.from({ length: 60 }, (_, i) => [cell.confirm, cell.cancel, cell.confirm][i % 3]!()))
  expect(replies.filter(({ outcome }) => outcome === "confirmed")).toHaveLength(1)
  expect(replies.filter(({ outcome }) => outcome === "not_open")).toHaveLength(59)
  await agrees(cell)
})

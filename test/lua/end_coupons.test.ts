// End coupons: what the sweeper asks for is judged again, and money comes back once.

import { expect } from "bun:test"
import { inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, NOON, refused, SECOND_MS, SPRING, use } from "./cell.ts"

inShop("ended: nothing is ended before its time, nor what is held, used, gone or holds no money", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  expect(await refused(cell, () => cell.endCoupons())).toEqual({ outcome: "ended", count: 0 })
  await cell.issue({ request: "held", valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  await cell.reserve({ coupons: [use({ request: "held", at_issue: 1 })] })
  await cell.issue({ request: "plain", valid_ms: SECOND_MS })
  cell.later(SECOND_MS)
  expect(await refused(cell, () => cell.endCoupons([{ request: "held" }, { request: "plain" }, { request: "never" }]))).toEqual({ outcome: "ended", count: 0 })
  expect(await refused(cell, () => cell.endCoupons([]))).toEqual({ outcome: "ended", count: 0 })
  await cell.confirm()
  expect(await refused(cell, () => cell.endCoupons([{ request: "held" }]))).toEqual({ outcome: "ended", count: 0 })
})

inShop("ended: several of one wallet in one entry, their money back, the count and the stock as they were", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  await cell.issue({ request: "second", valid_ms: SECOND_MS, holds: [[MONEY, 50]] })
  cell.later(SECOND_MS)
  expect(await cell.endCoupons([{}, { request: "second" }])).toEqual({ outcome: "ended", count: 2 })
  expect(await cell.lastEntry()).toMatchObject({ act: "ended", moves: [[`b${MONEY}`, 0, -150, 0], [`i${SPRING}`, MONEY, -150]] })
  expect(await cell.coupon()).toEqual({ state: "ended", ends_at_ms: NOON + SECOND_MS, fingerprint: "as-sent", since_ms: NOON + SECOND_MS })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.counts()).toEqual({ issued: 2, revoked: 0, reserved: 0, redeemed: 0 })
  expect(await cell.count()).toBe("2")
  expect(await refused(cell, () => cell.endCoupons([{}, { request: "second" }]))).toEqual({ outcome: "ended", count: 0 })
})

inShop("ended: a coupon that is named twice gives its money back once", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  cell.later(SECOND_MS)
  expect(await cell.endCoupons([{}, {}])).toEqual({ outcome: "ended", count: 1 })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
})

inShop("ended: after a stop the coupon ends and its money, back already, does not move again", async (cell) => {
  await cell.issue({ holds: [[MONEY, 100]] })
  await cell.publish({ version: 2, state: "stopped" })
  expect(await cell.money()).toMatchObject({ held: 0 })
  expect(await cell.endCoupons()).toEqual({ outcome: "ended", count: 1 })
  expect(await cell.lastEntry()).toMatchObject({ act: "ended", moves: [] })
  expect(await cell.coupon()).toEqual({ state: "ended", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent", since_ms: NOON })
})

// Evict: what leaves a wallet, when, and what stays in its place.

import { expect } from "bun:test"
import { AGE_MS, deadline, HOUR_MS, inShop, markOf, MONEY, MONTH_ENDS, NOON, refused, REMEMBER_MS, SECOND_MS, SPRING, SUMMER, use, walletField } from "./cell.ts"


inShop("evicted: nothing that is not terminal, flushed and old", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "held" })
  await cell.reserve({ coupons: [use({ request: "held" })] })
  await cell.issue({ request: "used" })
  await cell.reserve({ order: "order 2", coupons: [use({ request: "used" })] })
  await cell.confirm({ order: "order 2" })
  const coupons = [{}, { request: "held" }, { request: "used" }, { request: "never" }]
  const marks = [walletField.redemption(), walletField.order(), walletField.redemption({ order: "order 2" }), walletField.order("order 2"), `n${SPRING}`, "mnothing0"]
  const evict = (flushed_ms = cell.now()) => cell.evict({ coupons, marks, flushed_ms, next_ms: NOON + 1 })
  await evict() // sets the deadline
  cell.later(AGE_MS - 1)
  expect(await refused(cell, evict)).toEqual({ outcome: "evicted", count: 0 })
  cell.later(1)
  expect(await refused(cell, () => evict(NOON))).toEqual({ outcome: "evicted", count: 0 }) // not flushed yet
  expect(await evict()).toEqual({ outcome: "evicted", count: 1 })
  expect([await cell.coupon({ request: "used" }), await cell.coupon(), await cell.coupon({ request: "held" })]).toMatchObject([{}, { state: "issued" }, { state: "reserved" }].map((one, i) => i === 0 ? undefined : one) as never)
})

inShop("evicted: a coupon leaves a mark, its user's count stays, the cell remembers at which tail, and nothing is journalled", async (cell) => {
  await cell.issue()
  await cell.revoke()
  const entries = await cell.entries()
  cell.later(AGE_MS)
  expect(await cell.evict({ next_ms: NOON + REMEMBER_MS })).toEqual({ outcome: "evicted", count: 1 })
  expect(await cell.coupon()).toBeUndefined()
  expect((await cell.wallet())[markOf()]?.toString()).toBe(String(Math.floor((NOON + AGE_MS + REMEMBER_MS) / HOUR_MS)))
  expect(await cell.count()).toBe("1")
  expect(await cell.cell()).toMatchObject({ evicted: entries.at(-1)!.id })
  expect(await cell.entries()).toEqual(entries)
  expect(await cell.due()).toEqual({ [deadline.user()]: NOON + REMEMBER_MS })
})

inShop("evicted: a coupon that ended without an act leaves when its end is old", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS })
  cell.later(SECOND_MS + AGE_MS - 1)
  expect(await cell.evict({ next_ms: 1 })).toEqual({ outcome: "evicted", count: 0 })
  cell.later(1)
  expect(await cell.evict()).toEqual({ outcome: "evicted", count: 1 })
})

inShop("evicted: a coupon that holds money waits until it has been ended", async (cell) => {
  await cell.issue({ valid_ms: SECOND_MS, holds: [[MONEY, 100]] })
  cell.later(SECOND_MS + AGE_MS)
  expect(await cell.evict({ next_ms: 1 })).toEqual({ outcome: "evicted", count: 0 })
  await cell.endCoupons()
  cell.later(AGE_MS)
  expect(await cell.evict()).toEqual({ outcome: "evicted", count: 1 })
})

inShop("evicted: a mark stays as long as ids are remembered, and is then new", async (cell) => {
  await cell.issue()
  await cell.revoke()
  cell.later(AGE_MS)
  await cell.evict()
  cell.later(REMEMBER_MS)
  expect(await cell.evict({ coupons: [], marks: [markOf()], next_ms: 1 })).toEqual({ outcome: "evicted", count: 0 })
  cell.later(HOUR_MS)
  expect(await cell.evict({ coupons: [], marks: [markOf()] })).toEqual({ outcome: "evicted", count: 1 })
  expect((await cell.wallet())[markOf()]).toBeUndefined()
})

inShop("evicted: the marks of a redemption and its order leave when they are forgotten, an open one's never", async (cell) => {
  await cell.issue()
  await cell.reserve()
  const marks = [walletField.redemption(), walletField.order()]
  cell.later(2 * REMEMBER_MS)
  expect(await cell.evict({ coupons: [], marks, next_ms: 1 })).toEqual({ outcome: "evicted", count: 0 })
  await cell.expire()
  cell.later(REMEMBER_MS)
  expect(await cell.evict({ coupons: [], marks, next_ms: 1 })).toEqual({ outcome: "evicted", count: 0 })
  cell.later(HOUR_MS)
  expect(await cell.evict({ coupons: [], marks })).toEqual({ outcome: "evicted", count: 2 })
  expect(Object.keys(await cell.wallet())).toEqual([walletField.coupon(), `n${SPRING}`].toSorted((a, b) => b.length - a.length))
})

inShop("evicted: a count leaves when its campaign can issue no more", async (cell) => {
  await cell.publish({ campaign: SUMMER })
  await cell.issue()
  await cell.issue({ campaign: SUMMER })
  const counts = [`n${SPRING}`, `n${SUMMER}`]
  cell.later(MONTH_ENDS - NOON + AGE_MS - 1)
  expect(await cell.evict({ coupons: [], marks: counts, next_ms: 1 })).toEqual({ outcome: "evicted", count: 0 })
  await cell.publish({ campaign: SUMMER, version: 2, state: "stopped" })
  expect(await cell.evict({ coupons: [], marks: counts, next_ms: 1 })).toEqual({ outcome: "evicted", count: 1 })
  cell.later(1)
  expect(await cell.evict({ coupons: [], marks: counts, next_ms: 1 })).toEqual({ outcome: "evicted", count: 1 })
  expect([await cell.count(), await cell.count({ campaign: SUMMER })]).toEqual([undefined, undefined])
})

inShop("evicted: a wallet with nothing more to come leaves the deadlines", async (cell) => {
  await cell.issue({ held_out: 1 })
  cell.later(MONTH_ENDS - NOON + AGE_MS)
  expect(await cell.due()).toEqual({ [deadline.user()]: cell.now() })
  expect(await cell.evict({ coupons: [], marks: [`n${SPRING}`] })).toEqual({ outcome: "evicted", count: 1 })
  expect(await cell.wallet()).toEqual({})
  expect(await cell.due()).toEqual({})
})

inShop("evicted: a wallet that has got a coupon since the sweeper read it keeps its deadline", async (cell) => {
  await cell.issue()
  await cell.revoke()
  cell.later(MONTH_ENDS - NOON - SECOND_MS)
  const fields_then = Object.keys(await cell.wallet()).length
  const due = await cell.due()
  await cell.publish({ version: 2, ends_ms: 2 * MONTH_ENDS })
  await cell.issue({ request: "meanwhile", version: 2, holds: [[MONEY, 100]], valid_ms: SECOND_MS })
  for (const next_ms of [0, 2 * MONTH_ENDS]) { // as worked out without the new coupon, whose money would be held for ever
    expect(await cell.evict({ fields_then, next_ms })).toMatchObject({ outcome: "evicted" })
    expect(await cell.due()).toEqual({ [deadline.user()]: Math.min(due[deadline.user()]!, cell.now() + SECOND_MS) })
  }
})

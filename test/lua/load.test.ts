// Load: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import type { RedemptionRecord } from "../../lua/records.ts"
import { AGE_MS, type Cell, deadline, HOUR_MS, inShop, LIMIT_MINOR, NOON, redemptionOf, refused, walletField } from "./cell.ts"

const HOUR = NOON / HOUR_MS

/** A confirmed redemption and its coupon that have left Redis, and the records as Postgres has them. */
const aged = async (cell: Cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.confirm()
  const { body, state, ...rest } = (await cell.redemption())!
  const { state: _, ...coupon } = (await cell.coupon())!
  cell.later(AGE_MS + HOUR_MS)
  await cell.evictSettled({ hour: HOUR })
  await cell.evict({ next_ms: 1 })
  const [cursor_epoch, cursor_n] = (await cell.entries()).at(-1)!.id.split("-").map(Number) as [number, number]
  const head: RedemptionRecord = { ...rest, state: 2 }
  expect([body, state]).toEqual(["allocation of order 1", "confirmed"])
  return { head, coupons: { [walletField.coupon()]: { ...coupon, state: 3 } }, mark_then: `c${HOUR}`, cursor_epoch, cursor_n }
}

inShop("behind: what was read before the last eviction may be older than what left", async (cell) => {
  const ledger = await aged(cell)
  expect(await refused(cell, () => cell.load({ ...ledger, cursor_n: ledger.cursor_n - 1 }))).toEqual({ outcome: "behind" })
  expect(await refused(cell, () => cell.load({ ...ledger, cursor_epoch: 0, cursor_n: 2 ** 40 }))).toEqual({ outcome: "behind" })
  expect(await refused(cell, () => cell.load({ ...ledger, cursor_n: 0, mark_then: "" }))).toEqual({ outcome: "behind" })
})

inShop("there: only where there is none, so a second load changes nothing", async (cell) => {
  const ledger = await aged(cell)
  expect(await refused(cell, () => cell.load({ ...ledger, mark_then: "" }))).toEqual({ outcome: "there" })
  await cell.load(ledger)
  await cell.refund({ backs: [[1, [40], 0]], full: 0 })
  expect(await refused(cell, () => cell.load(ledger))).toEqual({ outcome: "there" })
})

inShop("loaded: the record in this hour, its coupon where there is none, no entry; and a late refund works", async (cell) => {
  const ledger = await aged(cell)
  const entries = await cell.entries()
  expect(await cell.load(ledger)).toEqual({ outcome: "loaded" })
  expect(await cell.redemption()).toMatchObject({ state: "confirmed", body: "from the ledger", confirmed_ms: NOON })
  expect(await cell.mark()).toBe(`c${Math.floor(cell.now() / HOUR_MS)}`)
  expect(await cell.coupon()).toMatchObject({ state: "redeemed", since_ms: NOON })
  expect(await cell.entries()).toEqual(entries)
  expect(await cell.due()).toEqual({ [deadline.user()]: 1 }) // an earlier deadline stays
  expect(await cell.refund({ backs: [[1, [100], 1]] })).toMatchObject({ outcome: "refunded" })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.coupon()).toMatchObject({ state: "issued" })
  expect(await cell.reserve({ order: "order 2" })).toMatchObject({ outcome: "reserved" })
})

inShop("loaded: a coupon that is still there is newer than the one that was read", async (cell) => {
  const ledger = await aged(cell)
  await cell.putCoupon({ state: 5, ends_at_ms: 1, fingerprint: "newer", since_ms: 1 })
  await cell.load(ledger)
  expect(await cell.coupon()).toMatchObject({ fingerprint: "newer" })
  await cell.putCoupon(ledger.coupons[walletField.coupon()]!)
})

inShop("loaded: also where its marks were forgotten, and its order says again that it is confirmed", async (cell) => {
  const ledger = await aged(cell), { wallet } = cell.keysFor("ann"), order_mark = `o${ledger.head.order}`
  await cell.redis.hdel(wallet, walletField.redemption(), order_mark)
  expect(await cell.load({ ...ledger, mark_then: "" })).toEqual({ outcome: "loaded" })
  expect(await cell.redemption()).toMatchObject({ state: "confirmed" })
  expect(await cell.redis.hget(wallet, order_mark)).toBe(redemptionOf())
})

inShop("loaded: an order that came again keeps its newer redemption, and one that came to nothing claims none", async (cell) => {
  const ledger = await aged(cell), { wallet } = cell.keysFor("ann"), order_mark = `o${ledger.head.order}`
  await cell.redis.hdel(wallet, walletField.redemption())
  await cell.redis.hset(wallet, order_mark, "newer")
  await cell.load({ ...ledger, mark_then: "" })
  expect(await cell.redis.hget(wallet, order_mark)).toBe("newer")
  await cell.redis.hset(wallet, order_mark, redemptionOf())

  await cell.redis.hdel(wallet, walletField.redemption(), order_mark)
  await cell.load({ ...ledger, head: { ...ledger.head, state: 3 }, mark_then: "" })
  expect(await cell.redis.hexists(wallet, order_mark)).toBe(0)
  await cell.redis.hdel(wallet, walletField.redemption())
  await cell.load({ ...ledger, mark_then: "" })
})

inShop("loaded: a wallet that had left for good gets a deadline, so that it leaves again", async (cell) => {
  const ledger = await aged(cell)
  await cell.redis.del(cell.keysFor("ann").wallet, cell.keys.due)
  expect(await cell.load({ ...ledger, mark_then: "" })).toEqual({ outcome: "loaded" })
  expect(await cell.due()).toEqual({ [deadline.user()]: cell.now() + AGE_MS })
})

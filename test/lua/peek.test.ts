// Peek: what a wallet says. A read never writes.

import { expect } from "bun:test"
import { decode } from "@msgpack/msgpack"
import { AGE_MS, inShop, MONEY, MONTH_ENDS, NOON, redemptionOf, refused, SUMMER, walletField } from "./cell.ts"

inShop("peeked: an empty wallet has nothing", async (cell) => {
  const reply = await refused(cell, () => cell.peek())
  if (reply.outcome !== "peeked") throw new Error(reply.outcome)
  expect({ ...reply, coupons: decode(reply.coupons) }).toEqual({ outcome: "peeked", is_known: 0, current: "", at_ms: NOON, coupons: [] })
})

inShop("peeked: all coupons and no mark, or the named ones that are there; a redemption and the order's last", async (cell) => {
  await cell.publish({ campaign: SUMMER })
  await cell.issue({ holds: [[MONEY, 10]] })
  await cell.issue({ campaign: SUMMER })
  await cell.issue({ request: "second" })
  await cell.revoke({ request: "second" })
  cell.later(AGE_MS + 1)
  await cell.evict({ coupons: [{ request: "second" }] }) // leaves a mark
  await cell.reserve({ coupons: [] })
  const all = await refused(cell, () => cell.peek())
  if (all.outcome !== "peeked") throw new Error(all.outcome)
  const first = [walletField.coupon(), [1, MONTH_ENDS, "as-sent", "", "", [[MONEY, 10]]]]
  const summer = [walletField.coupon({ campaign: SUMMER }), [1, MONTH_ENDS, "as-sent"]]
  expect([all.is_known, all.current, all.at_ms]).toEqual([1, redemptionOf(), NOON + AGE_MS + 1])
  expect((decode(all.coupons) as unknown[]).toSorted()).toEqual([first, summer].toSorted())
  const named = await refused(cell, () => cell.peek({ order: "order 2", fields: [walletField.coupon({ request: "never" }), walletField.coupon()] }))
  if (named.outcome !== "peeked") throw new Error(named.outcome)
  expect([named.is_known, named.current, decode(named.coupons)]).toEqual([0, "", [first]])
})

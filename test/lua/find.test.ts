// Find: one test an outcome, in the order of precedence. A read never writes.

import { expect } from "bun:test"
import { unpackKept } from "../../lua/records.ts"
import { AGE_MS, HOLD_MS, HOUR_MS, inShop, NOON, refused, REMEMBER_MS, walletField } from "./cell.ts"

const HOUR = NOON / HOUR_MS

inShop("redemption_unknown: a redemption that this wallet has no mark of", async (cell) => {
  expect(await refused(cell, () => cell.find())).toEqual({ outcome: "redemption_unknown" })
  await cell.issue()
  await cell.reserve()
  expect(await refused(cell, () => cell.find({ user: "bob" }))).toEqual({ outcome: "redemption_unknown" })
})

inShop("look_in: a settled one is in the hash of its hour, which the caller has to name", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.confirm()
  expect(await refused(cell, () => cell.find({ hour: "" }))).toEqual({ outcome: "look_in", hour_then: String(HOUR) })
  expect(await refused(cell, () => cell.find({ hour: "1" }))).toEqual({ outcome: "look_in", hour_then: String(HOUR) })
})

inShop("aged: its record has left, its mark says that it was here", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.cancel()
  cell.later(AGE_MS + HOUR_MS)
  expect(await cell.evictSettled({ hour: HOUR })).toEqual({ outcome: "evicted" })
  expect(await refused(cell, () => cell.find())).toEqual({ outcome: "aged", mark: `x${HOUR}` })
  cell.later(REMEMBER_MS)
  await cell.evict({ coupons: [], marks: [walletField.redemption()] })
  expect(await refused(cell, () => cell.find())).toEqual({ outcome: "redemption_unknown" })
})

inShop("found: an open one wherever the caller looks, a settled one in its hour, with the cell's instant", async (cell) => {
  await cell.issue()
  await cell.reserve()
  cell.later(HOLD_MS)
  const open = await refused(cell, () => cell.find({ hour: "1" }))
  if (open.outcome !== "found") throw new Error(open.outcome)
  expect([unpackKept(open.kept).head.state, unpackKept(open.kept).body, open.at_ms]).toEqual([1, "allocation of order 1", NOON + HOLD_MS])
  await cell.expire()
  const settled = await refused(cell, () => cell.find())
  if (settled.outcome !== "found") throw new Error(settled.outcome)
  expect([unpackKept(settled.kept).head.state, unpackKept(settled.kept).body]).toEqual([4, "allocation of order 1"])
})

// Extend: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { unpackKept } from "../../lua/records.ts"
import { DAY_MS, deadline, HOLD_MS, inShop, NOON, redemptionOf, refused } from "./cell.ts"

inShop("not_open: a redemption that never was, or is confirmed", async (cell) => {
  await cell.issue()
  expect(await refused(cell, () => cell.extend())).toEqual({ outcome: "not_open" })
  await cell.reserve()
  await cell.confirm()
  expect(await refused(cell, () => cell.extend())).toEqual({ outcome: "not_open" })
})

inShop("redemption_expired: what ran out is not revived, also not by the end it had", async (cell) => {
  await cell.issue()
  await cell.reserve()
  cell.later(HOLD_MS)
  expect(await refused(cell, () => cell.extend())).toEqual({ outcome: "redemption_expired" })
  expect(await refused(cell, () => cell.extend({ expires_ms: NOON + HOLD_MS }))).toEqual({ outcome: "redemption_expired" })
})

inShop("replayed: the end that it has, though the journal is full", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.extend()
  await cell.markFull()
  const reply = await refused(cell, () => cell.extend())
  if (reply.outcome !== "replayed") throw new Error(reply.outcome)
  expect(unpackKept(reply.kept)).toMatchObject({ head: { state: 1, expires_ms: NOON + 2 * HOLD_MS }, body: "allocation of order 1" })
})

inShop("expires_too_early: a hold moves only forward", async (cell) => {
  await cell.issue()
  await cell.reserve()
  expect(await refused(cell, () => cell.extend({ expires_ms: NOON + HOLD_MS - 1 }))).toEqual({ outcome: "expires_too_early", expires_at_ms: NOON + HOLD_MS })
})

inShop("expires_too_late: at most the longest hold after the reserve, however often it is extended", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.extend()
  cell.later(HOLD_MS)
  expect(await refused(cell, () => cell.extend({ expires_ms: NOON + 7 * DAY_MS + 1 }))).toEqual({ outcome: "expires_too_late", latest_ms: NOON + 7 * DAY_MS })
  expect(await cell.extend({ expires_ms: NOON + 7 * DAY_MS })).toMatchObject({ outcome: "extended" })
})

inShop("journal_full: a hold that would last longer is spending", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.markFull()
  expect(await refused(cell, () => cell.extend())).toEqual({ outcome: "journal_full" })
})

inShop("extended: the record, the deadline and the entry, and nothing of the money", async (cell) => {
  await cell.issue()
  await cell.reserve()
  const money = await cell.money()
  const reply = await cell.extend()
  if (reply.outcome !== "extended") throw new Error(reply.outcome)
  expect(unpackKept(reply.kept).head).toMatchObject({ state: 1, expires_ms: NOON + 2 * HOLD_MS, revision: 1 })
  expect(await cell.redemption()).toMatchObject({ state: "reserved", expires_ms: NOON + 2 * HOLD_MS, reserved_ms: NOON, revision: 1, body: "allocation of order 1" })
  expect(await cell.due()).toMatchObject({ [deadline.hold()]: NOON + 2 * HOLD_MS })
  expect(await cell.money()).toEqual(money)
  expect(await cell.lastEntry()).toMatchObject({ act: "extended", moves: [], coupons: [], redemptions: [[redemptionOf(), expect.anything(), ""]] })
  cell.later(2 * HOLD_MS - 1)
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
})

// Publish: one test an outcome, in the order of precedence; and what a stop gives back.

import { expect } from "bun:test"
import { agrees, HOLD_MS, inEmptyCell, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, MONTH_STARTS, OTHER_MONEY, PER_USER, refused, SPRING, STOCK, use } from "./cell.ts"

inShop("replayed: the same version again and an older one change nothing", async (cell) => {
  await cell.publish({ version: 3 })
  expect(await refused(cell, () => cell.publish({ version: 3, state: "paused" }))).toEqual({ outcome: "replayed", version_now: 3 })
  expect(await refused(cell, () => cell.publish({ version: 2, state: "stopped" }))).toEqual({ outcome: "replayed", version_now: 3 })
})

inEmptyCell("published: the terms, the whole stock for a cell that is alone, and the entry", async (cell) => {
  expect(await cell.publish({ payload: `{"campaign_id":"spring"}` })).toEqual({ outcome: "published" })
  expect(await cell.campaignRecord()).toEqual({
    version: 1, state: 1, starts_ms: MONTH_STARTS, ends_ms: MONTH_ENDS, per_user: PER_USER,
    granted: STOCK, returned: 0, issued: 0, revoked: 0, reserved: 0, redeemed: 0, idle: [],
  })
  expect(await cell.bank(`k${SPRING}`)).toEqual({ total: STOCK, leases: [[0, STOCK, 0]] })
  expect(await cell.lastEntry()).toMatchObject({ act: "published", user: "", moves: [[`k${SPRING}`, STOCK, 0, 0, 0, 0]], payload: `{"campaign_id":"spring"}` })
})

inEmptyCell("published: with many cells the stock stays in its bank until a cell borrows", async (cell) => {
  await cell.publish({ is_alone: 0 })
  expect(await cell.campaignRecord()).toMatchObject({ granted: 0 })
  expect(await cell.bank(`k${SPRING}`)).toEqual({ total: STOCK, leases: [] })
  await cell.publish({ version: 2, is_alone: 0, stock: STOCK + 2 })
  expect(await cell.bank(`k${SPRING}`)).toEqual({ total: STOCK + 2, leases: [] })
})

inEmptyCell("published: a cell that is not the stock's home has the terms and no bank", async (cell) => {
  await cell.publish({ is_home: 0, is_alone: 0 })
  expect(await cell.bank(`k${SPRING}`)).toBeUndefined()
  expect(await cell.lastEntry()).toMatchObject({ act: "published", moves: [] })
})

inShop("published: more stock, more per user and a later end; counts stay", async (cell) => {
  await cell.issue()
  expect(await cell.publish({ version: 2, stock: STOCK + 3, per_user: 9, ends_ms: MONTH_ENDS + 1 })).toEqual({ outcome: "published" })
  expect(await cell.campaignRecord()).toMatchObject({ version: 2, granted: STOCK + 3, per_user: 9, ends_ms: MONTH_ENDS + 1, issued: 1 })
  expect(await cell.lastEntry()).toMatchObject({ moves: [[`k${SPRING}`, 3, 0, 0, 0, 0]] })
})

inShop("published: a pause is journalled as one and touches no hold", async (cell) => {
  await cell.issue()
  await cell.reserve()
  expect(await cell.publish({ version: 2, state: "paused" })).toEqual({ outcome: "published" })
  expect(await cell.lastEntry()).toMatchObject({ act: "paused", moves: [] })
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
})

inShop("published: a stop gives back at once the money of every coupon that nobody has reserved, in every budget", async (cell) => {
  await cell.fund({ budget: OTHER_MONEY, addition: "other" })
  for (const user of ["ann", "bob", "cat"]) await cell.issue({ user, holds: [[MONEY, 100], [OTHER_MONEY, 10]] })
  await cell.reserve({ user: "cat", coupons: [use({ at_issue: 1, shares: [[MONEY, 90], [OTHER_MONEY, 10]] })] })
  expect(await cell.publish({ version: 2, state: "stopped" })).toEqual({ outcome: "published" })
  expect(await cell.lastEntry()).toMatchObject({ act: "stopped", moves: [[`b${MONEY}`, 0, -200, 0], [`b${OTHER_MONEY}`, 0, -20, 0], [`i${SPRING}`, MONEY, -200], [`i${SPRING}`, OTHER_MONEY, -20]] })
  expect([await cell.money(), await cell.money(OTHER_MONEY)]).toMatchObject([{ held: 100 }, { held: 10 }]) // cat's hold stands
  expect(await cell.idle()).toEqual([])
  await agrees(cell)

  // The coupons end later, one user at a time, and move nothing any more.
  expect(await cell.endCoupons()).toEqual({ outcome: "ended", count: 1 })
  expect(await cell.lastEntry()).toMatchObject({ act: "ended", moves: [] })
  expect(await cell.coupon()).toMatchObject({ state: "ended" })
  expect(await cell.confirm({ user: "cat" })).toMatchObject({ outcome: "confirmed" })
  expect(await cell.money()).toEqual({ held: 0, spent: 90, available: LIMIT_MINOR - 90 })
})

inShop("published: what was reserved at the stop comes back with its hold, exactly", async (cell) => {
  await cell.issue({ holds: [[MONEY, 100]] })
  await cell.reserve({ coupons: [use({ at_issue: 1, discount_minor: 60 })] })
  await cell.publish({ version: 2, state: "stopped" })
  expect(await cell.money()).toMatchObject({ held: 100 })
  cell.later(HOLD_MS)
  await cell.expire()
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
  expect(await cell.idle()).toEqual([])
  expect(await cell.coupon()).toEqual({ state: "ended", ends_at_ms: MONTH_ENDS, fingerprint: "as-sent", since_ms: cell.now() })
})

inShop("published: a stop is final, whatever a later version says", async (cell) => {
  await cell.issue({ holds: [[MONEY, 100]] })
  await cell.publish({ version: 2, state: "stopped" })
  await cell.publish({ version: 3, state: "live" })
  await cell.publish({ version: 4, state: "stopped" })
  expect(await cell.campaignRecord()).toMatchObject({ version: 4, state: 3 })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: LIMIT_MINOR })
})

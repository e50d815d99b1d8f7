// Close a budget: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { HOLD_MS, inEmptyCell, inShop, LIMIT_MINOR, MONEY, NOON, OTHER_MONEY, refused, SPRING, use, walletField } from "./cell.ts"

inShop("budget_unknown: a budget that this cell has never had", async (cell) => {
  expect(await refused(cell, () => cell.closeBudget({ budget: OTHER_MONEY }))).toEqual({ outcome: "budget_unknown" })
})

inShop("closed: the limit becomes what is held and spent, and nothing new is held", async (cell) => {
  await cell.issue()
  await cell.issue({ request: "second" })
  await cell.issue({ request: "third" })
  await cell.reserve({ coupons: [use({ discount_minor: 30 })] })
  await cell.reserve({ order: "order 2", coupons: [use({ request: "second", discount_minor: 70 })] })
  await cell.confirm()
  expect(await cell.closeBudget()).toEqual({ outcome: "closed", limit_minor: 100, released_minor: 900 })
  expect(await cell.lastEntry()).toMatchObject({ act: "closed", moves: [[`b${MONEY}`, -900, 0, 0]] })
  expect(await cell.budget()).toEqual({ granted: LIMIT_MINOR - 900, returned: 0, held: 70, spent: 30 })
  expect(await cell.budgetRecord()).toMatchObject({ closes_ms: NOON })
  expect(await refused(cell, () => cell.reserve({ order: "order 3", coupons: [use({ request: "third", discount_minor: 1 })] })))
    .toEqual({ outcome: "budget_not_open", field: walletField.coupon({ request: "third" }), budget: MONEY })
  expect(await cell.confirm({ order: "order 2" })).toMatchObject({ outcome: "confirmed" })
})

inShop("closed: closing again takes what holds have given back since", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.closeBudget()
  cell.later(HOLD_MS)
  await cell.expire()
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: 100 })
  expect(await cell.closeBudget()).toEqual({ outcome: "closed", limit_minor: 0, released_minor: 100 })
  expect(await cell.budgetRecord()).toMatchObject({ closes_ms: NOON }) // the month ended when it was closed first
  expect(await refused(cell, () => cell.closeBudget({ is_again: 1 }))).toEqual({ outcome: "closed", limit_minor: 0, released_minor: 0 })
  expect(await cell.closeBudget()).toEqual({ outcome: "closed", limit_minor: 0, released_minor: 0 })
})

inShop("closed: what came back after the close can pay for a late confirm", async (cell) => {
  await cell.issue()
  await cell.reserve()
  await cell.closeBudget()
  cell.later(HOLD_MS)
  await cell.expire()
  expect(await cell.confirmLate()).toMatchObject({ outcome: "confirmed" })
  expect(await cell.closeBudget()).toEqual({ outcome: "closed", limit_minor: 100, released_minor: 0 })
})

inEmptyCell("closed: with many cells only what the bank has free, once it knows what it has lent", async (cell) => {
  await cell.fund({ is_alone: 0 })
  expect(await refused(cell, () => cell.closeBudget({ cells: 2 }))).toEqual({ outcome: "bank_asking" })
  await cell.hearAll(2)
  await cell.grant({ cell: 1, want: 250 })
  expect(await cell.closeBudget({ cells: 2 })).toEqual({ outcome: "closed", limit_minor: 250, released_minor: 750 })
})

inEmptyCell("shut: in another cell nothing new is held, and what was held may still be confirmed", async (cell) => {
  await cell.publish({ is_home: 0, is_alone: 0 })
  await cell.takeGrant({ granted_total: 500 })
  await cell.takeGrant({ name: `k${SPRING}`, granted_total: 5 })
  await cell.issue()
  await cell.issue({ request: "second" })
  await cell.reserve()
  expect(await cell.shutBudget()).toEqual({ outcome: "shut" })
  expect(await refused(cell, () => cell.reserve({ order: "order 2", coupons: [use({ request: "second" })] })))
    .toEqual({ outcome: "budget_not_open", field: walletField.coupon({ request: "second" }), budget: MONEY })
  expect(await cell.confirm()).toMatchObject({ outcome: "confirmed" })
  expect(await refused(cell, () => cell.shutBudget())).toEqual({ outcome: "replayed" })
})

inEmptyCell("shut: a cell that never had any of the budget learns that it is over", async (cell) => {
  await cell.shutBudget()
  await cell.takeGrant({ granted_total: 500 })
  expect(await cell.budgetRecord()).toMatchObject({ closes_ms: NOON, granted: 500 })
})

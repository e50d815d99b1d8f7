// Fund: one test an outcome, in the order of precedence.

import { expect } from "bun:test"
import { idHash } from "../../lua/keys.ts"
import { type Cell, inEmptyCell, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, MONTH_STARTS, NOON, refused, use } from "./cell.ts"

const MOST = Number.MAX_SAFE_INTEGER
const cut = (amount_minor: number, addition = "cut") => ({ addition, amount_minor, is_cut: 1 })

inShop("request_conflict: the same addition with other content", async (cell) => {
  expect(await refused(cell, () => cell.fund({ fingerprint: "other", amount_minor: MOST }))).toEqual({ outcome: "request_conflict" })
})

inShop("replayed: the same addition again adds nothing and is told the limit of then", async (cell) => {
  await cell.fund({ addition: "more", amount_minor: 500 })
  expect(await refused(cell, () => cell.fund())).toEqual({ outcome: "replayed", limit_minor: LIMIT_MINOR })
  expect(await refused(cell, () => cell.fund({ addition: "more", amount_minor: 500 }))).toEqual({ outcome: "replayed", limit_minor: LIMIT_MINOR + 500 })
})

inShop("replayed: one addition, a hundred callers, one raise", async (cell) => {
  const replies = await Promise.all(Array.from({ length: 100 }, () => cell.fund({ addition: "more", amount_minor: 1 })))
  expect(replies.filter(({ outcome }) => outcome === "funded")).toHaveLength(1)
  expect(await cell.bank()).toMatchObject({ total: LIMIT_MINOR + 1 })
})

inShop("limit_too_large: no limit beyond 2^53-1, to the cent", async (cell) => {
  expect(await refused(cell, () => cell.fund({ addition: "more", amount_minor: MOST - LIMIT_MINOR + 1 }))).toEqual({ outcome: "limit_too_large" })
  expect(await refused(cell, () => cell.fund({ addition: "more", amount_minor: MOST }))).toEqual({ outcome: "limit_too_large" })
  expect(await cell.fund({ addition: "more", amount_minor: MOST - LIMIT_MINOR })).toEqual({ outcome: "funded", limit_minor: MOST })
  expect(await cell.money()).toEqual({ held: 0, spent: 0, available: MOST })
})

inShop("funded: a limit that was cut may grow to the largest again, since one cell has no message to mistake", async (cell) => {
  await cell.fund({ addition: "more", amount_minor: MOST - LIMIT_MINOR })
  await cell.fund(cut(MOST))
  expect(await cell.fund({ addition: "again", amount_minor: MOST })).toEqual({ outcome: "funded", limit_minor: MOST })
})

inShop("budget_in_use: a cut takes what is free, never what is held or spent", async (cell) => {
  await cell.issue()
  await cell.reserve({ coupons: [use({ discount_minor: 400 })] })
  expect(await refused(cell, () => cell.fund(cut(601)))).toEqual({ outcome: "budget_in_use", free_minor: 600 })
  await cell.confirm()
  expect(await refused(cell, () => cell.fund(cut(601)))).toEqual({ outcome: "budget_in_use", free_minor: 600 })
  expect(await cell.fund(cut(600))).toEqual({ outcome: "funded", limit_minor: 400 })
  expect(await cell.money()).toEqual({ held: 0, spent: 400, available: 0 })
})

inEmptyCell("budget_in_use: with many cells a cut takes only what was set aside for it", async (cell) => {
  await cell.fund({ is_alone: 0 })
  expect(await refused(cell, () => cell.fund({ ...cut(1), is_alone: 0 }))).toEqual({ outcome: "budget_in_use", free_minor: 0 })
})

// --- set_aside and put_back, which gather a cut of many cells

const ofMany = async (cell: Cell, lent = 900) => {
  await cell.fund({ is_alone: 0 })
  await cell.hearAll(2)
  await cell.grant({ cell: 1, want: lent })
}

inEmptyCell("bank_asking: a bank that was restored is not cut before every cell has told it what it was lent", async (cell) => {
  await cell.fund({ is_alone: 0 })
  expect(await refused(cell, () => cell.setAside())).toEqual({ outcome: "bank_asking" })
  expect(await cell.fund({ addition: "more", amount_minor: 1, is_alone: 0 })).toEqual({ outcome: "funded", limit_minor: LIMIT_MINOR + 1 }) // a raise needs nobody
})

inEmptyCell("set_aside: a cut of many cells takes what is free, is kept in the bank, and goes on until it is whole", async (cell) => {
  await ofMany(cell)
  expect(await cell.setAside({ amount_minor: 300 })).toEqual({ outcome: "set_aside", missing_minor: 200 })
  expect(await cell.bank()).toMatchObject({ total: LIMIT_MINOR, cut: idHash("cut"), taken: 100 })
  // Nothing is lent meanwhile, and the same id with other content is another request.
  expect(await refused(cell, () => cell.grant())).toEqual({ outcome: "not_enough", free: 0, is_cutting: 1 })
  expect(await refused(cell, () => cell.setAside({ amount_minor: 300, fingerprint: "other" }))).toEqual({ outcome: "request_conflict" })
  await cell.takeBack({ cell: 1, returned_total: 150 })
  expect(await cell.setAside({ amount_minor: 300 })).toEqual({ outcome: "set_aside", missing_minor: 50 })
  expect(await refused(cell, () => cell.fund({ ...cut(300), is_alone: 0 }))).toEqual({ outcome: "budget_in_use", free_minor: 250 })
  await cell.takeBack({ cell: 1, returned_total: 260 })
  expect(await cell.setAside({ amount_minor: 300 })).toEqual({ outcome: "set_aside", missing_minor: 0 })
  expect(await cell.fund({ ...cut(300), is_alone: 0, payload: `{"addition_id":"cut"}` })).toEqual({ outcome: "funded", limit_minor: 700 })
  expect(await cell.bank()).toEqual({ total: 700, leases: [[1, 900, 260, NOON, 900]] })
  expect(await cell.lastEntry()).toMatchObject({ act: "funded", moves: [[`b${MONEY}`, -300, 0, 0]], payload: `{"addition_id":"cut"}` })
  expect(await refused(cell, () => cell.setAside({ amount_minor: 300 }))).toEqual({ outcome: "replayed", limit_minor: 700 })
  expect(await refused(cell, () => cell.putBack())).toEqual({ outcome: "put_back", free_minor: 60 }) // one that is done stays done
  expect(await cell.grant({ want: 60 })).toMatchObject({ outcome: "granted", granted_total: 960 })
})

inEmptyCell("cut_pending: one cut of a bank at a time, and no close meanwhile", async (cell) => {
  await ofMany(cell)
  await cell.setAside({ amount_minor: 300 })
  expect(await refused(cell, () => cell.setAside({ addition: "other" }))).toEqual({ outcome: "cut_pending" })
  expect(await refused(cell, () => cell.closeBudget({ cells: 2 }))).toEqual({ outcome: "cut_pending" })
})

inEmptyCell("put_back: a cut that cannot be whole leaves the bank as it was, and its id is free again", async (cell) => {
  await ofMany(cell)
  const before = await cell.bank()
  await cell.setAside({ amount_minor: 300 })
  expect(await cell.putBack()).toEqual({ outcome: "put_back", free_minor: 100 })
  expect(await cell.bank()).toEqual(before)
  expect(await cell.setAside({ amount_minor: 100, fingerprint: "another" })).toEqual({ outcome: "set_aside", missing_minor: 0 })
})

inEmptyCell("funded: the limit, the lease of a cell that is alone, and the entry", async (cell) => {
  expect(await cell.fund({ payload: `{"budget_id":"retail"}` })).toEqual({ outcome: "funded", limit_minor: LIMIT_MINOR })
  expect(await cell.budgetRecord()).toEqual({ opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, granted: LIMIT_MINOR, returned: 0, held: 0, spent: 0 })
  expect(await cell.bank()).toEqual({ total: LIMIT_MINOR, leases: [[0, LIMIT_MINOR, 0]] })
  expect(await cell.lastEntry()).toMatchObject({ act: "funded", user: "", moves: [[`b${MONEY}`, LIMIT_MINOR, 0, 0]], payload: `{"budget_id":"retail"}` })
})

inShop("funded: a cut of one cell takes what it was leased", async (cell) => {
  expect(await cell.fund(cut(300))).toEqual({ outcome: "funded", limit_minor: 700 })
  expect(await cell.budget()).toEqual({ granted: LIMIT_MINOR - 300, returned: 0, held: 0, spent: 0 })
  expect(await cell.bank()).toEqual({ total: 700, leases: [[0, LIMIT_MINOR - 300, 0]] })
  expect(await cell.lastEntry()).toMatchObject({ act: "funded", moves: [[`b${MONEY}`, -300, 0, 0]] })
  expect(await cell.fund(cut(0, "nothing"))).toEqual({ outcome: "funded", limit_minor: 700 })
})

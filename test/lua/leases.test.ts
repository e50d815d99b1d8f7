// Leases: grant, take_grant, give_back, take_back, one test an outcome; and that loss, repetition and reordering are harmless.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { agrees, type Cell, inEmptyCell, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, MONTH_STARTS, openCell, OTHER_MONEY, refused, SPRING, STOCK, SUMMER } from "./cell.ts"

const HERE = 3
const STOCK_OF = `k${SPRING}`

// --- grant, in the bank's cell

inEmptyCell("bank_unknown: a quota whose bank is not in this cell", async (cell) => {
  expect(await refused(cell, () => cell.grant())).toEqual({ outcome: "bank_unknown" })
  expect(await refused(cell, () => cell.takeBack())).toEqual({ outcome: "bank_unknown" })
  await cell.publish({ is_home: 0, is_alone: 0 })
  expect(await refused(cell, () => cell.grant({ name: STOCK_OF }))).toEqual({ outcome: "bank_unknown" })
})

inEmptyCell("not_enough: what is free is told, and nothing is lent", async (cell) => {
  await cell.fund({ is_alone: 0 })
  expect(await refused(cell, () => cell.grant({ want: LIMIT_MINOR + 1 }))).toEqual({ outcome: "not_enough", free: LIMIT_MINOR })
})

inEmptyCell("granted: what is wanted, or an equal part of what is free, in absolute numbers that only grow", async (cell) => {
  await cell.fund({ is_alone: 0 })
  expect(await cell.grant({ cell: HERE, want: 1, shares: 4 })).toEqual({ outcome: "granted", granted_total: 250 })
  expect(await cell.grant({ cell: HERE, want: 700, shares: 4 })).toEqual({ outcome: "granted", granted_total: 950 })
  expect(await cell.grant({ cell: 9, want: 50, shares: 4 })).toEqual({ outcome: "granted", granted_total: 50 }) // near the end exactly what is needed
  expect(await cell.bank()).toEqual({ total: LIMIT_MINOR, leases: [[HERE, 950, 0], [9, 50, 0]] })
  expect(await refused(cell, () => cell.grant({ cell: HERE, want: 1 }))).toEqual({ outcome: "not_enough", free: 0 })
  expect(await cell.entries()).toHaveLength(2) // a lease is no event
})

inEmptyCell("granted: stock is lent like money", async (cell) => {
  await cell.publish({ is_alone: 0 })
  expect(await cell.grant({ name: STOCK_OF, cell: HERE, want: 2, shares: 100 })).toEqual({ outcome: "granted", granted_total: 2 })
  expect(await cell.bank(STOCK_OF)).toEqual({ total: STOCK, leases: [[HERE, 2, 0]] })
})

inEmptyCell("granted: more is lent only of what was raised", async (cell) => {
  await cell.fund({ is_alone: 0 })
  await cell.grant({ want: LIMIT_MINOR })
  await cell.fund({ addition: "more", amount_minor: 7, is_alone: 0 })
  expect(await cell.grant({ want: 8 })).toEqual({ outcome: "not_enough", free: 7 })
  expect(await cell.grant({ want: 7 })).toEqual({ outcome: "granted", granted_total: LIMIT_MINOR + 7 })
})

// --- take_grant, in the borrowing cell

inEmptyCell("campaign_unknown: stock for a campaign that this cell has not heard of", async (cell) => {
  expect(await refused(cell, () => cell.takeGrant({ name: STOCK_OF, granted_total: 2 }))).toEqual({ outcome: "campaign_unknown" })
})

inEmptyCell("taken: what a cell was lent in all; a message that is old or told twice says nothing new", async (cell) => {
  expect(await cell.takeGrant({ granted_total: 50 })).toEqual({ outcome: "taken" })
  expect(await cell.budgetRecord()).toEqual({ opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, granted: 50, returned: 0, held: 0, spent: 0 })
  for (const granted_total of [50, 20, 0]) {
    await cell.takeGrant({ granted_total })
    expect(await cell.budget()).toMatchObject({ granted: 50 })
  }
  await cell.takeGrant({ granted_total: 80, opens_ms: 1, closes_ms: 2 })
  expect(await cell.budgetRecord()).toMatchObject({ granted: 80, opens_ms: MONTH_STARTS }) // the month is the first one told
  await cell.publish({ is_home: 0, is_alone: 0 })
  await cell.takeGrant({ name: STOCK_OF, granted_total: 2 })
  expect(await cell.campaignRecord()).toMatchObject({ granted: 2 })
})

// --- give_back, in the borrowing cell

inEmptyCell("quota_unknown: a quota that this cell never had", async (cell) => {
  expect(await refused(cell, () => cell.giveBack())).toEqual({ outcome: "quota_unknown" })
  expect(await refused(cell, () => cell.giveBack({ name: STOCK_OF }))).toEqual({ outcome: "quota_unknown" })
})

inShop("given_back: what is not used, at most; what is held stays, and what it returned is told in all", async (cell) => {
  await cell.publish({ campaign: SUMMER, is_home: 0, is_alone: 0 })
  await cell.takeGrant({ name: `b${OTHER_MONEY}`, granted_total: 100 })
  await cell.takeGrant({ name: `k${SUMMER}`, granted_total: 3 })
  await cell.issue({ campaign: SUMMER, holds: [[OTHER_MONEY, 30]] })
  const give = (keep: number) => () => cell.giveBack({ name: `b${OTHER_MONEY}`, keep })
  expect(await refused(cell, give(70))).toEqual({ outcome: "given_back", returned_total: 0 })
  expect(await give(50)()).toEqual({ outcome: "given_back", returned_total: 20 })
  expect(await give(0)()).toEqual({ outcome: "given_back", returned_total: 70 })
  expect(await refused(cell, give(0))).toEqual({ outcome: "given_back", returned_total: 70 })
  expect(await cell.money(OTHER_MONEY)).toEqual({ held: 30, spent: 0, available: 0 })
  expect(await cell.giveBack({ name: `k${SUMMER}` })).toEqual({ outcome: "given_back", returned_total: 2 })
  expect(await refused(cell, () => cell.issue({ campaign: SUMMER, user: "bob" }))).toEqual({ outcome: "stock_exhausted" })
})

// --- take_back, in the bank's cell

inEmptyCell("taken: a bank believes the largest return it was told, in any order", async (cell) => {
  await cell.fund({ is_alone: 0 })
  await cell.grant({ cell: HERE, want: 600, shares: 100 })
  expect(await cell.takeBack({ cell: HERE, returned_total: 200 })).toEqual({ outcome: "taken", free: 600 })
  expect(await cell.takeBack({ cell: HERE, returned_total: 100 })).toEqual({ outcome: "taken", free: 600 })
  expect(await cell.takeBack({ cell: HERE, returned_total: 600 })).toEqual({ outcome: "taken", free: LIMIT_MINOR })
  expect(await cell.bank()).toEqual({ total: LIMIT_MINOR, leases: [[HERE, 600, 600]] })
})

// --- together

/** One thing that happens to two borrowing cells, their bank, and the messages between them. */
type Step =
  | { do: "grant" | "give_back" | "hold"; cell: number; amount: number }
  | { do: "revoke"; cell: number }
  | { do: "raise" | "cut"; amount: number }
  | { do: "deliver"; message: number }

const cell = fc.nat(1)
const amount = fc.integer({ min: 1, max: 60 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("grant" as const, "give_back" as const), cell, amount }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("hold" as const), cell, amount }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("deliver" as const), message: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("revoke" as const), cell }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("raise" as const, "cut" as const), amount }) },
)

test("never a cent over: messages that are lost, repeated and reordered lend no money twice", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 40 }), async (steps) => {
    const bank = await openCell()
    const cells = [await openCell(), await openCell()] as const
    await bank.fund({ amount_minor: 100, is_alone: 0 })
    for (const each of cells) {
      await each.publish({ is_home: 0, is_alone: 0, per_user: 1_000 })
      await each.takeGrant({ name: STOCK_OF, granted_total: 1_000 })
    }
    const messages: (() => Promise<unknown>)[] = []
    const live: string[][] = [[], []]
    for (const [i, now] of steps.entries()) {
      switch (now.do) {
        case "grant": {
          const reply = await bank.grant({ cell: now.cell, want: now.amount, shares: 4 })
          if (reply.outcome === "granted") messages.push(() => cells[now.cell]!.takeGrant({ granted_total: reply.granted_total }))
          break
        }
        case "give_back": {
          const reply = await cells[now.cell]!.giveBack({ keep: now.amount })
          if (reply.outcome === "given_back") messages.push(() => bank.takeBack({ cell: now.cell, returned_total: reply.returned_total }))
          break
        }
        case "hold": {
          const reply = await cells[now.cell]!.issue({ request: `step ${i}`, holds: [[MONEY, now.amount]] })
          if (reply.outcome === "issued") live[now.cell]!.push(`step ${i}`)
          break
        }
        case "revoke": {
          const request = live[now.cell]!.pop()
          if (request !== undefined) await cells[now.cell]!.revoke({ request })
          break
        }
        case "raise": case "cut":
          await bank.fund({ addition: `step ${i}`, amount_minor: now.amount, is_cut: now.do === "cut" ? 1 : 0, is_alone: 0 })
          break
        case "deliver": // any message, whenever; it stays in the post and may come again, or never
          if (messages.length > 0) await messages[now.message % messages.length]!()
      }
      const { total, leases } = (await bank.bank())!
      const records = await Promise.all(cells.map((each) => each.budgetRecord()))
      const held = records.reduce((sum, record) => sum + (record ? record.held + record.spent : 0), 0)
      const inCells = records.reduce((sum, record) => sum + (record ? record.granted - record.returned : 0), 0)
      const lent = leases.reduce((sum, [, granted, returned]) => sum + granted - returned, 0)
      expect(held).toBeLessThanOrEqual(inCells)
      expect(inCells).toBeLessThanOrEqual(lent) // what is in the post is counted as lent
      expect(lent).toBeLessThanOrEqual(total)
    }
    // Once every message has come, both sides say the same.
    for (const deliver of messages) await deliver()
    const { leases } = (await bank.bank())!
    for (const [no, granted, returned] of leases) expect((await cells[no]!.budget())).toMatchObject({ granted, returned })
    await Promise.all([bank, ...cells].map((each: Cell) => agrees(each)))
  }), { numRuns: 12 })
})

test("budget_in_use: with many cells a cut takes what the bank has after a recall, to the cent", async () => {
  const [bank, far] = [await openCell(), await openCell()]
  await bank.fund({ is_alone: 0 })
  await far.publish({ is_home: 0, is_alone: 0 })
  await far.takeGrant({ name: STOCK_OF, granted_total: 9 })
  const lent = await bank.grant({ cell: 1, want: 600 })
  if (lent.outcome !== "granted") throw new Error(lent.outcome)
  await far.takeGrant({ granted_total: lent.granted_total })
  await far.issue({ holds: [[MONEY, 150]] })
  const cut = () => bank.fund({ addition: "cut", amount_minor: 850, is_cut: 1, is_alone: 0 })
  expect(await refused(bank, cut)).toEqual({ outcome: "budget_in_use", free_minor: 400 })
  const back = await far.giveBack()
  if (back.outcome !== "given_back") throw new Error(back.outcome)
  await bank.takeBack({ cell: 1, returned_total: back.returned_total })
  expect(await cut()).toEqual({ outcome: "funded", limit_minor: 150 })
  await Promise.all([agrees(bank), agrees(far)])
})

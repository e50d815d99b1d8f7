// Leases: the messages between a bank and its cells, one test an outcome; and that loss, repetition and reordering are harmless.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { takeLeases } from "../../engine/quota/restore.ts"
import { loadLibrary, ourLibrary } from "../../engine/store/redis.ts"
import { type BankRecord, unpack } from "../../lua/records.ts"
import {
  agrees, type Cell, inEmptyCell, inShop, LIMIT_MINOR, MONEY, MONTH_ENDS, MONTH_STARTS, NOON, openCell, OTHER_MONEY, refused, shutCell, SPRING, STOCK, SUMMER,
} from "./cell.ts"

const STOCK_OF = `k${SPRING}`
/** So many acts of what is asked for are lent at first, while there is plenty. */
const PLENTY = 1_000_000

/** A cell with a bank of so much money, to which two cells have told what they have: nothing. */
const bankOf = async (cell: Cell, amount_minor = LIMIT_MINOR) => {
  await cell.fund({ amount_minor, is_alone: 0 })
  await cell.hearAll(2)
}

// --- grant, in the bank's cell

inEmptyCell("bank_unknown: a quota whose bank is not in this cell", async (cell) => {
  expect(await refused(cell, () => cell.grant())).toEqual({ outcome: "bank_unknown" })
  expect(await refused(cell, () => cell.takeBack())).toEqual({ outcome: "bank_unknown" })
  expect(await refused(cell, () => cell.weigh())).toEqual({ outcome: "bank_unknown" })
  await cell.publish({ is_home: 0, is_alone: 0 })
  expect(await refused(cell, () => cell.grant({ name: STOCK_OF }))).toEqual({ outcome: "bank_unknown" })
})

inEmptyCell("bank_asking: nothing is lent before every cell has told what it was lent", async (cell) => {
  await cell.fund({ is_alone: 0 })
  expect(await refused(cell, () => cell.grant())).toEqual({ outcome: "bank_asking" })
  await cell.hear({ cell: 0 })
  await cell.hear({ cell: 0 }) // one that says it twice is one
  await cell.hear({ cell: 1, is_all: 0 }) // and one that has more to say has not told all
  expect(await refused(cell, () => cell.grant())).toEqual({ outcome: "bank_asking" })
  await cell.hear({ cell: 1 })
  expect(await cell.grant()).toMatchObject({ outcome: "granted" })
})

test("heard: a bank that was opened anew lends nothing, and learns from the cells what it has forgotten", async () => {
  const cell = await openCell()
  await bankOf(cell)
  await cell.grant({ cell: 1, want: 300 })
  await cell.redis.call("FUNCTION", "DELETE", ourLibrary().name)
  await loadLibrary(cell.redis)
  expect(await cell.grant()).toEqual({ outcome: "gate_closed" })
  expect(await cell.open({ epoch: 2, tail: (await cell.lastEntry()).id })).toEqual({ outcome: "opened" })
  expect(await refused(cell, () => cell.grant())).toEqual({ outcome: "bank_asking" })
  expect(await refused(cell, () => cell.hear({ epoch: 1 }))).toEqual({ outcome: "older_epoch", epoch_now: 2 })
  await cell.hear({ epoch: 2, cell: 0, leases: [[`b${MONEY}`, 0, 0], ["b99", 1, 0]] })
  expect(await cell.hear({ epoch: 2, cell: 1, leases: [[`b${MONEY}`, 700, 20]] })).toEqual({ outcome: "heard" })
  expect(await cell.weigh()).toMatchObject({ outcome: "weighed", free: LIMIT_MINOR - 680, epoch: 2 })
  expect(await cell.hear({ epoch: 2, cell: 1, leases: [[`b${MONEY}`, 650, 10]] })).toEqual({ outcome: "heard" }) // late: says nothing new
  expect(await cell.weigh()).toMatchObject({ free: LIMIT_MINOR - 680 })
  expect(await cell.grant({ want: 1 })).toMatchObject({ outcome: "granted", epoch: 2 })
})

inEmptyCell("not_enough: what is free is told, and nothing is lent", async (cell) => {
  await bankOf(cell)
  expect(await refused(cell, () => cell.grant({ want: LIMIT_MINOR + 1 }))).toEqual({ outcome: "not_enough", free: LIMIT_MINOR, is_cutting: 0 })
})

inEmptyCell("not_enough: who asks before anybody waits gets no less than a part of what is free", async (cell) => {
  await bankOf(cell)
  expect(await refused(cell, () => cell.grant({ want: 251, is_early: 1 }))).toEqual({ outcome: "not_enough", free: LIMIT_MINOR, is_cutting: 0 })
  expect(await cell.grant({ want: 250, is_early: 1 })).toMatchObject({ outcome: "granted", lent: 250 })
})

inEmptyCell("granted: near the end exactly what is wanted, or what is left where that serves somebody", async (cell) => {
  await bankOf(cell)
  expect(await cell.grant({ want: 700 })).toEqual({ outcome: "granted", granted_total: 700, epoch: 1, opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, lent: 700 })
  expect(await cell.grant({ cell: 0, want: 200 })).toMatchObject({ outcome: "granted", lent: 200 })
  expect(await cell.grant({ cell: 0, want: 150, least: 60 })).toMatchObject({ outcome: "granted", granted_total: 300, lent: 100 })
  expect(await cell.bank()).toEqual({ total: LIMIT_MINOR, leases: [[1, 700, 0, NOON, 700], [0, 300, 0, NOON, 100]] })
  expect(await refused(cell, () => cell.grant({ want: 1 }))).toEqual({ outcome: "not_enough", free: 0, is_cutting: 0 })
  expect(await cell.entries()).toHaveLength(2) // a lease is no event
})

inEmptyCell("granted: while there is plenty what the cell has lately used in five seconds, and no more than a part of what is free", async (cell) => {
  await bankOf(cell, PLENTY)
  const lent = async (want = 10) => { const reply = await cell.grant({ want }); return reply.outcome === "granted" ? reply.lent : reply.outcome }
  expect(await lent()).toBe(160) // sixteen acts for a cell that has used nothing yet
  cell.later(1_000)
  expect(await lent()).toBe(640) // 160 a second are 800 in five, and four times the last is the most
  cell.later(2_500)
  expect(await lent()).toBe(1_280)
  cell.later(5_000)
  expect(await lent()).toBe(1_280)
  cell.later(50_000)
  expect(await lent()).toBe(160) // hardly used: no less than sixteen acts
  for (let i = 0; i < 8; i++) await lent()
  const { total, leases } = (await cell.bank())!
  const free = total - leases.reduce((sum, [, granted]) => sum + granted, 0)
  expect(await lent()).toBe(Math.floor(free / 4)) // two parts for each of two cells
})

inEmptyCell("granted: stock is lent like money", async (cell) => {
  await cell.publish({ is_alone: 0 })
  await cell.hearAll(2)
  expect(await cell.grant({ name: STOCK_OF, want: 2 })).toMatchObject({ outcome: "granted", granted_total: 2, opens_ms: 0 })
  expect(await cell.bank(STOCK_OF)).toEqual({ total: STOCK, leases: [[1, 2, 0, NOON, 2]] })
})

inEmptyCell("granted: more is lent only of what was raised", async (cell) => {
  await bankOf(cell)
  await cell.grant({ want: LIMIT_MINOR })
  await cell.fund({ addition: "more", amount_minor: 7, is_alone: 0 })
  expect(await cell.grant({ want: 8 })).toEqual({ outcome: "not_enough", free: 7, is_cutting: 0 })
  expect(await cell.grant({ want: 7 })).toMatchObject({ outcome: "granted", granted_total: LIMIT_MINOR + 7 })
})

// --- take_grant, in the borrowing cell

inEmptyCell("campaign_unknown: stock for a campaign that this cell has not heard of", async (cell) => {
  expect(await refused(cell, () => cell.takeGrant({ name: STOCK_OF, granted_total: 2 }))).toEqual({ outcome: "campaign_unknown" })
})

inEmptyCell("taken: what a cell was lent in all; a message that is old or told twice says nothing new", async (cell) => {
  expect(await cell.takeGrant({ granted_total: 50 })).toEqual({ outcome: "taken", left: 50 })
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

inEmptyCell("older_epoch: what a bank sent before it was opened anew is refused by whoever has met it since", async (cell) => {
  expect(await cell.meet([0, 3], [4, 9])).toEqual({ outcome: "met" })
  expect(await cell.meet([4, 8])).toEqual({ outcome: "met" }) // late
  expect(await refused(cell, () => cell.takeGrant({ home: 4, epoch: 8, granted_total: 50 }))).toEqual({ outcome: "older_epoch", epoch_now: 9 })
  expect(await cell.takeGrant({ home: 4, epoch: 9, granted_total: 50 })).toEqual({ outcome: "taken", left: 50 })
  expect(await cell.takeGrant({ home: 4, epoch: 10, granted_total: 60 })).toEqual({ outcome: "taken", left: 60 })
  expect(await refused(cell, () => cell.takeGrant({ home: 4, epoch: 9, granted_total: 70 }))).toEqual({ outcome: "older_epoch", epoch_now: 10 })
})

inEmptyCell("met: a cell keeps the highest epoch that it was told of each bank's home", async (cell) => {
  await cell.meet([0, 3], [4, 9])
  expect(await refused(cell, () => cell.meet([4, 8], [0, 3]))).toEqual({ outcome: "met" })
  expect(await cell.giveBack({ name: `b${MONEY}` })).toEqual({ outcome: "quota_unknown" })
})

// --- give_back, in the borrowing cell

inEmptyCell("quota_unknown: a quota that this cell never had", async (cell) => {
  expect(await refused(cell, () => cell.giveBack())).toEqual({ outcome: "quota_unknown" })
  expect(await refused(cell, () => cell.giveBack({ name: STOCK_OF }))).toEqual({ outcome: "quota_unknown" })
})

inShop("given_back: what is not used, at most; what is held stays, and what it returned is told in all", async (cell) => {
  await cell.meet([0, 5])
  await cell.publish({ campaign: SUMMER, is_home: 0, is_alone: 0 })
  await cell.takeGrant({ name: `b${OTHER_MONEY}`, epoch: 5, granted_total: 100 })
  await cell.takeGrant({ name: `k${SUMMER}`, epoch: 5, granted_total: 3 })
  await cell.issue({ campaign: SUMMER, holds: [[OTHER_MONEY, 30]] })
  const give = (keep: number) => () => cell.giveBack({ name: `b${OTHER_MONEY}`, keep })
  const told = { outcome: "given_back", granted_total: 100, used: 30, epoch: 5, cell_epoch: 1 } as const
  expect(await refused(cell, give(70))).toEqual({ ...told, returned_total: 0 })
  expect(await give(50)()).toEqual({ ...told, returned_total: 20 })
  expect(await give(0)()).toEqual({ ...told, returned_total: 70 })
  expect(await refused(cell, give(0))).toEqual({ ...told, returned_total: 70 })
  expect(await cell.money(OTHER_MONEY)).toEqual({ held: 30, spent: 0, available: 0 })
  expect(await cell.giveBack({ name: `k${SUMMER}` })).toEqual({ outcome: "given_back", granted_total: 3, used: 1, epoch: 5, cell_epoch: 1, returned_total: 2 })
  expect(await refused(cell, () => cell.issue({ campaign: SUMMER, user: "bob" }))).toEqual({ outcome: "stock_exhausted" })
})

// --- take_back, in the bank's cell

inEmptyCell("taken: a bank believes the largest return it was told, in any order", async (cell) => {
  await bankOf(cell)
  await cell.grant({ want: 600 })
  expect(await cell.takeBack({ returned_total: 200 })).toEqual({ outcome: "taken", free: 600 })
  expect(await cell.takeBack({ returned_total: 100 })).toEqual({ outcome: "taken", free: 600 })
  expect(await refused(cell, () => cell.takeBack({ epoch: 2, returned_total: 300 }))).toEqual({ outcome: "older_epoch", epoch_now: 1 })
  expect(await cell.takeBack({ returned_total: 600 })).toEqual({ outcome: "taken", free: LIMIT_MINOR })
  expect(await cell.bank()).toEqual({ total: LIMIT_MINOR, leases: [[1, 600, 600, NOON, 600]] })
})

inEmptyCell("older_epoch: what a cell sent before it was opened anew is refused by every bank that it has told so", async (cell) => {
  await bankOf(cell)
  await cell.grant({ want: 600 })
  await cell.meet([1, 7])
  expect(await refused(cell, () => cell.takeBack({ cell_epoch: 6, returned_total: 300 }))).toEqual({ outcome: "older_epoch", epoch_now: 7 })
  expect(await refused(cell, () => cell.hear({ cell: 1, cell_epoch: 6, leases: [[`b${MONEY}`, 900, 300]] }))).toEqual({ outcome: "older_epoch", epoch_now: 7 })
  expect(await cell.takeBack({ cell_epoch: 7, returned_total: 100 })).toEqual({ outcome: "taken", free: 500 })
  expect(await cell.hear({ cell: 1, cell_epoch: 8, leases: [[`b${MONEY}`, 700, 100]] })).toEqual({ outcome: "heard" })
  expect(await cell.bank()).toMatchObject({ leases: [[1, 700, 100, NOON, 600]] })
})

inEmptyCell("weighed: what a bank has lent to whom, and what it has free", async (cell) => {
  await bankOf(cell)
  await cell.grant({ want: 600 })
  const reply = await refused(cell, () => cell.weigh())
  expect(reply).toMatchObject({ outcome: "weighed", free: 400, epoch: 1, opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS })
  if (reply.outcome === "weighed") expect(unpack("bank", reply.bank)).toEqual({ total: LIMIT_MINOR, leases: [[1, 600, 0, NOON, 600]] })
})

// --- take_leases, in a cell that is shut

inEmptyCell("open: a cell that is open is not told by hand what it was lent", async (cell) => {
  expect(await refused(cell, () => cell.takeLeases({ leases: [[`b${MONEY}`, 9, 0, 0, 1]] }))).toEqual({ outcome: "open" })
})

/** A cell that was granted so much stock, issued one of it, and is shut since its server began anew. */
const restartedCell = async (granted_total: number) => {
  const cell = await openCell()
  await cell.publish({ is_home: 0, is_alone: 0 })
  await cell.takeGrant({ name: STOCK_OF, granted_total })
  await cell.issue()
  await cell.redis.call("FUNCTION", "DELETE", ourLibrary().name)
  await loadLibrary(cell.redis)
  return cell
}

test("taken: before a cell opens it has what was on its way, and has returned all that it does not use", async () => {
  const cell = await restartedCell(5)
  const leases = [[STOCK_OF, 8, 2, 0, 0], [`b${MONEY}`, 70, 20, MONTH_STARTS, MONTH_ENDS], ["k99", 5, 0, 0, 0]]
  expect(await cell.takeLeases({ leases, homes: [[0, 6]] })).toEqual({ outcome: "taken" })
  await cell.open({ epoch: 2, tail: (await cell.lastEntry()).id })
  expect(await cell.campaignRecord()).toMatchObject({ granted: 8, returned: 7, issued: 1 })
  expect(await cell.budgetRecord()).toEqual({ opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, granted: 70, returned: 70, held: 0, spent: 0 })
  expect(await refused(cell, () => cell.takeGrant({ epoch: 5, granted_total: 100 }))).toEqual({ outcome: "older_epoch", epoch_now: 6 })
})

test("taken: a cell that was written anew returns all that its bank lent it, so that no late message of it can say more", async () => {
  const cell = await shutCell()
  expect(await cell.takeLeases({ leases: [[`b${MONEY}`, 70, 20, MONTH_STARTS, MONTH_ENDS]] })).toEqual({ outcome: "taken" })
  await cell.open()
  expect(await cell.budget()).toEqual({ granted: 70, returned: 70, held: 0, spent: 0 })
})

test("taken: a cell whose bank has forgotten it returns what it does not use all the same", async () => {
  const cell = await restartedCell(5)
  expect(await cell.takeLeases({ leases: [[STOCK_OF, 0, 0, 0, 0]] })).toEqual({ outcome: "taken" })
  await cell.open({ epoch: 2, tail: (await cell.lastEntry()).id })
  expect(await cell.campaignRecord()).toMatchObject({ granted: 5, returned: 4, issued: 1 })
})

test("taken: a cell that uses what its bank has forgotten to have granted was granted it, and has nothing below zero", async () => {
  const cell = await restartedCell(1)
  expect(await cell.takeLeases({ leases: [[STOCK_OF, 8, 8, 0, 0]] })).toEqual({ outcome: "taken" })
  await cell.open({ epoch: 2, tail: (await cell.lastEntry()).id })
  expect(await cell.campaignRecord()).toMatchObject({ granted: 9, returned: 8, issued: 1 })
})

test("taken: a bank that was told of a return before the grant that it has forgotten is heard all the same", async () => {
  const cell = await restartedCell(1)
  const bank: BankRecord = { total: 10, leases: [[cell.no, 0, 5]] }
  await takeLeases({ redis: cell.redis, cells: 1 }, async () => ({ banks: new Map([[STOCK_OF, { bank, opens_ms: 0, closes_ms: 0 }]]), homes: [] }), cell.no, 2)
  await cell.open({ epoch: 2, tail: (await cell.lastEntry()).id })
  // Had it opened as if it had returned nothing, the bank would have lent five of the total twice.
  expect(await cell.campaignRecord()).toMatchObject({ granted: 6, returned: 5, issued: 1 })
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
    await bank.hearAll(2)
    for (const each of cells) {
      await each.publish({ is_home: 0, is_alone: 0, per_user: 1_000 })
      await each.takeGrant({ name: STOCK_OF, granted_total: 1_000 })
    }
    const messages: (() => Promise<unknown>)[] = []
    const live: string[][] = [[], []]
    for (const [i, now] of steps.entries()) {
      switch (now.do) {
        case "grant": {
          const reply = await bank.grant({ cell: now.cell, want: now.amount })
          if (reply.outcome === "granted") messages.push(() => cells[now.cell]!.takeGrant({ granted_total: reply.granted_total }))
          break
        }
        case "give_back": {
          const reply = await cells[now.cell]!.giveBack({ keep: now.amount })
          if (reply.outcome === "given_back") messages.push(() => bank.takeBack({ cell: now.cell, epoch: 1, returned_total: reply.returned_total }))
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
        case "cut":
          await bank.setAside({ addition: `step ${i}`, amount_minor: now.amount })
          if ((await bank.fund({ addition: `step ${i}`, amount_minor: now.amount, is_cut: 1, is_alone: 0 })).outcome !== "funded") await bank.putBack(`step ${i}`)
          break
        case "raise":
          await bank.fund({ addition: `step ${i}`, amount_minor: now.amount, is_alone: 0 })
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

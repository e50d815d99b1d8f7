/**
 * What an act packs by hand is read back exactly, whatever its size: the library joins bytes itself where it is called most, and keeps
 * what it wrote last unpacked, so the edges of both are tested here.
 */
import { expect, test } from "bun:test"
import { unpack } from "../../lua/records.ts"
import { agrees, inEmptyCell, inShop, LIMIT_MINOR, MONEY, openCell, OTHER_MONEY, SPRING, use, walletField } from "./cell.ts"

const MOST = Number.MAX_SAFE_INTEGER
/** Where msgpack's lengths and numbers change their first byte. */
const LENGTHS = [0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 70_000]
const NUMBERS = [0, 1, 31, 32, 127, 128, 255, 256, 4_095, 4_096, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52, MOST - 1, MOST]

inShop("texts of every length: a body and a payload are read back", async (cell) => {
  for (const length of LENGTHS) {
    const [order, text] = [`order ${length}`, "å".repeat(length / 2) + "x".repeat(length % 2)]
    expect(Buffer.byteLength(text)).toBe(length)
    await cell.reserve({ order, coupons: [], body: text || "x", payload: text })
    expect(await cell.redemption({ order })).toMatchObject({ body: text || "x" })
    expect(await cell.lastEntry()).toMatchObject({ payload: text, redemptions: [[expect.any(String), expect.anything(), text || "x"]] })
  }
})

inEmptyCell("amounts of every size: held, spent, given back", async (cell) => {
  await cell.fund({ amount_minor: MOST })
  await cell.publish({ stock: 1_000, per_user: 1_000 })
  for (const amount of NUMBERS) {
    const [request, order] = [`coupon of ${amount}`, `order of ${amount}`]
    await cell.issue({ request })
    expect(await cell.reserve({ order, coupons: [use({ request, discount_minor: amount })] })).toMatchObject({ outcome: "reserved" })
    expect(await cell.money()).toEqual({ held: amount, spent: 0, available: MOST - amount })
    await cell.confirm({ order })
    expect(await cell.redemption({ order })).toMatchObject({ coupons: [[walletField.coupon({ request }), SPRING, amount, 0, [[MONEY, amount, amount, 0]]]] })
    await cell.refund({ order, backs: [[1, [amount], 0]], refund_id: order })
    expect(await cell.redemption({ order })).toMatchObject({ coupons: [[walletField.coupon({ request }), SPRING, amount, 0, [[MONEY, amount, amount, amount]]]] })
    expect(await cell.money()).toEqual({ held: 0, spent: 0, available: MOST })
  }
})

inEmptyCell("numbers of every size: budgets and campaigns are not confused with their neighbours", async (cell) => {
  const budgets = NUMBERS.filter((number) => number > 0).concat(123_456_789_012_345, 123_456_789_012_346)
  for (const [i, budget] of budgets.entries()) await cell.fund({ budget, addition: `limit of ${budget}`, amount_minor: 1_000 + i })
  for (const [i, budget] of budgets.entries()) expect(await cell.budget(budget)).toMatchObject({ granted: 1_000 + i })
  const numbers = budgets.filter((number) => number <= 2 ** 32) // a campaign's number stands in a wallet's fields, whose lengths tell them apart
  for (const [i, number] of numbers.entries()) await cell.publish({ campaign: number, stock: 10 + i })
  for (const [i, number] of numbers.entries()) {
    expect(await cell.campaignRecord(number)).toMatchObject({ granted: 10 + i })
    expect(await cell.issue({ campaign: number, holds: [[number, 100]] })).toMatchObject({ outcome: "issued" })
    expect(await cell.reserve({ order: `order of ${number}`, coupons: [use({ campaign: number, at_issue: 1, shares: [[number, 100]] })] })).toMatchObject({ outcome: "reserved" })
    expect(await cell.money(number)).toEqual({ held: 100, spent: 0, available: 900 + i })
    expect(await cell.count({ campaign: number })).toBe("1")
  }
})

inEmptyCell("lists of every length: coupons of an order, budgets of a coupon", async (cell) => {
  await cell.fund({ amount_minor: 10_000 })
  for (let budget = 101; budget <= 120; budget++) await cell.fund({ budget, addition: `limit of ${budget}` })
  await cell.publish({ stock: 1_000, per_user: 1_000 })
  const names = Array.from({ length: 40 }, (_, i) => `coupon ${i}`)
  for (const request of names) await cell.issue({ request })
  for (const count of [1, 3, 7, 8, 15, 16, 17, 40]) {
    const order = `order of ${count}`
    expect(await cell.reserve({ order, coupons: names.slice(0, count).map((request) => use({ request, discount_minor: 3 })) })).toMatchObject({ outcome: "reserved" })
    expect((await cell.redemption({ order }))!.coupons).toHaveLength(count)
    await cell.cancel({ order })
  }
  for (const count of [15, 16, 20]) {
    const shares = Array.from({ length: count }, (_, i): [number, number] => [101 + i, i])
    expect(await cell.reserve({ order: `budgets ${count}`, coupons: [use({ request: names[0]!, shares })] })).toMatchObject({ outcome: "reserved" })
    await cell.confirm({ order: `budgets ${count}` })
    await cell.refund({ order: `budgets ${count}`, backs: [[1, shares.map(([, amount]) => amount), 1]], refund_id: `all ${count}` })
  }
})

test("more quotas than the library keeps names and records of: every one is still itself", async () => {
  const cell = await openCell()
  const budgets = Array.from({ length: 4_200 }, (_, i) => i + 1)
  for (const round of [0, 1]) {
    await Promise.all(budgets.map((budget) => cell.takeGrant({ name: `b${budget}`, granted_total: budget + round })))
  }
  const fields = await cell.redis.hgetallBuffer(cell.keys.quota)
  expect(budgets.filter((budget) => unpack("budget", fields[`b${budget}`]!).granted !== budget + 1)).toEqual([])
  await agrees(cell)
})

inShop("what another wrote is what the library reads, though it wrote last itself", async (cell) => {
  await cell.issue({ request: "second" })
  await cell.issue()
  const [before, quota] = [await cell.budget(), await cell.redis.hgetallBuffer(cell.keys.quota)]
  await cell.reserve()
  const held = await cell.redis.hgetallBuffer(cell.keys.quota)
  await cell.redis.hset(cell.keys.quota, `b${MONEY}`, quota[`b${MONEY}`]!) // as a rebuild, a restore or an older library would write it
  await cell.fund({ budget: OTHER_MONEY, addition: "other" })
  expect(await cell.budget()).toEqual(before)
  expect(await cell.reserve({ order: "order 2", coupons: [use({ request: "second", discount_minor: LIMIT_MINOR })] })).toMatchObject({ outcome: "reserved" })
  await cell.cancel({ order: "order 2" })
  await cell.redis.hset(cell.keys.quota, `b${MONEY}`, held[`b${MONEY}`]!)
  expect(await cell.money()).toMatchObject({ held: 100 })
})

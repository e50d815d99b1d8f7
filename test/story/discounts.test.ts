/**
 * Checkout discounts, as the Universal Commerce Protocol's discount extension asks for them: each code is applied or said, and nothing is claimed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { missesInCell } from "../../engine/codes/misses.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, type Say, yes } from "./till.ts"
import { monthOf } from "./model/world.ts"

const START_MS_MAX = 60_000
let story: Story, say: Say
beforeAll(async () => {
  story = await openStory()
  say = (method, path, body) => story.call(method, path, body)
}, START_MS_MAX)
afterAll(async () => { await story.close() }, START_MS_MAX)

/** A live campaign with a public code of its own. */
const withCode = async (terms: object, more: object = {}, limit = 1_000): Promise<{ code: string; campaign_id: string }> => {
  const [budget_id, campaign_id, code] = [fresh("budget"), fresh("campaign"), fresh("CODE")]
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: monthOf(story.now_ms()), currency: "CNY", limit_minor: 1_000_000 }))
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, {
    line: "retail", name: `The ${campaign_id}`, currency: "CNY", threshold_minor: 0, starts_at: new Date(story.now_ms() - 60_000).toISOString(),
    ends_at: new Date(story.now_ms() + 20 * 86_400_000).toISOString(), stock: 1_000, per_user: 2, hold_at: "reserve", on_refund: "keep", funding: [{ budget_id, share_bp: 10_000 }], ...terms, ...more,
  }))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`, {}))
  await yes(say("PUT", `/v1/campaigns/${campaign_id}/codes`, { code, limit }))
  return { code, campaign_id }
}
const off = (amount_minor: number, more: object = {}) => ({ kind: "amount_off", terms: { amount_minor, ...more } })
const LINES = [{ id: "a", item: { id: "shirt", price: 6_000 }, quantity: 1 }, { id: "b", item: { id: "hat", price: 2_000 }, quantity: 2 }]
const discounts = (codes: readonly string[], more: object = {}) => say("POST", "/v1/checkout/discounts", { user_id: fresh("ann"), currency: "CNY", line_items: LINES, discounts: { codes }, ...more })

describe("applied", () => {
  test("a fixed amount is shared across the lines, and lines, totals and allocations agree", async () => {
    const { code, campaign_id } = await withCode(off(1_000))
    expect(await yes(discounts([code.toLowerCase()], { fulfillment_minor: 500 }))).toEqual({
      line_items: [
        { ...LINES[0], totals: [{ type: "subtotal", amount: 6_000 }, { type: "items_discount", amount: -600 }, { type: "total", amount: 5_400 }] },
        { ...LINES[1], totals: [{ type: "subtotal", amount: 4_000 }, { type: "items_discount", amount: -400 }, { type: "total", amount: 3_600 }] },
      ],
      discounts: {
        codes: [code.toLowerCase()],
        applied: [{
          code: code.toLowerCase(), title: `The ${campaign_id}`, amount: 1_000, method: "across", priority: 1,
          allocations: [{ path: "$.line_items[0]", amount: 600 }, { path: "$.line_items[1]", amount: 400 }],
        }],
      },
      totals: [{ type: "subtotal", amount: 10_000 }, { type: "items_discount", amount: -1_000 }, { type: "fulfillment", amount: 500 }, { type: "total", amount: 9_500 }],
      messages: [],
    })
  })

  test("several stand in the order in which they apply, which is not the request's; shipping is a discount of its own", async () => {
    const [tenth, fixed, ship] = [
      await withCode({ kind: "percent_off", terms: { percent_bp: 1_000, per: "line" } }, { stacking: { priority: 5 } }), await withCode(off(900)),
      await withCode({ kind: "free_shipping", terms: {} }),
    ]
    const { discounts: { applied }, totals, messages } = await yes(discounts([ship.code, fixed.code, tenth.code], { fulfillment_minor: 700 }))
    expect(applied.map(({ code, amount, method, priority }: any) => [code, amount, method, priority]))
      .toEqual([[tenth.code, 1_000, "each", 1], [fixed.code, 900, "across", 2], [ship.code, 700, "across", 3]])
    expect(applied[2].allocations).toEqual([{ path: "$.totals.shipping", amount: 700 }])
    expect(totals).toEqual([
      { type: "subtotal", amount: 10_000 }, { type: "items_discount", amount: -1_900 }, { type: "discount", amount: -700 }, { type: "fulfillment", amount: 700 }, { type: "total", amount: 8_100 },
    ])
    expect(messages).toEqual([])
    for (const { amount, allocations } of applied) expect(allocations.reduce((sum: number, each: { amount: number }) => sum + each.amount, 0)).toBe(amount)
  })

  test("nothing is claimed, and a code whose coupon the user holds is that coupon", async () => {
    const { code, campaign_id } = await withCode(off(1_000), {}, 1), user_id = fresh("ann")
    for (let i = 0; i < 3; i += 1) expect((await yes(discounts([code], { user_id }))).discounts.applied).toHaveLength(1)
    const { coupon_id } = await yes(say("POST", "/v1/codes/claim", { request_id: "r", code, user_id }))
    expect((await yes(discounts([code], { user_id }))).discounts.applied[0]).toMatchObject({ code, amount: 1_000 })
    expect((await yes(discounts([code]))).messages).toMatchObject([{ type: "warning", code: "discount_code_expired", path: "$.discounts.codes[0]" }])
    const order = { currency: "CNY", lines: [{ line_id: "1", sku: "x", unit_price_minor: 5_000, quantity: 1 }] }
    const { redemption_id } = await yes(say("POST", "/v1/redemptions", { order_id: fresh("o"), user_id, order, coupons: [coupon_id] }))
    await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
    expect((await yes(discounts([code], { user_id }))).messages).toMatchObject([{ code: "discount_code_expired" }])
    expect((await yes(say("GET", `/v1/campaigns/${campaign_id}/codes`))).items[0]).toMatchObject({ claimed: 1, free: 0 })
  })
})

describe("said", () => {
  test("unknown, twice, not stackable, over, and not for this order: each code's own word at its own path", async () => {
    const [one, alone, gone, big] = [
      await withCode(off(100)), await withCode(off(200), { stacking: { group: "g" } }), await withCode(off(300)), await withCode(off(400), { threshold_minor: 1_000_000 }),
    ]
    const rival = await withCode(off(500), { stacking: { group: "g", priority: 9 } })
    await yes(say("POST", `/v1/campaigns/${gone.campaign_id}/stop`, {}))
    const { messages, discounts: { applied } } = await yes(discounts([one.code, "nobody's", one.code.toUpperCase(), alone.code, gone.code, big.code, rival.code]))
    expect(messages.map(({ path, code }: any) => [path, code])).toEqual([
      ["$.discounts.codes[1]", "discount_code_invalid"], ["$.discounts.codes[2]", "discount_code_already_applied"], ["$.discounts.codes[3]", "discount_code_combination_disallowed"],
      ["$.discounts.codes[4]", "discount_code_expired"], ["$.discounts.codes[5]", "discount_code_user_ineligible"],
    ])
    expect(applied.map(({ code }: any) => code).toSorted()).toEqual([one.code, rival.code].toSorted())
  })

  test("code_misses_exceeded: looking for codes is limited, and a cart with one wrong code that is shown again is no search", async () => {
    const user_id = fresh("guesser"), { misses: { user }, cells } = story.parts
    for (let i = 0; i < user + 5; i += 1) expect((await discounts(["wrong"], { user_id })).status).toBe(200)
    // The wrong one was the first. With several cells each counts the misses of its codes, so it takes a few more or fewer.
    let misses = 1, said = await discounts([`guess ${misses}`], { user_id })
    for (; said.status === 200 && misses < cells * missesInCell(user, cells); said = await discounts([`guess ${misses}`], { user_id })) misses += 1
    expect(said.body).toMatchObject({ code: "code_misses_exceeded", of: "user", status: 429 })
    expect(misses).toBeGreaterThanOrEqual(missesInCell(user, cells))
  })

  test("a user who has had his share is ineligible, and so is another currency", async () => {
    const { code, campaign_id } = await withCode(off(100)), user_id = fresh("ann")
    for (const request_id of ["1", "2"]) await yes(say("POST", "/v1/coupons", { request_id, campaign_id, user_id }))
    expect((await yes(discounts([code], { user_id }))).messages).toMatchObject([{ code: "discount_code_user_ineligible" }])
    expect((await yes(discounts([code], { currency: "EUR" }))).messages).toMatchObject([{ code: "discount_code_user_ineligible" }])
  })
})

test("request_invalid: more money, or more units of what costs nothing, than can be counted", async () => {
  const lines = (price: number, quantity: number) => LINES.map(({ id, item }) => ({ id, item: { ...item, price }, quantity }))
  for (const line_items of [lines(Number.MAX_SAFE_INTEGER, 1), lines(0, Number.MAX_SAFE_INTEGER)]) {
    expect((await discounts([], { line_items })).body).toMatchObject({ code: "request_invalid", field: "line_items" })
  }
  expect((await discounts([], { line_items: lines(0, 2 ** 52 - 1) })).status).toBe(200)
})

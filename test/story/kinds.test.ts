/**
 * Every kind of coupon through a whole life: priced as a draft, made, issued, quoted, held, confirmed and given back piece by piece.
 *
 * What must stay true: the draft, the quote and the redemption say the same to the cent; what is given back adds up to what it cost,
 * however it is split; budgets, ledger and records agree after each.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { KINDS } from "../../engine/pricing/kinds/index.ts"
import { brokenContract } from "../support/contract.ts"
import { monthOf } from "./model/world.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, issueAsk, yes } from "./till.ts"

const START_MS_MAX = 120_000
let story: Story
beforeAll(async () => { story = await openStory() }, START_MS_MAX)
afterAll(async () => { await story.expectConserved(); await story.close() }, START_MS_MAX)

/** Call, and hold the answer to the contract. */
const say = async (method: string, path: string, body?: unknown) => {
  const answer = await story.call(method, path, body)
  expect(brokenContract(method, path, answer.status, answer.body)).toBeUndefined()
  return answer
}

const order = () => ({
  currency: "CNY", channel: "app", payment_method: "baitiao", payment_instrument: "instalment", instalments: 3, first_order: true, segments: ["new"], shipping_minor: 1_200,
  lines: [
    { line_id: "a", sku: "shirt", category: "shirts", brand: "acme", merchant_id: "m", unit_price_minor: 3_333, quantity: 3, list_price_minor: 3_333 },
    { line_id: "b", sku: "mug", category: "mugs", unit_price_minor: 999, quantity: 4, floor_minor: 100 },
    { line_id: "c", sku: "lamp", unit_price_minor: 10_001, quantity: 1 },
  ],
})
const TERMS: Readonly<Record<string, { terms: object; more?: object; cost: number }>> = {
  amount_off: { terms: { amount_minor: 1_000 }, cost: 1_000 },
  percent_off: { terms: { percent_bp: 1_500, per: "unit", max_units: 2 }, cost: 300 },
  fixed_price: { terms: { price_minor: 900 }, more: { applies_to: { categories: ["mugs"] } }, cost: 396 },
  tiered_off: { terms: { by: "amount", tiers: [{ from: 5_000, amount_minor: 300 }], repeat: true }, cost: 1_200 },
  buy_x_get_y: { terms: { buy: { quantity: 2 }, get: { quantity: 1 }, percent_bp: 5_000, pick: "cheapest", times: 2 }, cost: 999 },
  bundle: { terms: { sets: [{ quantity: 1, applies_to: { categories: ["shirts"] } }, { quantity: 1, applies_to: { categories: ["mugs"] } }], price_minor: 4_000, times: 2 }, cost: 664 },
  free_shipping: { terms: { max_minor: 800 }, cost: 800 },
  gift: { terms: { sku: "sticker", unit_price_minor: 150, quantity: 2, for_each: { quantity: 4 } }, cost: 600 },
  interest_free: { terms: { periods: 3, rate_bp: 50 }, cost: 360 },
  cash_back: { terms: { rate_bp: 250, principal_cap_minor: 20_000, days: 30 }, cost: 500 },
  rate_uplift: { terms: { rate_bp: 100, principal_cap_minor: 500_000, days: 30 }, cost: 20 },
}

const budgetOf = async (line: string) => {
  const budget_id = fresh("budget")
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line, month: monthOf(story.now_ms()), currency: "CNY", limit_minor: 100_000 }))
  return budget_id
}
const spentOf = async (budget_id: string): Promise<number> => (await yes(say("GET", `/v1/budgets/${budget_id}`))).spent_minor

/** A live campaign, paid by two budgets in shares that leave odd cents. */
const openCampaign = async (kind: string, terms: object, more: object = {}) => {
  const [ours, theirs, campaign_id] = [await budgetOf("retail"), await budgetOf("baitiao"), fresh("campaign")]
  const body = {
    line: "retail", name: kind, currency: "CNY", kind, terms, starts_at: new Date(story.now_ms() - 1_000).toISOString(), ends_at: new Date(story.now_ms() + 86_400_000).toISOString(),
    stock: 10, per_user: 10, funding: [{ budget_id: ours, share_bp: 3_333 }, { budget_id: theirs, share_bp: 6_667 }], ...more,
  }
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, body))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`))
  return { campaign_id, body, budgets: [ours, theirs] as const }
}
const issue = async (campaign_id: string, user_id: string): Promise<string> => (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id
const reserve = (user_id: string, coupons: unknown, more: object = {}) => say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id, order: order(), coupons, ...more })
const refund = (redemption_id: string, lines: unknown) => say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: fresh("refund"), lines })

/** An answer's price without the ids of what was applied. */
const plain = ({ applied, discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor, profile }: any) => ({
  discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor, profile, applied: applied.map(({ coupon_id: _, ...rest }: any) => rest),
})

test("every kind there is has a life below", () => expect(Object.keys(TERMS).toSorted()).toEqual(KINDS.map(({ name }) => name).toSorted()))

describe("from the draft to the last refund", () => {
  for (const [kind, { terms, more = {}, cost }] of Object.entries(TERMS)) {
    test(`refunded: ${kind} gives back what it cost, unit by unit`, async () => {
      const { campaign_id, body, budgets } = await openCampaign(kind, terms, { ...more, on_refund: "return" })
      const user_id = fresh("user")
      const coupon_id = await issue(campaign_id, user_id)
      const draft = await yes(say("POST", "/v1/quotes", { order: order(), drafts: [{ campaign_id, ...body }] }))
      const quote = await yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons: [coupon_id] }))
      const held = await yes(reserve(user_id, [coupon_id]))
      expect(draft.cost_minor).toBe(cost)
      expect(plain(quote)).toEqual(plain(draft))
      expect(plain(held)).toEqual(plain(draft))
      expect(plain(await yes(say("GET", `/v1/redemptions/${held.redemption_id}`)))).toEqual(plain(draft))

      const path = `/v1/redemptions/${held.redemption_id}`
      expect(plain(await yes(say("POST", `${path}/confirm`)))).toEqual(plain(draft))
      const parts = await Promise.all(budgets.map(spentOf))
      expect(parts[0]! + parts[1]!).toBe(cost)

      let back = 0, paid = 0
      for (const lines of [[{ line_id: "b", quantity: 1 }], [{ line_id: "a", quantity: 2 }, { line_id: "b", quantity: 2 }], [{ line_id: "c", quantity: 1 }], "all"]) {
        const { discount_minor, withheld_minor, refund_minor } = await yes(refund(held.redemption_id, lines))
        expect(withheld_minor).toBe(0)
        back += discount_minor
        paid += refund_minor
      }
      expect(back).toBe(cost)
      // The goods' price less what lay on them.
      expect(paid).toBe(3 * 3_333 + 4 * 999 + 10_001 - (held.discount_minor - held.shipping_discount_minor))
      expect(await Promise.all(budgets.map(spentOf))).toEqual([0, 0])
      const { items } = await yes(story.call("GET", `/v1/users/${user_id}/coupons`))
      expect(items).toMatchObject([{ coupon_id, state: "issued" }])
    })
  }

  test("reserved: all kinds together, under another policy, are one redemption whose parts sum", async () => {
    const user_id = fresh("user")
    const coupons: string[] = []
    for (const [kind, { terms, more = {} }] of Object.entries(TERMS)) coupons.push(await issue((await openCampaign(kind, terms, more)).campaign_id, user_id))
    const profile = { extends: "saleor", percent_per: "line" }
    const quote = await yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons: "best", profile, budget_ms: 50 }))
    const held = await yes(reserve(user_id, "best", { profile, budget_ms: 50 }))
    expect(held.profile).toEqual(profile)
    expect(plain(held)).toEqual(plain(quote))
    expect(held.applied.reduce((sum: number, each: any) => sum + each.cost_minor, 0)).toBe(held.cost_minor)
    expect(held.total_minor).toBe(3 * 3_333 + 4 * 999 + 10_001 + 1_200 - held.discount_minor)
    await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`))
    expect((await yes(refund(held.redemption_id, [{ line_id: "a", quantity: 1 }]))).state).toBe("partly_refunded")
    await story.expectConserved()
    await story.flush()
    const { sql } = story.parts.postgres
    const [{ payload }] = await sql<any[]>`select payload from events where act = 'reserved' and payload->>'redemption_id' = ${held.redemption_id}`
    expect(payload.policy).toEqual({
      remainder: "last", rounding: "half_up", percent_base: "running", kind_order: "priority", percent_per: "line", threshold_sees: "running", budget_short: "refuse",
    })
    expect(payload.order.lines[0]).toMatchObject({ brand: "acme", list_price_minor: 3_333 })
    expect(payload.applied.map((each: any) => each.cost_minor)).toEqual(held.applied.map((each: any) => each.cost_minor))
  })

  test("budget_exhausted: money that is short is given in part where the campaign says so, and budgets are never passed", async () => {
    const { campaign_id, budgets } = await openCampaign("amount_off", { amount_minor: 8_000 }, { profile: { budget_short: "partial" } })
    await yes(say("POST", `/v1/budgets/${budgets[1]}/additions`, { addition_id: "cut", amount_minor: -94_000 }))
    const user_id = fresh("user")
    const coupons = [await issue(campaign_id, user_id), await issue(campaign_id, user_id)]
    // 6000 of 6667/10000: 8999 could be given, 8000 is asked; then what is left.
    const first = await yes(reserve(user_id, [coupons[0]]))
    expect(first.discount_minor).toBe(8_000)
    const left = 6_000 - Math.round(8_000 * 0.6667)
    const second = await yes(reserve(user_id, [coupons[1]]))
    expect(second.discount_minor).toBeGreaterThan(0)
    expect(Math.abs(second.discount_minor * 0.6667 - left)).toBeLessThan(2)
    expect((await yes(say("GET", `/v1/budgets/${budgets[1]}`))).available_minor).toBeLessThan(2)
  })
})

test("budget_exhausted: many at once share what is short to the last cent, and never a cent more", async () => {
  const { campaign_id, budgets } = await openCampaign("amount_off", { amount_minor: 900 }, { profile: { budget_short: "partial" }, stock: 100 })
  await yes(say("POST", `/v1/budgets/${budgets[0]}/additions`, { addition_id: "cut", amount_minor: -97_500 }))
  const users = Array.from({ length: 60 }, () => fresh("user"))
  const coupons = await Promise.all(users.map((user_id) => issue(campaign_id, user_id)))
  const answers = await Promise.all(users.map((user_id, i) => reserve(user_id, [coupons[i]])))
  const codes = new Set(answers.map(({ body }) => body.code ?? body.state))
  expect([...codes].filter((code) => !["reserved", "budget_exhausted", "overloaded"].includes(code))).toEqual([])
  const given = answers.reduce((sum, { body }) => sum + (body.discount_minor ?? 0), 0)
  const { held_minor, available_minor } = await yes(say("GET", `/v1/budgets/${budgets[0]}`))
  expect(held_minor + available_minor).toBe(2_500)
  // A third of a cent cannot be held.
  expect(available_minor).toBeLessThan(2)
  expect(Math.abs(given * 0.3333 - held_minor)).toBeLessThan(users.length)
})

describe("money that is held at the issue", () => {
  const at_issue = { hold_at: "issue" }
  const bounded: readonly [kind: string, terms: object, more?: object, bound?: number][] = [
    ["amount_off", { amount_minor: 1_000 }, {}, 1_000], ["amount_off", { amount_minor: 100, spread: "each_unit", max_units: 3 }, {}, 300],
    ["percent_off", { percent_bp: 1_500, max_minor: 700 }, {}, 700], ["percent_off", { percent_bp: 1_500 }, { max_minor: 600 }, 600], ["fixed_price", { price_minor: 900 }, { max_minor: 500 }, 500],
    ["tiered_off", { by: "amount", tiers: [{ from: 0, amount_minor: 300 }, { from: 9_000, amount_minor: 200 }] }, {}, 300],
    ["buy_x_get_y", { buy: { quantity: 1 }, get: { quantity: 1 }, percent_bp: 5_000, pick: "cheapest" }, { max_minor: 450 }, 450],
    ["bundle", { sets: [{ quantity: 2 }], amount_minor: 100, times: 2 }, {}, 200], ["free_shipping", { max_minor: 800 }, {}, 800], ["gift", { sku: "g", unit_price_minor: 150, quantity: 2 }, {}, 300],
    ["cash_back", { rate_bp: 250, principal_cap_minor: 20_000, days: 30 }, {}, 500], ["rate_uplift", { rate_bp: 100, principal_cap_minor: 500_000, days: 30 }, {}, 411],
  ]
  for (const [kind, terms, more, bound] of bounded) {
    test(`confirmed: ${kind} holds ${bound} at the issue, spends what it costs and gives the rest back`, async () => {
      const { campaign_id, budgets } = await openCampaign(kind, terms, { ...more, ...at_issue })
      const heldOf = async () => (await Promise.all(budgets.map((budget_id) => yes(say("GET", `/v1/budgets/${budget_id}`))))).reduce((sum, each) => sum + each.held_minor, 0)
      const user_id = fresh("user")
      const coupon_id = await issue(campaign_id, user_id)
      expect(await heldOf()).toBe(bound!)
      const { redemption_id, cost_minor } = await yes(reserve(user_id, [coupon_id]))
      expect(cost_minor).toBeGreaterThan(0)
      expect(cost_minor).toBeLessThanOrEqual(bound!)
      await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`))
      expect(await heldOf()).toBe(0)
      expect((await Promise.all(budgets.map(spentOf))).reduce((sum, each) => sum + each, 0)).toBe(cost_minor)
    })
  }

  test("request_invalid: terms that bound nothing, and a coupon that would be given back, are refused by their field", async () => {
    const unbounded: readonly [field: string, kind: string, terms: object, more?: object][] = [
      ["terms", "percent_off", { percent_bp: 1 }], ["terms", "fixed_price", { price_minor: 1 }], ["terms", "amount_off", { amount_minor: 1, spread: "each_unit" }],
      ["terms", "tiered_off", { by: "amount", tiers: [{ from: 1, amount_minor: 1 }], repeat: true }], ["terms", "free_shipping", {}], ["terms", "interest_free", { periods: 3, rate_bp: 50 }],
      ["terms", "gift", { sku: "g", unit_price_minor: 1, quantity: 1, for_each: { quantity: 1 } }], ["on_refund", "amount_off", { amount_minor: 1 }, { on_refund: "return" }],
    ]
    for (const [field, kind, terms, more] of unbounded) {
      const { status, body } = await say("PUT", `/v1/campaigns/${fresh("campaign")}`, {
        line: "retail", name: "x", currency: "CNY", kind, terms, starts_at: "2026-06-01T00:00:00Z", ends_at: "2026-07-01T00:00:00Z", stock: 1, per_user: 1,
        funding: [{ budget_id: "b", share_bp: 10_000 }], ...at_issue, ...more,
      })
      expect([kind, status, body.field]).toEqual([kind, 400, field])
    }
  })
})

describe("refunds that look again", () => {
  const six = () => ({ currency: "CNY", lines: [{ line_id: "a", sku: "s", unit_price_minor: 5_000, quantity: 6 }] })
  const bought = async (more: object, withKeep = false) => {
    const { campaign_id, budgets } = await openCampaign("percent_off", { percent_bp: 1_000 }, { threshold_minor: 30_000, ...more })
    const user_id = fresh("user")
    const coupons = [await issue(campaign_id, user_id)]
    if (withKeep) coupons.push(await issue((await openCampaign("amount_off", { amount_minor: 600 })).campaign_id, user_id))
    const held = await yes(reserve(user_id, coupons, { order: six() }))
    await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`))
    return { ...held, budgets }
  }
  const numbers = ({ discount_minor, withheld_minor, refund_minor, state }: any) => [discount_minor, withheld_minor, refund_minor, state]

  test("refunded: kept, the last unit stays at its price", async () => {
    const { redemption_id } = await bought({})
    expect(numbers(await yes(refund(redemption_id, [{ line_id: "a", quantity: 5 }])))).toEqual([2_500, 0, 22_500, "partly_refunded"])
    expect(numbers(await yes(refund(redemption_id, "all")))).toEqual([500, 0, 4_500, "refunded"])
  })

  test("refunded: evaluated again, what the kept units hold too much is withheld, and all of it comes back in the end", async () => {
    const { redemption_id, budgets } = await bought({ refund_policy: "re_evaluate" })
    expect(numbers(await yes(refund(redemption_id, [{ line_id: "a", quantity: 5 }])))).toEqual([3_000, 500, 22_000, "partly_refunded"])
    expect(await Promise.all(budgets.map(spentOf))).toEqual([0, 0])
    expect(numbers(await yes(refund(redemption_id, "all")))).toEqual([0, 0, 5_000, "refunded"])
  })

  test("refunded: only the coupon whose campaign looks again withholds", async () => {
    const { redemption_id, discount_minor } = await bought({ refund_policy: "re_evaluate" }, true)
    expect(discount_minor).toBe(3_600)
    expect(numbers(await yes(refund(redemption_id, [{ line_id: "a", quantity: 3 }])))).toEqual([1_500 + 300 + 1_500, 1_500, 15_000 - 1_800 - 1_500, "partly_refunded"])
    expect(numbers(await yes(refund(redemption_id, "all")))).toEqual([300, 0, 14_700, "refunded"])
  })

  test("refunded: long after, from Postgres, with the terms of the redemption and at its instant", async () => {
    const hours = { time_zone: "UTC", from: new Date(story.now_ms()).toISOString().slice(11, 16), to: new Date(story.now_ms() + 3_600_000).toISOString().slice(11, 16) }
    const { redemption_id } = await bought({ refund_policy: "re_evaluate", threshold_minor: 15_000, hours })
    await story.flush()
    story.setNow(story.now_ms() + 60 * 3_600_000)
    await story.sweep()
    expect(numbers(await yes(refund(redemption_id, [{ line_id: "a", quantity: 3 }])))).toEqual([1_500, 0, 13_500, "partly_refunded"])
    expect(numbers(await yes(refund(redemption_id, [{ line_id: "a", quantity: 1 }])))).toEqual([1_500, 1_000, 3_500, "partly_refunded"])
  })
})

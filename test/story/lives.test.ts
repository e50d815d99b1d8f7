/**
 * Any campaigns, any order, any way to hold them, any split of a return: whole lives of redemptions by chance.
 *
 * What must stay true: drafts price what the campaigns will; a redemption costs what its quote said, named, best or signed; what is given
 * back adds up to it, and what the customer gets to what he paid for the goods; in the end every budget, ledger and record agrees.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import fc from "fast-check"
import { boundMinor } from "../../engine/pricing/compile.ts"
import { arbitraryBody } from "../pricing/campaigns.ts"
import { brokenContract } from "../support/contract.ts"
import { SEED } from "../support/seed.ts"
import { monthOf } from "./model/world.ts"
import { CELLS } from "../support/shop.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, issueAsk, yes } from "./till.ts"

const START_MS_MAX = 120_000
const RUNS = Number(process.env["SCRIP_LIVES"] ?? 40)
/** What a run may take on a machine that does other things too. */
const RUN_MS_MAX = 2_000

let story: Story
beforeAll(async () => { story = await openStory({ cells: Math.max(CELLS, 2) }) }, START_MS_MAX)
afterAll(async () => { await story.close() }, START_MS_MAX)

const say = async (method: string, path: string, body?: unknown) => {
  const answer = await story.call(method, path, body)
  expect(brokenContract(method, path, answer.status, answer.body)).toBeUndefined()
  return answer
}

const line = fc.record({
  unit_price_minor: fc.oneof(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 100, max: 9_000 })), quantity: fc.integer({ min: 1, max: 5 }),
  category: fc.constantFrom("x", "y"), floor_minor: fc.constantFrom(0, 0, 50),
})
const order = fc.record({ lines: fc.array(line, { minLength: 1, maxLength: 4 }), shipping_minor: fc.constantFrom(0, 600), instalments: fc.constantFrom(1, 3, 6) })
  .map(({ lines, ...rest }) => ({ currency: "CNY", ...rest, lines: lines.map((each, i) => ({ line_id: `l${i}`, sku: `s${i}`, ...each })) }))
const life = fc.record({
  order,
  campaigns: fc.array(fc.record({
    body: arbitraryBody, threshold_quantity: fc.constantFrom(undefined, undefined, 2, 4), refund_policy: fc.constantFrom("keep", "re_evaluate"), on_refund: fc.constantFrom("keep", "return"), hold_at: fc.constantFrom("reserve", "issue"),
    share_bp: fc.constantFrom(10_000, 3_333), profile: fc.constantFrom(undefined, "sylius", "saleor", { rounding: "down", budget_short: "partial" }),
  }), { minLength: 1, maxLength: 4 }),
  profile: fc.constantFrom(undefined, undefined, "shopify", "commercetools", { extends: "lago", threshold_sees: "original" }),
  way: fc.constantFrom("named", "best", "signed"),
  returns: fc.array(fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 3 })), { minLength: 1, maxLength: 3 }), { maxLength: 4 }),
})

const budgetOf = async (lineName: string, limit_minor: number): Promise<string> => {
  const budget_id = fresh("budget")
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: lineName, month: monthOf(story.now_ms()), currency: "CNY", limit_minor }))
  return budget_id
}

/** What an answer says of the price, with its coupons by the campaigns that they are of. */
const priceOf = ({ discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor, applied }: any) => ({
  discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor, applied: applied.map(({ coupon_id: _, ...rest }: any) => rest),
})

test(`refunded: ${RUNS} lives by chance, each to its end`, async () => {
  const counts = { reserved: 0, refused: 0, refunds: 0, withheld: 0, signed: 0 }
  await fc.assert(fc.asyncProperty(life, async ({ order: asked, campaigns, profile, way, returns }) => {
    const user_id = fresh("user")
    const [ours, theirs] = [await budgetOf("retail", 500_000), await budgetOf("baitiao", 500_000)]
    const coupons: string[] = [], drafts: object[] = []
    for (const { body, share_bp, hold_at, on_refund, profile: its, ...more } of campaigns) {
      const campaign_id = fresh("campaign")
      const isAtIssue = hold_at === "issue" && (boundMinor(body) ?? 500_001) <= 100_000
      const campaign = {
        ...body, ...more, ...(its === undefined ? {} : { profile: its }), line: "retail", name: "A life", currency: "CNY", starts_at: new Date(story.now_ms() - 1_000).toISOString(),
        ends_at: new Date(story.now_ms() + 86_400_000).toISOString(), stock: 5, per_user: 5, hold_at: isAtIssue ? "issue" : "reserve", on_refund: isAtIssue ? "keep" : on_refund,
        funding: share_bp === 10_000 ? [{ budget_id: ours, share_bp }] : [{ budget_id: ours, share_bp }, { budget_id: theirs, share_bp: 10_000 - share_bp }],
      }
      await yes(say("PUT", `/v1/campaigns/${campaign_id}`, campaign))
      await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`))
      drafts.push({ campaign_id, ...campaign })
      coupons.push((await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id)
    }
    const wish = way === "named" ? coupons : "best"
    const quote = await yes(say("POST", "/v1/quotes", { user_id, order: asked, coupons: wish, profile, hold: "price" }))
    // The best of drafts may be another set: where level and priority are the same, the smaller coupon_id is applied first.
    if (way === "named") expect(priceOf(await yes(say("POST", "/v1/quotes", { order: asked, drafts, profile })))).toEqual(priceOf(quote))

    const ask = { order_id: fresh("order"), user_id, order: asked, ...(way === "signed" ? { quote: quote.quote } : { coupons: wish, profile }) }
    const held = await say("POST", "/v1/redemptions", ask)
    if (held.status !== 201) {
      counts.refused += 1
      expect([way, held.body.code]).toEqual(["named", quote.rejected[0].code])
      return
    }
    counts.reserved += 1
    if (way === "signed") counts.signed += 1
    expect(priceOf(held.body)).toEqual(priceOf(quote))
    const path = `/v1/redemptions/${held.body.redemption_id}`
    const confirmed = await yes(say("POST", `${path}/confirm`))
    expect(priceOf(confirmed)).toEqual(priceOf(quote))

    const left = asked.lines.map(({ quantity }) => quantity)
    let back = 0, paid = 0
    for (const wanted of [...returns, "all" as const]) {
      if (left.every((quantity) => quantity === 0)) break
      const lines = new Map<number, number>()
      if (wanted !== "all") for (const [i, quantity] of wanted) { const place = i % left.length; const take = Math.min(quantity, left[place]!); if (take > 0) lines.set(place, take) }
      if (wanted !== "all" && lines.size === 0) continue
      const body = await yes(say("POST", `${path}/refunds`, { refund_id: fresh("refund"), lines: wanted === "all" ? "all" : [...lines].map(([place, quantity]) => ({ line_id: `l${place}`, quantity })) }))
      for (const [place, quantity] of lines) left[place]! -= quantity
      if (wanted === "all") left.fill(0)
      back += body.discount_minor
      paid += body.refund_minor
      counts.refunds += 1
      if (body.withheld_minor > 0) counts.withheld += 1
      expect(body.state).toBe(left.every((quantity) => quantity === 0) ? "refunded" : "partly_refunded")
      expect(Math.min(body.refund_minor, body.withheld_minor, body.discount_minor)).toBeGreaterThanOrEqual(0)
    }
    const goods = asked.lines.reduce((sum, { unit_price_minor, quantity }) => sum + unit_price_minor * quantity, 0)
    expect([back, paid]).toEqual([quote.cost_minor, goods - (quote.discount_minor - quote.shipping_discount_minor)])
  }), { numRuns: RUNS, seed: SEED, endOnFailure: true })
  console.log(`lives: SCRIP_SEED=${SEED} ${JSON.stringify(counts)}`)
  expect(Math.min(counts.reserved, counts.refunds, counts.signed)).toBeGreaterThan(0)
  await story.expectConserved()
}, START_MS_MAX + RUNS * RUN_MS_MAX)

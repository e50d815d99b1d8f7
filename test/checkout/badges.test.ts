/**
 * Conditions on badges at a checkout: the stored level counts where the order names none, and a refusal tells all that the quote told.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { levelsLoaded, publishLevels } from "../levels/published.ts"
import { monthOf } from "../story/model/world.ts"
import { CELLS } from "../support/shop.ts"
import { openStory, type Story } from "../story/story.ts"
import { fresh, issueAsk, yes } from "../story/till.ts"

const START_MS_MAX = 120_000
let story: Story
beforeAll(async () => { story = await openStory({ cells: Math.max(CELLS, 2) }) }, START_MS_MAX)
afterAll(async () => { await story.expectConserved(); await story.close() }, START_MS_MAX)

const say: Story["call"] = (...words) => story.call(...words)
const order = (more: object = {}, quantity = 6) => ({ currency: "CNY", ...more, lines: [{ line_id: "a", sku: "s", unit_price_minor: 5_000, quantity }] })

/** A badge of which the users have these levels. */
const badgeOf = async (levels: Readonly<Record<string, number>>): Promise<string> => {
  const badge_id = fresh("badge")
  const { version } = await yes(say("PUT", `/v1/badges/${badge_id}`, {
    line: "wealth", name: "Wealth", effective_month: "2026-05", fields: { score: { type: "integer" } },
    levels: [1, 2].map((level) => ({ level, name: `Level ${level}`, when: { field: "score", op: ">=", value: String(level) } })), downgrade: { grace_months: 2 }, rights: [], change_max_bp: 3_000,
  }))
  await yes(say("POST", `/v1/badges/${badge_id}/activate`, { version }))
  const users = new Map(Object.entries(levels).map(([user_id, level]) => [user_id, [{ badge: 0, level, age: 0 }]]))
  await publishLevels(story.parts.postgres.sql, "2026-05", [{ badge_id, version }], users)
  await levelsLoaded(story.parts, story.now_ms())
  return badge_id
}
const openCampaign = async (more: object) => {
  const budget_id = fresh("budget"), campaign_id = fresh("campaign")
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: monthOf(story.now_ms()), currency: "CNY", limit_minor: 100_000 }))
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, {
    line: "retail", name: "Badges", currency: "CNY", kind: "percent_off", terms: { percent_bp: 1_000 }, starts_at: new Date(story.now_ms() - 1_000).toISOString(),
    ends_at: new Date(story.now_ms() + 86_400_000).toISOString(), stock: 10, per_user: 10, funding: [{ budget_id, share_bp: 10_000 }], ...more,
  }))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`))
  return campaign_id
}
const issue = async (campaign_id: string, user_id: string): Promise<string> => (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id

test("terms_not_met: a badge that is stored counts, and what the order says of it goes before", async () => {
  const [gold, silver] = [fresh("gold"), fresh("silver")]
  const badge_id = await badgeOf({ [gold]: 2, [silver]: 1 })
  const campaign_id = await openCampaign({ min_badge: { badge_id, level: 2 } })
  const [ours, theirs] = [await issue(campaign_id, gold), await issue(campaign_id, silver)]
  const quote = (user_id: string, coupons: unknown, badges?: object) => yes(say("POST", "/v1/quotes", { user_id, order: order(badges ? { badges } : {}), coupons }))
  expect((await quote(gold, [ours])).discount_minor).toBe(3_000)
  expect((await quote(gold, "best", { another: 1 })).discount_minor).toBe(3_000)
  expect((await quote(gold, [ours], { [badge_id]: 1 })).rejected).toMatchObject([{ code: "terms_not_met", reason: "badge" }])
  expect((await quote(silver, [theirs])).rejected).toMatchObject([{ code: "terms_not_met", reason: "badge" }])
  expect((await quote(silver, [theirs], { [badge_id]: 2 })).discount_minor).toBe(3_000)
  const refused = await say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id: silver, order: order(), coupons: [theirs] })
  expect([refused.status, refused.body.code, refused.body.reason]).toEqual([409, "terms_not_met", "badge"])
  expect((await yes(say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id: gold, order: order(), coupons: [ours] }))).discount_minor).toBe(3_000)
})

test("refunded: a refund that looks again sees the levels of the redemption, also of one at a signed price", async () => {
  const user_id = fresh("gold")
  const badge_id = await badgeOf({ [user_id]: 2 })
  const campaign_id = await openCampaign({ min_badge: { badge_id, level: 2 }, refund_policy: "re_evaluate" })
  const coupons = [await issue(campaign_id, user_id), await issue(campaign_id, user_id)]
  const { quote } = await yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons: [coupons[1]], hold: "price" }))
  await badgeOf({ [fresh("somebody")]: 1 })
  await badgeOf({ [user_id]: 1 })
  for (const ask of [{ coupons: [coupons[0]], order: order({ badges: { [badge_id]: 2 } }) }, { quote, order: order() }]) {
    const { redemption_id } = await yes(say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id, ...ask }))
    await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`))
    expect(await yes(say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: "r", lines: [{ line_id: "a", quantity: 4 }] }))).toMatchObject({ discount_minor: 2_000, withheld_minor: 0, refund_minor: 18_000 })
  }
})

test("not_stackable, terms_not_met: a named redemption is refused with all that the quote said of the coupon", async () => {
  const user_id = fresh("user")
  const group = { stacking: { group: "g" } }
  const [first, second, dear] = [await openCampaign(group), await openCampaign(group), await openCampaign({ threshold_minor: 40_000 })]
  const coupons = [await issue(first, user_id), await issue(second, user_id), await issue(dear, user_id)]
  for (const names of [[coupons[0]!, coupons[1]!], [coupons[2]!]]) {
    const [{ code, ...told }] = (await yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons: names }))).rejected
    const { status, body } = await say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id, order: order(), coupons: names })
    expect([status, body.code]).toEqual([409, code])
    expect(body).toMatchObject(told)
    expect(Object.keys(told)).toContain("needs")
  }
})

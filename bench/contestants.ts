/**
 * The requests that each contestant is sent, and the numbers of the shop that follow from them.
 */
import { readCouponId } from "../lua/keys.ts"
import { request } from "./drive.ts"
import { budgetBody, campaignBody, discountOf, monthOf, orderOf, type Shopper } from "./shop.ts"
import { must, type Stack } from "./stack.ts"

export const CAMPAIGN_ID = "bench"
export const LINES = 3
export const ORDER = orderOf(LINES)
export const DISCOUNT_MINOR = discountOf(LINES)
export const budgetId = (): string => `bench-${monthOf(Date.now())}`

/** Where a contestant's API begins. */
export type Prefix = "" | "/http" | "/act" | "/postgres"

export const issueRequest = (stack: Stack, { user_id, order_id }: Shopper, campaign_id = CAMPAIGN_ID): Buffer =>
  request(stack, "POST", "/v1/coupons", JSON.stringify({ request_id: order_id, campaign_id, user_id }))

export const quoteRequest = (stack: Stack, { user_id, coupon_id }: Shopper): Buffer =>
  request(stack, "POST", "/v1/quotes", JSON.stringify({ user_id, order: ORDER, coupons: [coupon_id] }))

export const reserveRequest = (stack: Stack, prefix: Prefix, { user_id, order_id, coupon_id }: Shopper): Buffer =>
  request(stack, "POST", `${prefix}/v1/redemptions`, JSON.stringify({ order_id, user_id, order: ORDER, coupons: [coupon_id] }))

export const confirmRequest = (stack: Stack, prefix: Prefix, { redemption_id }: Pick<Shopper, "redemption_id">): Buffer =>
  request(stack, "POST", `${prefix}/v1/redemptions/${redemption_id}/confirm`, "{}")

export const cancelRequest = (stack: Stack, { redemption_id }: Shopper): Buffer =>
  request(stack, "POST", `/v1/redemptions/${redemption_id}/cancel`, "{}")

export const refundRequest = (stack: Stack, { redemption_id }: Shopper): Buffer =>
  request(stack, "POST", `/v1/redemptions/${redemption_id}/refunds`, JSON.stringify({ refund_id: "refund-1", lines: "all" }))

/** Make the month's budget, once. */
export const makeBudget = (stack: Stack) => must(stack, "PUT", `/v1/budgets/${budgetId()}`, budgetBody(monthOf(Date.now())))

/** Make a live campaign, issue one coupon of it, and say the number by which coupon ids know it. */
export const makeCampaign = async (stack: Stack, campaign_id: string, quantity: { stock: number; per_user: number }): Promise<number> => {
  await must(stack, "PUT", `/v1/campaigns/${campaign_id}`, campaignBody(Date.now(), quantity))
  await must(stack, "POST", `/v1/campaigns/${campaign_id}/activate`, {})
  const { coupon_id } = await must<{ coupon_id: string }>(stack, "POST", "/v1/coupons", { request_id: "first", campaign_id, user_id: `first of ${campaign_id}` })
  const named = readCouponId(coupon_id)
  if (!named) throw new Error(`${coupon_id} is not a coupon's id as it is documented`)
  return named.campaign_no
}

/** What the acts of a run must have come to. */
export interface Tally { issued: number; reserved: number; confirmed: number; cancelled: number; refunded: number }

/** Ask the API and Postgres what became of the run's acts, and compare. */
export const proofsOf = async (stack: Stack, tally: Tally): Promise<{ name: string; wanted: number; found: number }[]> => {
  await stack.flushed()
  const budget = await must<{ held_minor: number; spent_minor: number }>(stack, "GET", `/v1/budgets/${budgetId()}`)
  const campaign = await must<{ issued: number; reserved: number; redeemed: number }>(stack, "GET", `/v1/campaigns/${CAMPAIGN_ID}`)
  const events = await stack.sql<{ act: string; count: number }[]>`select act, count(*)::int as count from events where user_no is not null group by act`
  const counted = (act: string): number => events.find((row) => row.act === act)?.count ?? 0
  const open = tally.reserved - tally.confirmed - tally.cancelled
  const acts = (["issued", "reserved", "confirmed", "cancelled", "refunded"] as const).map((act) => ({ name: `events of ${act} in Postgres`, wanted: tally[act], found: counted(act) }))
  return [
    { name: "money held by the budget, minor units", wanted: open * DISCOUNT_MINOR, found: budget.held_minor },
    { name: "money spent by the budget, minor units", wanted: (tally.confirmed - tally.refunded) * DISCOUNT_MINOR, found: budget.spent_minor },
    { name: "coupons redeemed, as the campaign counts", wanted: tally.confirmed, found: campaign.redeemed },
    ...acts,
  ]
}

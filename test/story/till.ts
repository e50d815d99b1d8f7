/**
 * What race and crash stories say to a shop, so that they read as sentences: a budget, a live campaign, an order, a coupon.
 */
import { randomBytes } from "node:crypto"
import { monthOf } from "./model/world.ts"

export interface Heard { readonly status: number; readonly body: any; readonly headers: Headers }
export type Say = (method: string, path: string, body?: unknown) => Promise<Heard>

/** An id that no other story uses. */
export const fresh = (what: string): string => `${what}-${randomBytes(6).toString("hex")}`

export interface Wishes {
  readonly limit_minor?: number
  readonly amount_minor?: number
  readonly stock?: number
  readonly per_user?: number
  readonly hold_at?: "reserve" | "issue"
  readonly on_refund?: "keep" | "return"
  readonly coupon_valid_s?: number
  /** Who pays instead of the budget that is made. */
  readonly funding?: readonly { readonly budget_id: string; readonly share_bp: number }[]
}

/** A budget of this month and a live campaign that spends it: `amount_minor` off any order. */
export const openCampaign = async (say: Say, now_ms: number, wishes: Wishes = {}): Promise<{ budget_id: string; campaign_id: string }> => {
  const { limit_minor = 1_000_000_000, amount_minor = 100, stock = 1_000_000, per_user = 1_000, hold_at = "reserve", on_refund = "keep", coupon_valid_s } = wishes
  const budget_id = fresh("budget"), campaign_id = fresh("campaign")
  const month = monthOf(now_ms)
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month, currency: "CNY", limit_minor }))
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, {
    line: "retail", name: "A race", currency: "CNY", kind: "amount_off", terms: { amount_minor }, threshold_minor: 0,
    starts_at: new Date(now_ms - 60_000).toISOString(), ends_at: new Date(now_ms + 30 * 86_400_000).toISOString(),
    stock, per_user, hold_at, on_refund, ...(coupon_valid_s === undefined ? {} : { coupon_valid_s }), funding: wishes.funding ?? [{ budget_id, share_bp: 10_000 }],
  }))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`, {}))
  return { budget_id, campaign_id }
}

/** The body of a yes; anything else ends the story. */
export const yes = async (heard: Promise<Heard>): Promise<any> => {
  const { status, body } = await heard
  if (status !== 200 && status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}

/** An order of so many units at 10.00 each. */
export const order = (quantity = 1) => ({ currency: "CNY", lines: [{ line_id: "l1", sku: "sku-1", unit_price_minor: 1_000, quantity }] })

export const issueAsk = (campaign_id: string, user_id: string, request_id = fresh("issue")) => ({ request_id, campaign_id, user_id })
export const reserveAsk = (user_id: string, coupons: readonly string[], more: object = {}) => ({ order_id: fresh("order"), user_id, order: order(), coupons, ...more })

/**
 * The shop of the bench: one budget, campaigns paid from it, and orders, the same for every contestant.
 *
 * What must stay true: every request is a fresh valid act. Users and orders are numbered and never used twice in a run.
 */
import { couponField, redemptionHash, userHash } from "../lua/keys.ts"

export const CURRENCY = "CNY"
/** The money of the month: no run spends it, so every reserve is a yes. */
export const BUDGET_LIMIT_MINOR = 9_000_000_000_000
/** What one coupon takes off the bench's order of 3 lines: 10 % of 3 × 2 × 4990, held below this. */
export const PERCENT_BP = 1_000
export const MAX_MINOR = 5_000
const UNIT_PRICE_MINOR = 4_990
const QUANTITY = 2
const DAY_MS = 86_400_000

export const monthOf = (at_ms: number): string => new Date(at_ms).toISOString().slice(0, 7)

export const budgetBody = (month: string) => ({ line: "retail", month, currency: CURRENCY, limit_minor: BUDGET_LIMIT_MINOR })

/** A live-to-be campaign: 10 % off, at most 50.00, on orders of 50.00 and more, paid by the month's budget. */
export const campaignBody = (now_ms: number, { stock, per_user }: { stock: number; per_user: number }) => ({
  line: "retail", name: "Bench", currency: CURRENCY, kind: "percent_off", terms: { percent_bp: PERCENT_BP, max_minor: MAX_MINOR }, threshold_minor: 5_000,
  starts_at: new Date(now_ms - DAY_MS).toISOString(), ends_at: new Date(now_ms + 300 * DAY_MS).toISOString(),
  stock, per_user, hold_at: "reserve", funding: [{ budget_id: "bench-{month}", share_bp: 10_000 }], on_refund: "keep",
})

/** An order of so many lines, as a checkout sends it. */
export const orderOf = (lines: number) => ({
  currency: CURRENCY, channel: "app", region: "CN-31", payment_method: "card", device_id: "device-7f3a90", payment_id: "tok-5512", address_id: "addr-881",
  lines: Array.from({ length: lines }, (_, i) => ({
    line_id: String(i + 1), sku: `sku-${10_001 + i}`, merchant_id: `m-${i % 5}`, category: i % 2 === 0 ? "food" : "home",
    unit_price_minor: UNIT_PRICE_MINOR, quantity: QUANTITY,
  })),
})

/** What the campaign takes off an order of so many lines. */
export const discountOf = (lines: number): number => Math.min(MAX_MINOR, Math.floor((lines * UNIT_PRICE_MINOR * QUANTITY * PERCENT_BP) / 10_000))

export interface Shopper { readonly user_id: string; readonly order_id: string; readonly coupon_id: string; readonly redemption_id: string }

/** A user with one coupon and one order of his; all ids follow from the names, as the contract documents them. */
export const shopper = (run: string, number: number, campaign_no: number): Shopper => {
  const user_id = `user-${run}-${number}`, order_id = `order-${run}-${number}`
  const user = userHash(user_id)
  return { user_id, order_id, coupon_id: user + couponField(campaign_no, order_id), redemption_id: user + redemptionHash(user, order_id, order_id) }
}

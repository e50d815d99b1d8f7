/**
 * What the floors answer: the same fields and as many bytes as Scrip's own answers, made of nothing but the request.
 */
import { discountOf } from "../shop.ts"

interface OrderLine { readonly line_id: string; readonly unit_price_minor: number; readonly quantity: number }
/** What a reserve sends, as far as anybody here reads it. */
export interface ReserveRequest {
  readonly order_id: string
  readonly user_id: string
  readonly coupons: readonly string[]
  readonly order: { readonly lines: readonly OrderLine[] }
}

const HASH_CHARS = 22
const HOLD_MS = 900_000
const CAMPAIGN_ID = "bench"
/** Of each line, as the shop's orders have it. */
const QUANTITY = 2

/** The user's hash stands first in a coupon's and in a redemption's id. */
export const userOf = (id: string): string => id.slice(0, HASH_CHARS)

const said = (redemption_id: string, order_id: string, user_id: string, state: string, coupon_id: string, lines: readonly { line_id: string }[], total_minor: number) => {
  const discount_minor = discountOf(lines.length)
  const share = Math.floor(discount_minor / lines.length)
  return {
    redemption_id, order_id, user_id, state, discount_minor, shipping_discount_minor: 0, total_minor: total_minor - discount_minor, benefit_minor: 0, cost_minor: discount_minor,
    profile: "scrip", proved: true, gap_minor: 0,
    applied: [{
      coupon_id, campaign_id: CAMPAIGN_ID, discount_minor, shipping_discount_minor: 0, benefit_minor: 0, cost_minor: discount_minor,
      lines: lines.map(({ line_id }) => ({ line_id, discount_minor: share, units: [{ quantity: QUANTITY, discount_minor: share / QUANTITY }] })),
    }],
  }
}

/** The answer to a reserve. */
export const reserved = ({ order_id, user_id, coupons, order: { lines } }: ReserveRequest, redemption_id: string, now_ms: number) => {
  const total_minor = lines.reduce((sum, line) => sum + line.unit_price_minor * line.quantity, 0)
  return { ...said(redemption_id, order_id, user_id, "reserved", coupons[0]!, lines, total_minor), expires_at: new Date(now_ms + HOLD_MS).toISOString() }
}

const LINES = [{ line_id: "1" }, { line_id: "2" }, { line_id: "3" }]

/** The answer to a confirm, for whoever has nothing but its id: what it does not know has its usual length. */
export const confirmed = (redemption_id: string, now_ms: number) => ({
  ...said(redemption_id, "order-reserve-0-12345", "user-reserve-0-12345", "confirmed", redemption_id + "1234", LINES, 29_940), confirmed_at: new Date(now_ms).toISOString(),
})

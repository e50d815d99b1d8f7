/**
 * The body of a redemption: everything its later answers and refunds need, stored with it.
 *
 * A past order is never recomputed from today's rules, so what each line got is kept. The text is opaque to Lua and to
 * the flusher. It is an array, because a day of orders lives in Redis: 3 lines and 1 coupon take about 150 bytes.
 */
import type { Quote } from "../pricing/price.ts"

/** One line of the order: what was bought, and how much of it has been refunded. */
export interface AllocatedLine { line_id: string; quantity: number; refunded: number; unit_price_minor: number }
/**
 * One applied coupon, in the order of the redemption record's coupons: per line, by its place in `lines`, what it takes off. `beside_minor` is
 * what it costs the budgets beside its lines: off the shipping, or as a gift or a finance right.
 */
export interface AllocatedCoupon { coupon_id: string; campaign_id: string; discount_minor: number; lines: [place: number, discount_minor: number][]; beside_minor: number }

export interface Allocation {
  order_id: string
  user_id: string
  request_id: string
  hold_ms: number
  discount_minor: number
  total_minor: number
  lines: AllocatedLine[]
  applied: AllocatedCoupon[]
  /** What a "best" reserve left out, as its answer said it. */
  rejected?: Quote["rejected"] | undefined
}

type Packed = [
  order_id: string, user_id: string, request_id: string, hold_ms: number, discount_minor: number, total_minor: number,
  lines: [string, number, number, number][], applied: [string, string, number, [number, number][], number][], rejected: Quote["rejected"] | 0,
]

/** The allocation as text. */
export const encodeAllocation = (a: Allocation): string => JSON.stringify([
  a.order_id, a.user_id, a.request_id, a.hold_ms, a.discount_minor, a.total_minor,
  a.lines.map((line) => [line.line_id, line.quantity, line.refunded, line.unit_price_minor]),
  a.applied.map((coupon) => [coupon.coupon_id, coupon.campaign_id, coupon.discount_minor, coupon.lines, coupon.beside_minor]),
  a.rejected ?? 0,
] satisfies Packed)

/** The allocation that a text says. */
export const decodeAllocation = (body: string): Allocation => {
  const [order_id, user_id, request_id, hold_ms, discount_minor, total_minor, lines, applied, rejected] = JSON.parse(body) as Packed
  return {
    order_id, user_id, request_id, hold_ms, discount_minor, total_minor,
    lines: lines.map(([line_id, quantity, refunded, unit_price_minor]) => ({ line_id, quantity, refunded, unit_price_minor })),
    applied: applied.map(([coupon_id, campaign_id, discount, at, beside_minor]) => ({ coupon_id, campaign_id, discount_minor: discount, lines: at, beside_minor })),
    rejected: rejected === 0 ? undefined : rejected,
  }
}

/** What was applied, as an answer says it. */
export const appliedOf = ({ applied, lines }: Allocation) =>
  applied.map((coupon) => ({
    coupon_id: coupon.coupon_id, campaign_id: coupon.campaign_id, discount_minor: coupon.discount_minor,
    lines: coupon.lines.map(([place, discount_minor]) => ({ line_id: lines[place]!.line_id, discount_minor })),
  }))

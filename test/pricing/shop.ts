// What the pricing tests say over and over: orders, coupons and campaigns in a few words.

import { compileTerms } from "../../engine/pricing/compile.ts"
import { price, type Wish } from "../../engine/pricing/price.ts"
import type { CampaignBody, HeldCoupon, Order, OrderLine, Quote, RejectedCoupon, Setting } from "../../engine/pricing/types.ts"

/** A Sunday, 12:00 in UTC. */
export const NOON = Date.UTC(2026, 10, 22, 12)

/** Lines in short: a price, a price and a quantity, or a price with fields. */
type LineWords = number | ({ price: number; quantity?: number } & Partial<OrderLine>)

/** An order of lines l1, l2, … with skus s1, s2, … */
export function order(lines: readonly LineWords[], fields: Partial<Order> = {}): Order {
  return {
    currency: "EUR",
    ...fields,
    lines: lines.map((words, i) => {
      const { price: unit_price_minor, quantity = 1, ...rest } = typeof words === "number" ? { price: words } : words
      return { line_id: `l${i + 1}`, sku: `s${i + 1}`, unit_price_minor, quantity, ...rest }
    }),
  }
}

/** A coupon of a campaign of its own, both named alike. */
export function coupon(
  coupon_id: string,
  kind: string,
  terms: object,
  fields: Partial<CampaignBody> & { ends_at_ms?: number } = {},
): HeldCoupon {
  const { ends_at_ms = NOON + 86_400_000, ...body } = fields
  return {
    coupon_id,
    ends_at_ms,
    terms: compileTerms({ campaign_id: `campaign_${coupon_id}`, currency: "EUR", kind, terms, ...body }),
  }
}

export const amount = (id: string, amount_minor: number, fields: Parameters<typeof coupon>[3] = {}): HeldCoupon =>
  coupon(id, "amount_off", { amount_minor }, fields)

export const percent = (id: string, percent_bp: number, fields: Parameters<typeof coupon>[3] = {}): HeldCoupon =>
  coupon(id, "percent_off", { percent_bp }, fields)

/** Prices at noon. */
export const quote = (
  asked: Order,
  coupons: readonly HeldCoupon[],
  wish: Wish = "named",
  setting: Setting = {},
): Quote => price(asked, coupons, wish, { now_ms: NOON, ...setting })

/** What each line of the order is discounted by, of one coupon or of all, zeros kept. */
export function byLine(asked: Order, answered: Quote, coupon_id?: string): number[] {
  return asked.lines.map(({ line_id }) => {
    let sum = 0
    for (const applied of answered.applied) {
      if (coupon_id !== undefined && applied.coupon_id !== coupon_id) continue
      sum += applied.lines.find((line) => line.line_id === line_id)?.discount_minor ?? 0
    }
    return sum
  })
}

export const appliedIds = (answered: Quote): string[] => answered.applied.map(({ coupon_id }) => coupon_id)

/** The refusal of one coupon. */
export function rejected(answered: Quote, coupon_id: string): RejectedCoupon {
  const found = answered.rejected.find((one) => one.coupon_id === coupon_id)
  if (!found) throw new Error(`${coupon_id} is not rejected: ${JSON.stringify(answered)}`)
  return found
}

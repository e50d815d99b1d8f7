/**
 * Orders of 200 lines and 20 coupons of mixed kinds, made from a seed: what the search of the best set proves, by kinds and by how they stand.
 *
 * What must stay true: the same mix, rule and number always give the same instance.
 */
import { compileTerms } from "../engine/pricing/compile.ts"
import type { CampaignBody, HeldCoupon, Order } from "../engine/pricing/types.ts"
import { chanceOf } from "./families.ts"

type Promised = Pick<CampaignBody, "kind" | "terms">
type Chance = { readonly between: (low: number, high: number) => number; readonly part: () => { readonly categories: string[] } }

const CATEGORIES = 8
const ENDS_MS = Date.UTC(2027, 0, 1)

/** A coupon of each sort that a mix is made of. */
const SORTS = {
  percent: ({ between }: Chance): Promised => ({ kind: "percent_off", terms: { percent_bp: between(2, 20) * 100 } }),
  amount: ({ between }: Chance): Promised => ({ kind: "amount_off", terms: { amount_minor: between(20_000, 400_000) } }),
  tiers: ({ between }: Chance): Promised => ({ kind: "tiered_off", terms: { by: "amount", tiers: [{ from: 0, percent_bp: between(2, 9) * 100 }, { from: 3_000_000, amount_minor: between(50_000, 600_000) }] } }),
  each: ({ between }: Chance): Promised => ({ kind: "amount_off", terms: { amount_minor: between(50, 900), spread: ["each_line", "each_unit"][between(0, 1)] } }),
  fixed: ({ between }: Chance): Promised => ({ kind: "fixed_price", terms: { price_minor: between(3_000, 40_000), max_units: between(1, 6) } }),
  chosen: ({ between }: Chance): Promised => ({ kind: "percent_off", terms: { percent_bp: between(5, 60) * 100, max_units: between(1, 10), pick: ["cheapest", "dearest"][between(0, 1)] } }),
  unit: ({ between }: Chance): Promised => ({ kind: "tiered_off", terms: { by: "unit", tiers: [{ from: 2, percent_bp: between(2, 20) * 100 }, { from: 4, percent_bp: between(5, 50) * 100 }] } }),
  buy: ({ between, part }: Chance): Promised => ({ kind: "buy_x_get_y", terms: { buy: { quantity: between(1, 3), applies_to: part() }, get: { quantity: between(1, 2), applies_to: part() }, percent_bp: [5_000, 10_000][between(0, 1)], times: between(1, 3) } }),
  bundle: ({ between, part }: Chance): Promised => ({
    kind: "bundle",
    terms: { sets: Array.from({ length: between(1, 3) }, () => ({ quantity: between(1, 3), applies_to: part() })), ...[{ price_minor: between(5_000, 60_000) }, { amount_minor: between(500, 9_000) }, { percent_bp: between(5, 40) * 100 }][between(0, 2)], times: between(1, 4) },
  }),
  gift: ({ between }: Chance): Promised => ({ kind: "gift", terms: { sku: "mug", unit_price_minor: between(500, 9_000), quantity: 1 } }),
  cash: ({ between }: Chance): Promised => ({ kind: "cash_back", terms: { rate_bp: between(1, 9) * 100, principal_cap_minor: between(50_000, 5_000_000), days: 7 } }),
} as const
type Sort = keyof typeof SORTS

/** Sorts that take turns among the coupons of an order. */
export const MIXES = {
  "prices": ["percent", "amount", "tiers"],
  "prices, gifts and cash back": ["percent", "amount", "gift", "cash"],
  "fixed prices": ["fixed"],
  "so much off each": ["each"],
  "prices, one bundle in ten, one buy x get y in ten": ["percent", "amount", "tiers", "percent", "bundle", "amount", "percent", "amount", "tiers", "buy"],
  "every sort": Object.keys(SORTS) as Sort[],
  "chosen units": ["chosen"],
  "unit by unit": ["unit"],
  "buy x get y": ["buy"],
  "bundles": ["bundle"],
} as const satisfies Record<string, readonly Sort[]>
export type Mix = keyof typeof MIXES

/** How the coupons of an order stand to each other. */
export const STANDS = ["free", "groups", "thresholds"] as const
export type Stand = (typeof STANDS)[number]

/** One instance of a mix. */
export const mixOf = (mix: Mix, stand: Stand, number: number, coupons = 20, lines = 200): { order: Order; coupons: HeldCoupon[] } => {
  const chance = chanceOf(Object.keys(MIXES).indexOf(mix) * 1_000_003 + STANDS.indexOf(stand) * 104_729 + number * 7919 + 17)
  const between = (low: number, high: number): number => low + Math.floor(chance() * (high - low + 1))
  const part = () => ({ categories: [`c${between(0, CATEGORIES - 1)}`] })
  const order: Order = {
    currency: "CNY", shipping_minor: 1_200,
    lines: Array.from({ length: lines }, (_, i) => ({ line_id: `l${i}`, sku: `s${i}`, category: part().categories[0]!, unit_price_minor: between(500, 60_000), quantity: between(1, 4) })),
  }
  const sum = order.lines.reduce((all, { unit_price_minor, quantity }) => all + unit_price_minor * quantity, 0)
  const sorts: readonly Sort[] = MIXES[mix]
  return {
    order,
    coupons: Array.from({ length: coupons }, (_, i) => {
      const sort = sorts[i % sorts.length]!
      const body: CampaignBody = {
        campaign_id: `k${String(i).padStart(2, "0")}`, currency: "CNY", ...SORTS[sort]({ between, part }),
        ...(chance() < 0.3 && sort !== "buy" && sort !== "bundle" && { applies_to: part() }),
        ...(stand === "thresholds" && { threshold_minor: Math.round(sum * chance() * 0.9) }),
        stacking: { priority: between(0, 9), ...(stand === "groups" && { group: `g${between(0, 6)}`, group_max: 2 }) },
      }
      return { coupon_id: body.campaign_id, ends_at_ms: ENDS_MS + i, terms: compileTerms(body) }
    }),
  }
}

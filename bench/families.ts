/**
 * Orders and coupons for the search of the best set, made from a seed: five families of stacking, as hard as shops make them.
 *
 * What must stay true: the same family and number always give the same instance, so that the worst one can be named and played again.
 */
import { compileTerms } from "../engine/pricing/compile.ts"
import type { CampaignBody, HeldCoupon, Order } from "../engine/pricing/types.ts"

/** How the coupons of a family stand to each other and to the order's sum. */
export const FAMILIES = {
  groups: { says: "groups of at most two", most_ms: 5 },
  near: { says: "thresholds near the sum", most_ms: 20 },
  high: { says: "thresholds 60 to 100 %", most_ms: 20 },
  low: { says: "thresholds 0 to 50 %", most_ms: 20 },
  free: { says: "free stacking", most_ms: 20 },
} as const
export type Family = keyof typeof FAMILIES

export interface Instance { readonly order: Order; readonly bodies: readonly CampaignBody[]; readonly coupons: readonly HeldCoupon[] }

/** Numbers from 0 to 1 that follow from a seed alone (mulberry32). */
export const chanceOf = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const ENDS_MS = Date.UTC(2027, 0, 1)

/** One instance of a family: amounts, percentages and tiers, on the whole order or on a part of it, at any priority. */
export const instanceOf = (family: Family, number: number, coupons = 20, lines = 50): Instance => {
  const chance = chanceOf(Object.keys(FAMILIES).indexOf(family) * 1_000_003 + number * 7919 + 17)
  const between = (low: number, high: number): number => low + Math.floor(chance() * (high - low + 1))
  const order: Order = {
    currency: "CNY", shipping_minor: 1_200,
    lines: Array.from({ length: lines }, (_, i) => ({ line_id: `l${i}`, sku: `s${i}`, category: `c${between(0, 3)}`, unit_price_minor: between(500, 60_000), quantity: between(1, 4) })),
  }
  const sum = order.lines.reduce((all, { unit_price_minor, quantity }) => all + unit_price_minor * quantity, 0)
  const groups = Math.max(1, Math.round(coupons / 3))
  const bodies = Array.from({ length: coupons }, (_, i): CampaignBody => {
    const part = chance() < 0.35 ? [`c${between(0, 3)}`] : undefined
    const worth = part ? order.lines.reduce((all, { category, unit_price_minor, quantity }) => all + (part.includes(category!) ? unit_price_minor * quantity : 0), 0) : sum
    const amount_minor = Math.max(1, Math.round((worth * between(100, 1_000)) / 10_000))
    const percent_bp = between(2, 20) * 100 - (chance() < 0.3 ? 1 : 0)
    const pick = chance()
    const promise =
      pick < 0.45 ? { kind: "amount_off", terms: { amount_minor } }
      : pick < 0.85 ? { kind: "percent_off", terms: chance() < 0.3 ? { percent_bp, max_minor: amount_minor } : { percent_bp } }
      : { kind: "tiered_off", terms: { by: "amount", tiers: [{ from: 0, percent_bp }, { from: Math.round(worth * 0.5), amount_minor }, { from: Math.round(worth * 0.8), percent_bp: between(2, 20) * 100 }] } }
    const share = family === "near" ? 0.92 + chance() * 0.08 : family === "high" ? 0.6 + chance() * 0.4 : family === "low" ? chance() * 0.5 : 0
    return {
      campaign_id: `k${String(i).padStart(2, "0")}`, currency: "CNY", ...promise,
      ...(part && { applies_to: { categories: part } }),
      ...(share > 0 && { threshold_minor: Math.round(worth * share) }),
      stacking: { priority: between(0, 9), ...(family === "groups" && { group: `g${between(0, groups - 1)}`, group_max: 2 }) },
    }
  })
  return { order, bodies, coupons: bodies.map((body, i) => ({ coupon_id: body.campaign_id, ends_at_ms: ENDS_MS + i, terms: compileTerms(body) })) }
}

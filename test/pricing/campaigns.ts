// Any campaign that pricing knows, for the property tests: each kind adds what its terms can be.

import fc from "fast-check"
import { compileTerms, kindOf } from "../../engine/pricing/compile.ts"
import type { CampaignBody, HeldCoupon, Order, Setting } from "../../engine/pricing/types.ts"
import { NOON } from "./shop.ts"

const units = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined })
const pick = fc.constantFrom(undefined, "cheapest", "dearest")
const amountMinor = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9000 }))
const percentBp = fc.integer({ min: 1, max: 10000 })
const per = fc.constantFrom(undefined, "order", "line", "unit")

const lines = fc.constantFrom(undefined, { categories: ["x"] }, { not_categories: ["x"] }, { skus: ["s1", "s2"] })
const tierStep = fc.oneof(
  fc.record({ more: fc.integer({ min: 0, max: 3 }), amount_minor: fc.oneof(fc.constant(0), amountMinor) }),
  fc.record({ more: fc.integer({ min: 0, max: 900 }), percent_bp: percentBp }),
)

type KindAndTerms = Pick<CampaignBody, "kind" | "terms">
const of = (kind: string, terms: fc.Arbitrary<object>): fc.Arbitrary<KindAndTerms> => terms.map((made) => ({ kind, terms: clean(made) }))

/** Without the fields that are not there. */
const clean = (terms: object): object => JSON.parse(JSON.stringify(terms))

/** Any terms of every kind. */
export const ARBITRARY_KINDS: readonly fc.Arbitrary<KindAndTerms>[] = [
  of("amount_off", fc.record({ amount_minor: amountMinor })),
  of(
    "amount_off",
    fc.record({ amount_minor: amountMinor, spread: fc.constantFrom("each_line", "each_unit"), max_units: units, max_units_per_line: units, pick }),
  ),
  of(
    "percent_off",
    fc.record({ percent_bp: percentBp, max_minor: fc.option(amountMinor, { nil: undefined }), per, max_units: units, max_units_per_line: units, pick }),
  ),
  of("fixed_price", fc.record({ price_minor: amountMinor, per: fc.constantFrom(undefined, "unit", "order"), max_units: units, max_units_per_line: units, pick })),
  of(
    "tiered_off",
    fc
      .record({ by: fc.constantFrom(undefined, "amount", "quantity", "unit"), steps: fc.array(tierStep, { minLength: 1, maxLength: 3 }), per, max_units: units, pick })
      .map(({ steps, ...terms }) => {
        let from = 0
        return { ...terms, tiers: steps.map(({ more, ...gives }, i) => ({ from: (from += more + (i > 0 ? 1 : 0)), ...gives })) }
      }),
  ),
  of("tiered_off", fc.record({ from: fc.integer({ min: 1, max: 3000 }), amount_minor: amountMinor }).map((tier) => ({ tiers: [tier], repeat: true }))),
  of(
    "buy_x_get_y",
    fc.record({
      buy: fc.record({ quantity: fc.integer({ min: 1, max: 3 }), applies_to: lines }),
      get: fc.record({ quantity: fc.integer({ min: 1, max: 2 }), applies_to: lines }),
      percent_bp: fc.option(percentBp, { nil: undefined }),
      times: units,
      pick,
    }),
  ),
  of(
    "bundle",
    fc
      .tuple(
        fc.record({
          sets: fc.array(fc.record({ quantity: fc.integer({ min: 1, max: 3 }), applies_to: lines }), { minLength: 1, maxLength: 3 }),
          times: units,
          pick,
        }),
        fc.oneof(fc.record({ price_minor: amountMinor }), fc.record({ amount_minor: amountMinor }), fc.record({ percent_bp: percentBp })),
      )
      .map(([sets, promise]) => ({ ...sets, ...promise })),
  ),
  of("free_shipping", fc.record({ max_minor: fc.option(amountMinor, { nil: undefined }) })),
  of(
    "gift",
    fc.record({
      sku: fc.constant("mug"),
      unit_price_minor: amountMinor,
      quantity: fc.integer({ min: 1, max: 3 }),
      for_each: fc.option(fc.record({ quantity: fc.integer({ min: 1, max: 3 }), applies_to: lines }), { nil: undefined }),
    }),
  ),
  of("interest_free", fc.record({ periods: fc.constantFrom(3, 6), rate_bp: percentBp, interest: fc.constantFrom(undefined, "flat", "declining") })),
  of("cash_back", fc.record({ rate_bp: percentBp, principal_cap_minor: amountMinor, days: fc.constant(7) })),
  of("rate_uplift", fc.record({ rate_bp: fc.integer({ min: 1, max: 900 }), principal_cap_minor: amountMinor, days: fc.constant(30) })),
]

/** Any campaign body. */
export const arbitraryBody: fc.Arbitrary<Omit<CampaignBody, "campaign_id">> = fc
  .record({
    promise: fc.oneof(...ARBITRARY_KINDS),
    target: fc.constantFrom(undefined, undefined, "shipping", "everything"),
    max_minor: fc.constantFrom(undefined, undefined, 500),
    threshold_minor: fc.constantFrom(undefined, undefined, 1000),
    applies_to: fc.constantFrom(undefined, undefined, { categories: ["x"] }, { not_skus: ["s1"] }),
    stacking: fc.record({
      level: fc.constantFrom("line", "shop", "payment"),
      priority: fc.integer({ min: 0, max: 2 }),
      group: fc.constantFrom(undefined, undefined, undefined, "g"),
      exclusive: fc.constantFrom(false, false, false, false, false, true),
    }),
  })
  .map(({ promise, ...fields }) => {
    const body = { ...promise, ...(clean(fields) as object) }
    // Some kinds know no other target than the items.
    return kindOf(body.kind)!.items_only ? { ...body, target: undefined } : body
  })

// --- orders, coupons that stand to each other by every rule, and settings

const line = fc.record({
  unit_price_minor: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 4000 })),
  quantity: fc.integer({ min: 1, max: 4 }),
  category: fc.constantFrom("x", "y"),
  floor_minor: fc.constantFrom(undefined, undefined, undefined, 3, 800),
  list_price_minor: fc.constantFrom(undefined, undefined, 5000),
})
/** Any small order: cents and tens of it, floors, lines on sale, shipping, instalments. */
export const arbitraryOrder: fc.Arbitrary<Order> = fc
  .record({ lines: fc.array(line, { minLength: 1, maxLength: 4 }), shipping_minor: fc.constantFrom(0, 0, 7, 900), instalments: fc.constantFrom(undefined, 3) })
  .map(({ lines, shipping_minor, instalments }): Order => ({
    currency: "EUR", shipping_minor, instalments,
    lines: lines.map((one, i) => ({ line_id: `l${i}`, sku: `s${i + 1}`, ...one, list_price_minor: one.list_price_minor && Math.max(one.list_price_minor, one.unit_price_minor) })),
  }))

const stacking = fc.record({
  level: fc.constantFrom("line", "shop", "payment"),
  priority: fc.integer({ min: 0, max: 2 }),
  group: fc.constantFrom(undefined, undefined, "g", "h"),
  group_max: fc.constantFrom(undefined, 1, 2, 3),
  with_groups: fc.constantFrom(undefined, undefined, undefined, undefined, ["g"], ["g", "h"]),
  per_order: fc.constantFrom(undefined, 2),
  exclusive: fc.integer({ min: 0, max: 24 }).map((one) => one === 0),
})
const coupon = fc.record({
  body: arbitraryBody,
  stacking,
  campaign: fc.integer({ min: 0, max: 9 }),
  ends: fc.integer({ min: 1, max: 2 }),
  threshold_minor: fc.constantFrom(undefined, undefined, undefined, undefined, 500, 2500, 6000),
  threshold_of: fc.constantFrom(undefined, "order"),
  only_undiscounted: fc.constantFrom(undefined, undefined, undefined, true),
  budget: fc.constantFrom(undefined, undefined, undefined, "b1", "b2"),
})

/** Up to so many coupons of any kinds and rules. */
export const arbitraryCoupons = (most: number): fc.Arbitrary<HeldCoupon[]> => fc.array(coupon, { minLength: 1, maxLength: most }).map((made): HeldCoupon[] =>
  made.map(({ body, stacking: rules, campaign, ends, budget, ...fields }, i) => ({
    coupon_id: `c${i}`,
    ends_at_ms: NOON + ends,
    terms: compileTerms({ ...body, ...clean(fields), stacking: clean(rules) as object, campaign_id: `campaign${campaign}`, funding: budget ? [{ budget_id: budget, share_bp: 10_000 }] : [] }),
  })))
/** Coupons that choose among the units of few lines, so that they contend for them, with some beside them that do not. */
export const arbitraryRivals = (most: number): fc.Arbitrary<{ order: Order; coupons: HeldCoupon[] }> => {
  const [, each, chosen, fixed, tiered, , buys, bundles] = ARBITRARY_KINDS as readonly [fc.Arbitrary<KindAndTerms>, ...fc.Arbitrary<KindAndTerms>[]]
  const byUnit = tiered!.map(({ kind, terms }) => ({ kind, terms: { ...terms as object, by: "unit" } }))
  return rivalsOf(most, fc.oneof(chosen!, byUnit, buys!, buys!, bundles!, bundles!, fc.oneof(each!, fixed!, of("percent_off", fc.record({ percent_bp: percentBp })), of("amount_off", fc.record({ amount_minor: amountMinor })))))
}

/** Tiers by unit beside coupons that take from whole lines, and some that choose units. */
export const arbitraryLayers = (most: number): fc.Arbitrary<{ order: Order; coupons: HeldCoupon[] }> => {
  const [, each, chosen, fixed, tiered, , buys, bundles] = ARBITRARY_KINDS as readonly [fc.Arbitrary<KindAndTerms>, ...fc.Arbitrary<KindAndTerms>[]]
  const step = fc.record({ more: fc.integer({ min: 0, max: 3 }), percent_bp: percentBp })
  const byUnit = of("tiered_off", fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 3 }), per }).map(({ steps, ...terms }) => {
    let from = 0
    return { ...terms, by: "unit", tiers: steps.map(({ more, ...gives }, i) => ({ from: (from += more + (i > 0 ? 1 : 0)), ...gives })) }
  }))
  const whole = fc.oneof(of("percent_off", fc.record({ percent_bp: percentBp, per })), of("amount_off", fc.record({ amount_minor: amountMinor })), of("amount_off", fc.record({ amount_minor: amountMinor, spread: fc.constantFrom("each_line", "each_unit") })), tiered!)
  return rivalsOf(most, fc.oneof(byUnit, byUnit, byUnit, whole, whole, whole, fc.oneof(each!, chosen!, fixed!, buys!, bundles!)))
}

const rivalsOf = (most: number, promise: fc.Arbitrary<KindAndTerms>): fc.Arbitrary<{ order: Order; coupons: HeldCoupon[] }> => {
  const rival = fc.record({
    promise,
    applies_to: fc.constantFrom(undefined, undefined, { categories: ["x"] }, { not_skus: ["s1"] }),
    threshold_minor: fc.constantFrom(undefined, undefined, undefined, 1500, 3000, 6000),
    max_minor: fc.constantFrom(undefined, undefined, undefined, 700),
    stacking: fc.record({ level: fc.constantFrom("line", "shop"), priority: fc.integer({ min: 0, max: 3 }), group: fc.constantFrom(undefined, undefined, "g", "h"), group_max: fc.constant(2) }),
  })
  const rivalLine = fc.record({ unit_price_minor: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(500, 900, 1000, 1500, 4000)), quantity: fc.integer({ min: 1, max: 6 }), category: fc.constantFrom("x", "y"), floor_minor: fc.constantFrom(undefined, undefined, undefined, undefined, 400) })
  return fc.record({ lines: fc.array(rivalLine, { minLength: 1, maxLength: 6, size: "max" }), rivals: fc.array(rival, { minLength: 3, maxLength: most, size: "max" }) }).map(({ lines, rivals }) => ({
    order: { currency: "EUR", shipping_minor: 0, lines: lines.map((one, i) => ({ line_id: `l${i}`, sku: `s${i + 1}`, ...one })) },
    coupons: rivals.map(({ promise, stacking: rules, ...fields }, i): HeldCoupon =>
      ({ coupon_id: `c${i}`, ends_at_ms: NOON + i, terms: compileTerms({ ...promise, ...(clean(fields) as object), stacking: clean(rules) as object, campaign_id: `campaign${i}`, funding: [] }) })),
  }))
}

/** Any policy, with money enough or short. */
export const arbitrarySetting: fc.Arbitrary<Setting> = fc.record({
  profile: fc.constantFrom<Setting["profile"]>(undefined, undefined, "sylius", "saleor", "solidus", "shopify", "commercetools", { rounding: "down", budget_short: "partial" }, { kind_order: "percent_first", threshold_sees: "original" }),
  funds: fc.constantFrom(undefined, undefined, undefined, new Map([["b1", 300], ["b2", 2000]])),
})

/** Holds a property, and says of the first order that breaks it what is wrong and how to see it again; terms are too long to print. */
export function holdsForAll<Made>(property: fc.IProperty<Made>, parameters: fc.Parameters<Made>): void {
  const { failed, errorInstance, counterexamplePath, seed, counterexample } = fc.check(property, parameters)
  if (!failed) return
  const [asked] = (counterexample ?? []) as unknown[]
  throw new Error(`${String(errorInstance)}\nseed ${seed}, path ${counterexamplePath}, order ${JSON.stringify(asked)}`)
}

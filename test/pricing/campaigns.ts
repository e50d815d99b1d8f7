// Any campaign that pricing knows, for the property tests: each kind adds what its terms can be.

import fc from "fast-check"
import { termsFaults } from "../../engine/pricing/compile.ts"
import type { CampaignBody } from "../../engine/pricing/types.ts"

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
    return termsFaults(body).some(({ field }) => field === "target") ? { ...body, target: undefined } : body
  })

// Any campaign that pricing knows, for the property tests: each kind adds what its terms can be.

import fc from "fast-check"
import type { CampaignBody } from "../../engine/pricing/types.ts"

const units = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined })
const pick = fc.constantFrom(undefined, "cheapest", "dearest")
const amountMinor = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9000 }))
const percentBp = fc.integer({ min: 1, max: 10000 })
const per = fc.constantFrom(undefined, "order", "line", "unit")

type KindAndTerms = Pick<CampaignBody, "kind" | "terms">
const of = (kind: string, terms: fc.Arbitrary<object>): fc.Arbitrary<KindAndTerms> => terms.map((made) => ({ kind, terms: clean(made) }))

/** Without the fields that are not there. */
const clean = (terms: object): object => JSON.parse(JSON.stringify(terms))

/** Any terms of every kind. */
export const ARBITRARY_KINDS: readonly fc.Arbitrary<KindAndTerms>[] = [
  of("amount_off", fc.record({ amount_minor: amountMinor })),
  of(
    "amount_off",
    fc.record({ amount_minor: amountMinor, spread: fc.constantFrom("per_line", "per_unit"), max_units: units, max_units_per_line: units, pick }),
  ),
  of(
    "percent_off",
    fc.record({ percent_bp: percentBp, max_minor: fc.option(amountMinor, { nil: undefined }), per, max_units: units, max_units_per_line: units, pick }),
  ),
]

/** Any campaign body. */
export const arbitraryBody: fc.Arbitrary<Omit<CampaignBody, "campaign_id">> = fc
  .record({
    promise: fc.oneof(...ARBITRARY_KINDS),
    target: fc.constantFrom(undefined, undefined, "shipping", "everything"),
    max_minor: fc.constantFrom(undefined, undefined, 500),
    threshold_minor: fc.constantFrom(undefined, 1000),
    applies_to: fc.constantFrom(undefined, undefined, { categories: ["x"] }, { not_skus: ["s1"] }),
    stacking: fc.record({
      level: fc.constantFrom("line", "shop", "payment"),
      priority: fc.integer({ min: 0, max: 2 }),
      group: fc.constantFrom(undefined, undefined, undefined, "g"),
      exclusive: fc.constantFrom(false, false, false, false, false, true),
    }),
  })
  .map(({ promise, ...fields }) => ({ ...promise, ...(clean(fields) as object) }))

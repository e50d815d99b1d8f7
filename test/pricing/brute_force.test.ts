// The best set against brute force: every set of small orders priced as a named list, over every kind and every rule of
// stacking. `SCRIP_BRUTE_ORDERS` makes it longer, `SCRIP_BRUTE_SEED` repeats a run.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { compileTerms, termsFaults } from "../../engine/pricing/compile.ts"
import { KINDS } from "../../engine/pricing/kinds/index.ts"
import { price } from "../../engine/pricing/price.ts"
import { RULE_NAMES, type HeldCoupon, type Order, type Quote, type Setting } from "../../engine/pricing/types.ts"
import { arbitraryBody } from "./campaigns.ts"
import { NOON } from "./shop.ts"

const ORDERS = Number(process.env["SCRIP_BRUTE_ORDERS"] ?? 10_000)
const SEED = Number(process.env["SCRIP_BRUTE_SEED"] ?? 20_261_122)
const COUPONS_MAX = 5

const line = fc.record({
  unit_price_minor: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 4000 })),
  quantity: fc.integer({ min: 1, max: 4 }),
  category: fc.constantFrom("x", "y"),
  floor_minor: fc.constantFrom(undefined, undefined, undefined, 3, 800),
  list_price_minor: fc.constantFrom(undefined, undefined, 5000),
})
const arbitraryOrder = fc
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
const clean = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value
const arbitraryCoupons = fc.array(coupon, { minLength: 1, maxLength: COUPONS_MAX }).map((made): HeldCoupon[] =>
  made.map(({ body, stacking: rules, campaign, ends, budget, ...fields }, i) => ({
    coupon_id: `c${i}`,
    ends_at_ms: NOON + ends,
    terms: compileTerms({ ...body, ...clean(fields), stacking: clean(rules) as object, campaign_id: `campaign${campaign}`, funding: budget ? [{ budget_id: budget, share_bp: 10_000 }] : [] }),
  })))
const arbitrarySetting = fc.record({
  profile: fc.constantFrom(undefined, undefined, "sylius", "saleor", "solidus", "shopify", "commercetools", { rounding: "down", budget_short: "partial" }, { kind_order: "percent_first", threshold_sees: "original" }),
  funds: fc.constantFrom(undefined, undefined, undefined, new Map([["b1", 300], ["b2", 2000]])),
})

const givesOf = (quote: Quote): number => quote.discount_minor + quote.benefit_minor

/** Every set that a named list would take whole; the best of them by the contract's rule of ties. */
function bestByLooking(order: Order, coupons: readonly HeldCoupon[], setting: Setting): { ids: string[]; gives: number } {
  let best: { rank: (number | string)[]; ids: string[]; gives: number } | undefined
  for (let set = 0; set < 2 ** coupons.length; set++) {
    const asked = coupons.filter((_, i) => set & (1 << i))
    const quote = price(order, asked, "named", setting)
    if (quote.applied.length < asked.length) continue
    const ids = quote.applied.map(({ coupon_id }) => coupon_id)
    const ends = asked.map(({ ends_at_ms }) => ends_at_ms).sort((a, b) => a - b)
    const rank = [-givesOf(quote), ids.length, ...ends, ...ids.toSorted()]
    const isSooner = best === undefined || rank.some((one, i) => rank.slice(0, i).every((same, j) => same === best!.rank[j]) && one < best!.rank[i]!)
    if (isSooner) best = { rank, ids, gives: givesOf(quote) }
  }
  return best!
}

test(`best: agrees with every set of ${ORDERS} small orders, over every kind and every rule`, () => {
  const counts: Record<string, number> = Object.fromEntries([...KINDS.map(({ name }) => name), ...RULE_NAMES, "threshold", "budget_exhausted", "several applied"].map((name) => [name, 0]))
  const count = (name: string): void => void (counts[name] = (counts[name] ?? 0) + 1)
  fc.assert(
    fc.property(arbitraryOrder, arbitraryCoupons, arbitrarySetting, (order, coupons, made) => {
      const setting = { now_ms: NOON, ...made } as Setting
      const quote = price(order, coupons, "best", setting)
      const wanted = bestByLooking(order, coupons, setting)
      expect([givesOf(quote), quote.applied.map(({ coupon_id }) => coupon_id), quote.proved, quote.gap_minor]).toEqual([wanted.gives, wanted.ids, true, 0])
      for (const { coupon_id } of quote.applied) count(coupons.find((one) => one.coupon_id === coupon_id)!.terms.kind.name)
      if (quote.applied.length > 1) count("several applied")
      for (const { rule, reason, code } of quote.rejected) {
        if (rule) count(rule)
        if (reason === "threshold") count(reason)
        if (code === "budget_exhausted") count(code)
      }
    }),
    { numRuns: ORDERS, seed: SEED, endOnFailure: false },
  )
  console.log(`brute force: seed ${SEED}, ${ORDERS} orders; applied or refused: ${Object.entries(counts).map(([name, n]) => `${name} ${n}`).join(", ")}`)
  expect(Object.entries(counts).filter(([, n]) => n < ORDERS / 1_000)).toEqual([])
})

test("best: every body that the generator makes is one that an operator could send", () => {
  fc.assert(fc.property(arbitraryBody, (body) => expect(termsFaults(body)).toEqual([])), { numRuns: 300, seed: SEED })
})

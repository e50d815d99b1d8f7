// The best set against brute force: every set of small orders priced as a named list, over every kind and every rule of
// stacking. `SCRIP_BRUTE_ORDERS` makes it longer, `SCRIP_SEED` chooses others.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { FAMILIES, instanceOf, type Family } from "../../bench/families.ts"
import { MIXES, mixOf, STANDS, type Mix } from "../../bench/mixes.ts"
import { termsFaults } from "../../engine/pricing/compile.ts"
import { KINDS } from "../../engine/pricing/kinds/index.ts"
import { price } from "../../engine/pricing/price.ts"
import { RULE_NAMES, type HeldCoupon, type Order, type Quote, type Setting } from "../../engine/pricing/types.ts"
import { SEED } from "../support/seed.ts"
import { arbitraryBody, arbitraryCoupons, arbitraryOrder, arbitrarySetting, holdsForAll } from "./campaigns.ts"
import { NOON } from "./shop.ts"

const ORDERS = Number(process.env["SCRIP_BRUTE_ORDERS"] ?? 10_000)
/** Ten thousand orders take half a minute of a processor, and as much longer as it has other work. */
const RUN_MS_MAX = 60_000 + ORDERS * 60
/** Each coupon more doubles the sets that are looked at. */
const COUPONS_MAX = 5

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
  holdsForAll(
    fc.property(arbitraryOrder, arbitraryCoupons(COUPONS_MAX), arbitrarySetting, (order, coupons, made) => {
      const setting = { now_ms: NOON, ...made }
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
}, RUN_MS_MAX)

test("best: agrees with every set of orders as large as shops have, where the search rarely has to look exactly", () => {
  const profiles: Setting["profile"][] = [undefined, "sylius", "saleor", "solidus", "shopify", "commercetools", { rounding: "down" }]
  for (const family of Object.keys(FAMILIES) as Family[]) for (let i = 0; i < profiles.length; i++) {
    const { order, coupons } = instanceOf(family, i, 8, 20)
    const setting = { now_ms: NOON, profile: profiles[i] }
    const quote = price(order, coupons, "best", setting)
    const wanted = bestByLooking(order, coupons, setting)
    expect([family, i, givesOf(quote), quote.applied.map(({ coupon_id }) => coupon_id), quote.proved]).toEqual([family, i, wanted.gives, wanted.ids, true])
  }
})

test("best: agrees with every set of orders of each mix, where coupons contend for the units of twelve lines", () => {
  const profiles: Setting["profile"][] = [undefined, "sylius", "saleor", "shopify", "commercetools"]
  let turn = SEED
  for (const mix of Object.keys(MIXES) as Mix[]) for (const stand of STANDS) for (let i = 0; i < Math.ceil(ORDERS / 5_000); i++) {
    const profile = profiles[++turn % profiles.length]
    const { order, coupons } = mixOf(mix, stand, turn, 6, 12)
    const setting = { now_ms: NOON, profile }
    const quote = price(order, coupons, "best", setting)
    const wanted = bestByLooking(order, coupons, setting)
    expect([mix, stand, turn, givesOf(quote), quote.applied.map(({ coupon_id }) => coupon_id), quote.proved]).toEqual([mix, stand, turn, wanted.gives, wanted.ids, true])
  }
}, RUN_MS_MAX)

test("best: every body that the generator makes is one that an operator could send", () => {
  fc.assert(fc.property(arbitraryBody, (body) => expect(termsFaults(body)).toEqual([])), { numRuns: 300, seed: SEED })
})

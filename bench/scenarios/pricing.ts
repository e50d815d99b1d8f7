/**
 * What pricing costs in process: one quote, its validation, large quantities, many campaigns, and the search of the best set.
 *
 * What must stay true: what is compared takes turns within one run, and time is this thread's processor time, so that other work on the
 * machine does not count. Instances follow from a family and a number alone; the hardest of each family is named, so it can be played again.
 */
import { check } from "../../engine/contract/check.ts"
import { quoteOrder } from "../../engine/contract/checkout.ts"
import { compileTerms } from "../../engine/pricing/compile.ts"
import { price } from "../../engine/pricing/price.ts"
import type { CampaignBody, HeldCoupon, Order, Terms } from "../../engine/pricing/types.ts"
import { buildPricing } from "../../build/pricing.ts"
import { median, percentile } from "../cpu.ts"
import { FAMILIES, instanceOf, type Family } from "../families.ts"
import { MIXES, mixOf, STANDS, type Mix } from "../mixes.ts"
import type { Figure, Proof, Result } from "../result.ts"
import { threadClock } from "../thread_cpu.ts"

const NOW_MS = Date.UTC(2026, 10, 22, 12)
const ENDS_MS = Date.UTC(2027, 0, 1)
/** Until code is compiled for speed. */
const WARM_UP = 20_000

const held = (body: Omit<CampaignBody, "campaign_id">, i: number): HeldCoupon =>
  ({ coupon_id: `coupon-${i}`, ends_at_ms: ENDS_MS, terms: compileTerms({ campaign_id: `k${i}`, currency: "CNY", ...body }) })

const orderOf = (lines: number, quantity: (i: number) => number): Order => ({
  currency: "CNY", channel: "app", region: "east", payment_method: "baitiao", shipping_minor: 1_200,
  lines: Array.from({ length: lines }, (_, i) => ({ line_id: `line-${i}`, sku: `sku-${i}`, merchant_id: `m${i % 3}`, category: `c${i % 4}`, unit_price_minor: 1_999 + i * 731, quantity: quantity(i) })),
})

/** Five coupons as a shop has them: every 200 less 30, a category, a merchant's unit, the platform's, and the shipping. */
const FIVE: readonly Omit<CampaignBody, "campaign_id">[] = [
  { kind: "amount_off", terms: { amount_minor: 3_000 }, threshold_minor: 20_000, stacking: { level: "platform" } },
  { kind: "percent_off", terms: { percent_bp: 1_200, max_minor: 5_000 }, applies_to: { categories: ["c1", "c2"] } },
  { kind: "tiered_off", terms: { by: "amount", tiers: [{ from: 20_000, amount_minor: 3_000 }], repeat: true }, stacking: { priority: 3 } },
  { kind: "amount_off", terms: { amount_minor: 150, spread: "each_unit" }, applies_to: { merchants: ["m1"] }, stacking: { level: "line" } },
  { kind: "free_shipping", terms: {}, channels: ["app"], payment_methods: ["baitiao"], threshold_minor: 9_900 },
]

/** What must cost a thousand units no more than one. */
const UNITS: Readonly<Record<string, readonly Omit<CampaignBody, "campaign_id">[]>> = {
  "five coupons": FIVE,
  "by-unit tiers": [{ kind: "tiered_off", terms: { by: "unit", tiers: [{ from: 1, percent_bp: 500 }, { from: 4, percent_bp: 1_000 }] } }],
  "bundles": [{ kind: "bundle", terms: { sets: [{ quantity: 1, applies_to: { categories: ["c0"] } }, { quantity: 1, applies_to: { categories: ["c1"] } }], percent_bp: 1_000 } }],
  "buy x get y": [{ kind: "buy_x_get_y", terms: { buy: { quantity: 2 }, get: { quantity: 1 }, percent_bp: 10_000 } }],
}

const clock = threadClock()

/** Microseconds of each run of several pieces of work that take turns. */
const inTurns = (works: readonly (() => unknown)[], rounds: number): number[][] => {
  const times: number[][] = works.map(() => [])
  for (let i = 0; i < WARM_UP; i++) for (const work of works) work()
  for (let i = 0; i < rounds; i++) works.forEach((work, w) => {
    const began = clock()
    work()
    times[w]!.push(clock() - began)
  })
  return times
}

const pricedOf = (order: Order, coupons: readonly HeldCoupon[], wish: "named" | "best" = "named") => () => price(order, coupons, wish, { now_ms: NOW_MS })

const quoteFigures = (rounds: number): Figure[] => {
  const order = orderOf(20, (i) => 1 + (i % 3))
  const coupons = FIVE.map(held)
  const body: unknown = JSON.parse(JSON.stringify({ user_id: "ann", order, coupons: coupons.map(({ coupon_id }) => coupon_id) }))
  const keeps = check(quoteOrder.body!, quoteOrder.rule)
  if (keeps(body)) throw new Error("the bench's own quote breaks the contract")
  const [named, validated, best] = inTurns([pricedOf(order, coupons), () => keeps(body), pricedOf(order, coupons, "best")], rounds)
  return [
    { name: "a quote of 20 lines and 5 named coupons, pricing, median", value: median(named!), unit: "µs", wanted: { at: "most", value: 20 } },
    { name: "a quote of 20 lines and 5 named coupons, pricing, p99", value: percentile(named!, 0.99), unit: "µs", wanted: { at: "most", value: 60 } },
    { name: "the validation of that quote, median", value: median(validated!), unit: "µs", wanted: { at: "most", value: median(named!) } },
    { name: "the validation of that quote, p99", value: percentile(validated!, 0.99), unit: "µs" },
    { name: "the best of the same 5 coupons, median", value: median(best!), unit: "µs" },
    { name: "the best of the same 5 coupons, p99", value: percentile(best!, 0.99), unit: "µs" },
  ]
}

/** What a caller of a quote pays for: its order checked, priced and written as JSON. */
const quotedOf = (order: Order, coupons: readonly HeldCoupon[]) => {
  const body: unknown = JSON.parse(JSON.stringify({ user_id: "ann", order, coupons: coupons.map(({ coupon_id }) => coupon_id) }))
  const keeps = check(quoteOrder.body!, quoteOrder.rule), priced = pricedOf(order, coupons)
  if (keeps(body)) throw new Error("the bench's own quote breaks the contract")
  return () => keeps(body) ?? JSON.stringify(priced())
}

const unitFigures = (rounds: number): Figure[] => Object.entries(UNITS).map(([name, bodies]) => {
  const coupons = bodies.map(held)
  // What a single unit cannot have (a bundle's second set, a tier's cut) would be compared with nothing: so also against six a line.
  const [few, some, many] = inTurns([1, 6, 600].map((quantity) => pricedOf(orderOf(10, () => quantity), coupons)), rounds)
  const [quotedFew, quotedMany] = inTurns([quotedOf(orderOf(10, () => 1), coupons), quotedOf(orderOf(10, () => 600), coupons)], rounds)
  return [
    { name: `6,000 units in 10 lines against 10, the whole quote, ${name}`, value: median(quotedMany!) / median(quotedFew!), unit: "×", wanted: { at: "most" as const, value: 1.2 } },
    { name: `6,000 units in 10 lines against 10, pricing alone, ${name}`, value: median(many!) / median(few!), unit: "×", wanted: { at: "most" as const, value: 1.2 } },
    { name: `6,000 units in 10 lines against 60, ${name}`, value: median(many!) / median(some!), unit: "×" },
  ]
}).flat()

/** Catalogues of so many live campaigns, each asked for the same five as a quote asks. */
const catalogueFigures = (rounds: number): Figure[] => {
  const sizes = [10, 1_000, 100_000]
  const order = orderOf(20, (i) => 1 + (i % 3))
  const works = sizes.map((size) => {
    const terms = new Map<number, Terms>(Array.from({ length: size }, (_, i) => [i, compileTerms({ campaign_id: `k${i}`, currency: "CNY", ...FIVE[i % FIVE.length]! })]))
    const nos = FIVE.map((_, i) => i + Math.floor((size - FIVE.length) / 2 / FIVE.length) * FIVE.length)
    return () => price(order, nos.map((no) => ({ coupon_id: `coupon-${no}`, ends_at_ms: ENDS_MS, terms: terms.get(no)! })), "named", { now_ms: NOW_MS })
  })
  const [few, some, many] = inTurns(works, rounds)
  return [
    { name: "a quote beside 10 live campaigns", value: median(few!), unit: "µs" },
    { name: "a quote beside 1,000 live campaigns, against 10", value: median(some!) / median(few!), unit: "×", wanted: { at: "most", value: 1.1 } },
    { name: "a quote beside 100,000 live campaigns, against 10", value: median(many!) / median(few!), unit: "×", wanted: { at: "most", value: 1.1 } },
  ]
}

const bestFigures = (instances: number, say: (text: string) => void): { figures: Figure[]; proofs: Proof[] } => {
  const figures: Figure[] = []
  const proofs: Proof[] = []
  const families = Object.keys(FAMILIES) as Family[]
  // Instances beyond those that are measured, so that what is measured is compiled.
  for (const family of families) for (let i = 0; i < 20; i++) {
    const { order, coupons } = instanceOf(family, instances + i)
    price(order, coupons, "best", { now_ms: NOW_MS })
  }
  for (const family of families) {
    say(`the best of 20 coupons on 50 lines: ${FAMILIES[family].says}`)
    const times_ms: number[] = []
    let unproved = 0
    for (let i = 0; i < instances; i++) {
      const { order, coupons } = instanceOf(family, i)
      const began = clock()
      const { proved } = price(order, coupons, "best", { now_ms: NOW_MS })
      times_ms.push((clock() - began) / 1_000)
      if (!proved) unproved += 1
    }
    const worst_ms = Math.max(...times_ms)
    figures.push(
      { name: `best of 20 coupons, 50 lines, ${FAMILIES[family].says}, median`, value: median(times_ms), unit: "ms" },
      { name: `best of 20 coupons, 50 lines, ${FAMILIES[family].says}, p99`, value: percentile(times_ms, 0.99), unit: "ms", wanted: { at: "most", value: FAMILIES[family].most_ms } },
      { name: `the same, the worst (instanceOf("${family}", ${times_ms.indexOf(worst_ms)}))`, value: worst_ms, unit: "ms" },
    )
    proofs.push({ name: `best sets that were not proved, ${FAMILIES[family].says}`, wanted: 0, found: unproved })
  }
  return { figures, proofs }
}

/** Of so many orders of each mix of kinds, which the search proves, and how long it takes. */
const mixFigures = (instances: number, say: (text: string) => void): Figure[] => (Object.keys(MIXES) as Mix[]).flatMap((mix) => {
  say(`the best of 20 coupons on 200 lines: ${mix}`)
  const times_ms: number[] = []
  const proved = STANDS.map((stand) => {
    let count = 0
    for (let i = 0; i < instances; i++) {
      const { order, coupons } = mixOf(mix, stand, i)
      const began = clock()
      if (price(order, coupons, "best", { now_ms: NOW_MS }).proved) count += 1
      times_ms.push((clock() - began) / 1_000)
    }
    return { stand, share: (100 * count) / instances }
  })
  return [
    ...proved.map(({ stand, share }) => ({ name: `best of 20 coupons, 200 lines, ${mix}, ${stand}: proved`, value: share, unit: "%" })),
    { name: "the three, median", value: median(times_ms), unit: "ms" },
    { name: "the three, longest", value: Math.max(...times_ms), unit: "ms" },
  ]
})

/** Measure, in so many rounds and so many instances of each family. */
export const playPricing = async (rounds: number, instances: number, say: (text: string) => void): Promise<Result> => {
  say("one quote in process")
  const figures = [...quoteFigures(rounds), ...unitFigures(rounds), ...catalogueFigures(rounds)]
  const best = bestFigures(instances, say)
  const mixes = mixFigures(Math.max(3, Math.round(instances / 50)), say)
  const { bytes, zipped } = await buildPricing(undefined)
  figures.push(...best.figures, ...mixes, { name: "the browser's bundle of pricing", value: bytes / 1_000, unit: "kB" }, { name: "the same, gzip", value: zipped / 1_000, unit: "kB" })
  return { scenario: "pricing", rows: [], figures, proofs: best.proofs }
}

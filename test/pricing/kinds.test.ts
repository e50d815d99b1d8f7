// Each kind by its promise: what it takes off which units, and what it never does.

import { expect, test } from "bun:test"
import { boundMinor, termsFaults } from "../../engine/pricing/compile.ts"
import { amount, byLine, coupon, order, percent, quote, rejected } from "./shop.ts"
import type { Order } from "../../engine/pricing/types.ts"

const off = (asked: Order, kind: string, terms: object) => byLine(asked, quote(asked, [coupon("a", kind, terms)]))
const fields = (kind: string, terms: object, more: object = {}) => termsFaults({ kind, terms, ...more }).map(({ field }) => field)

test("amount_off: across takes its amount once, each_line and each_unit take it from each", () => {
  const asked = order([{ price: 1000, quantity: 2 }, 500])
  const by = (spread: string | undefined, more: object = {}) => off(asked, "amount_off", { amount_minor: 100, spread, ...more })
  expect(by("across")).toEqual([80, 20])
  expect(by("each_line")).toEqual([100, 100])
  expect(by("each_unit")).toEqual([200, 100])
  expect(by("each_unit", { max_units: 2 })).toEqual([100, 100])
  expect(by("each_unit", { max_units: 1, pick: "dearest" })).toEqual([100, 0])
})

test("fixed_price: never raises, for units or all lines together", () => {
  const asked = order([{ price: 1000, quantity: 2 }, 500])
  const by = (per: string, price_minor: number) => off(asked, "fixed_price", { price_minor, per })
  expect(by("unit", 600)).toEqual([800, 0])
  expect(by("order", 2000)).toEqual([400, 100])
  expect(off(asked, "fixed_price", { price_minor: 0, max_units: 1 })).toEqual([0, 500])
  expect(rejected(quote(asked, [coupon("a", "fixed_price", { price_minor: 1000 })]), "a").reason).toBe("nothing_to_discount")
})

const tiers = [
  { from: 0, percent_bp: 1000 },
  { from: 2000, percent_bp: 1500 },
  { from: 3000, percent_bp: 2000 },
]

test("tiered_off: by amount the highest tier reached holds, from is inclusive", () => {
  const of = (price: number) => off(order([price]), "tiered_off", { tiers })
  expect([of(1000), of(1999), of(2000), of(3000)]).toEqual([[100], [200], [300], [600]])
  const from100 = { tiers: [{ from: 100, amount_minor: 10 }] }
  expect(rejected(quote(order([99]), [coupon("a", "tiered_off", from100)]), "a").reason).toBe("nothing_to_discount")
})

test("tiered_off: by quantity counts the eligible units", () => {
  const asked = order([{ price: 5000, quantity: 7, category: "shirts" }, { price: 100, quantity: 5 }])
  const terms = { by: "quantity", tiers: [{ from: 1, percent_bp: 1000 }, { from: 10, percent_bp: 1500 }] }
  expect(off(asked, "tiered_off", terms)).toEqual([5250, 75])
  const shirts = coupon("a", "tiered_off", terms, { applies_to: { categories: ["shirts"] } })
  expect(byLine(asked, quote(asked, [shirts]))).toEqual([3500, 0])
})

test("tiered_off: by unit the n-th unit of a line takes the tier of n", () => {
  const terms = { by: "unit", tiers: [{ from: 1, amount_minor: 0 }, { from: 2, amount_minor: 123 }] }
  const of = (quantity: number) => quote(order([{ price: 1000, quantity }]), [coupon("a", "tiered_off", terms)])
  expect([1, 2, 10].map((quantity) => of(quantity).discount_minor)).toEqual([0, 123, 1107])
  expect(of(10).applied[0]!.lines[0]!.units).toEqual([{ quantity: 1, discount_minor: 0 }, { quantity: 9, discount_minor: 123 }])
  const rising = { by: "unit", tiers: [{ from: 0, percent_bp: 1000 }, { from: 3, percent_bp: 5000 }] }
  expect(off(order([{ price: 100, quantity: 4 }]), "tiered_off", rising)).toEqual([120])
})

test("tiered_off: by unit a percentage is rounded for the unit where the terms say so, else for the units of a tier together", () => {
  const of = (per?: string) => off(order([{ price: 15, quantity: 4 }]), "tiered_off", { by: "unit", tiers: [{ from: 1, percent_bp: 1000 }, { from: 3, percent_bp: 1000 }], per })
  expect([of(), of("unit")]).toEqual([[6], [8]])
})

test("tiered_off: repeat gives the amount for each full from", () => {
  const of = (price: number) => off(order([price]), "tiered_off", { tiers: [{ from: 300, amount_minor: 40 }], repeat: true })
  expect([of(300), of(899), of(900)]).toEqual([[40], [80], [120]])
  expect(fields("tiered_off", { tiers, repeat: true })).toEqual(["terms.repeat"])
  expect(fields("tiered_off", { tiers: [{ from: 5, percent_bp: 1 }, { from: 5, percent_bp: 2 }] })).toEqual(["terms.tiers.1.from"])
  expect(fields("tiered_off", { tiers: [{ from: 5 }] })).toEqual(["terms.tiers.0"])
})

const buyGet = (buy: number, get: number, more: object = {}) => ({ buy: { quantity: buy }, get: { quantity: get }, ...more })

test("buy_x_get_y: a round needs its full buy and its full get", () => {
  const free = (quantity: number) => quote(order([{ price: 250, quantity }]), [coupon("a", "buy_x_get_y", buyGet(2, 2))]).discount_minor
  expect([1, 2, 3, 4, 7, 8].map(free)).toEqual([0, 0, 0, 500, 500, 1000])
})

test("buy_x_get_y: the dearest are bought, the cheapest are got", () => {
  const asked = order([500, 500, 1000, 1000])
  expect(off(asked, "buy_x_get_y", buyGet(2, 2))).toEqual([500, 500, 0, 0])
  expect(off(asked, "buy_x_get_y", buyGet(1, 1))).toEqual([500, 500, 0, 0])
  expect(off(asked, "buy_x_get_y", buyGet(1, 1, { times: 1 }))).toEqual([500, 0, 0, 0])
  expect(off(asked, "buy_x_get_y", buyGet(1, 1, { times: 1, pick: "dearest" }))).toEqual([0, 0, 0, 1000])
})

test("buy_x_get_y: what can be got is not bought away", () => {
  const asked = order([{ price: 100, quantity: 2 }, { price: 900, quantity: 2, sku: "x" }])
  const terms = { buy: { quantity: 1 }, get: { quantity: 1, applies_to: { skus: ["x"] } } }
  expect(off(asked, "buy_x_get_y", terms)).toEqual([0, 1800])
})

test("buy_x_get_y: cheaper by a share instead of free", () => {
  const asked = order([{ price: 1000, quantity: 2 }])
  expect(off(asked, "buy_x_get_y", buyGet(1, 1, { percent_bp: 5000 }))).toEqual([500])
  expect(fields("buy_x_get_y", { buy: { quantity: 1 }, get: { quantity: 1, percent_bp: 1 } })).toEqual(["terms.get.percent_bp"])
})

test("tiered_off: max_units takes the cheapest units of all, or the dearest; the tier still counts them all", () => {
  const asked = order([{ price: 1000, quantity: 2 }, { price: 300, quantity: 3 }])
  const of = (terms: object) => off(asked, "tiered_off", terms)
  expect(of({ by: "quantity", tiers: [{ from: 5, percent_bp: 5000 }], max_units: 4 })).toEqual([500, 450])
  expect(of({ by: "quantity", tiers: [{ from: 5, percent_bp: 5000 }], max_units: 1, pick: "dearest" })).toEqual([500, 0])
  expect(of({ by: "unit", tiers: [{ from: 2, amount_minor: 100 }], max_units: 4 })).toEqual([0, 200])
  expect(of({ by: "unit", tiers: [{ from: 2, amount_minor: 100 }], max_units: 4, pick: "dearest" })).toEqual([100, 100])
})

test("buy_x_get_y: units taken by one are gone for the next", () => {
  const asked = order([{ price: 100, quantity: 3 }])
  const answered = quote(asked, [coupon("a", "buy_x_get_y", buyGet(1, 1)), coupon("b", "buy_x_get_y", buyGet(1, 1))])
  expect(answered.discount_minor).toBe(100)
  expect(rejected(answered, "b")).toMatchObject({ reason: "nothing_to_discount", needs: { without: ["a"] } })
  expect(answered.applied[0]!.lines[0]!.units).toEqual([
    { quantity: 1, discount_minor: 0 },
    { quantity: 1, discount_minor: 100 },
    { quantity: 1, discount_minor: 0 },
  ])
})

test("bundle: a price for the set, shared over its units by what they cost", () => {
  const asked = order([{ price: 2000, category: "top" }, { price: 3000, category: "trousers" }, { price: 500, category: "top" }])
  const set = { sets: [{ quantity: 1, applies_to: { categories: ["top"] } }, { quantity: 1, applies_to: { categories: ["trousers"] } }] }
  expect(off(asked, "bundle", { ...set, price_minor: 4000 })).toEqual([400, 600, 0])
  expect(off(asked, "bundle", { ...set, amount_minor: 100 })).toEqual([40, 60, 0])
  expect(off(asked, "bundle", { ...set, percent_bp: 1000 })).toEqual([200, 300, 0])
  expect(off(asked, "bundle", { ...set, price_minor: 3000, pick: "cheapest" })).toEqual([0, 429, 71])
  expect(fields("bundle", set)).toEqual(["terms.price_minor"])
  expect(fields("bundle", { ...set, price_minor: 1 }, { target: "shipping" })).toEqual(["target"])
})

test("bundle: each set is priced by itself, and one that saves nothing takes no units", () => {
  const asked = order([{ price: 900, quantity: 2 }, { price: 100, quantity: 2 }])
  // 900 + 900 for 1000 saves 800; 100 + 100 for 1000 would cost more.
  expect(off(asked, "bundle", { sets: [{ quantity: 2 }], price_minor: 1000 })).toEqual([800, 0])
  const both = quote(asked, [
    coupon("a", "bundle", { sets: [{ quantity: 2 }], price_minor: 1000 }),
    coupon("b", "bundle", { sets: [{ quantity: 2 }], price_minor: 150 }),
  ])
  expect([byLine(asked, both, "a"), byLine(asked, both, "b")]).toEqual([[800, 0], [0, 50]])
})

test("bundle: groups of a size, so much off each full group", () => {
  const set = { sets: [{ quantity: 2 }], amount_minor: 1000 }
  const of = (quantity: number) => quote(order([{ price: 2000, quantity }]), [coupon("a", "bundle", set)]).discount_minor
  expect([1, 2, 3, 4].map(of)).toEqual([0, 1000, 1000, 2000])
  const thirds = order([{ price: 1000, quantity: 3 }, 2000])
  expect(off(thirds, "bundle", { sets: [{ quantity: 3, applies_to: { skus: ["s1"] } }], percent_bp: 1000 })).toEqual([300, 0])
})

test("bundle: a million sets are counted, not listed", () => {
  const asked = order([{ price: 1000, quantity: 3_000_001 }, { price: 500, quantity: 2_000_000 }])
  const answered = off(asked, "bundle", { sets: [{ quantity: 3 }, { quantity: 1 }], price_minor: 3000 })
  // 1250000 sets of 3 + 1 fit; the first million are 3 at 1000 and 1 at 500 and save 500 each, the others save nothing.
  expect(answered.reduce((a, b) => a + b, 0)).toBe(500_000_000)
})

test("free_shipping: takes the shipping and nothing else, after everything", () => {
  const asked = order([4000], { shipping_minor: 599 })
  const answered = quote(asked, [coupon("s", "free_shipping", {}), percent("p", 2000)])
  expect(answered).toMatchObject({ discount_minor: 1399, shipping_discount_minor: 599, total_minor: 3200 })
  expect(answered.applied.map(({ coupon_id }) => coupon_id)).toEqual(["p", "s"])
  expect(answered.applied[1]!.lines).toEqual([])
  expect(quote(asked, [coupon("s", "free_shipping", {}, { max_minor: 200 })]).shipping_discount_minor).toBe(200)
})

test("free_shipping: its threshold sees the discounted total of the items", () => {
  const ship = coupon("s", "free_shipping", {}, { threshold_minor: 10000 })
  const of = (quantity: number) => quote(order([{ price: 12000, quantity }], { shipping_minor: 1000 }), [percent("p", 5000), ship])
  expect([of(1).total_minor, of(2).total_minor]).toEqual([7000, 12000])
})

test("gift: takes nothing off and costs its price", () => {
  const mug = { sku: "mug", unit_price_minor: 400, quantity: 2 }
  const asked = order([{ price: 100, quantity: 7, category: "c" }])
  const answered = quote(asked, [coupon("a", "gift", mug)])
  expect(answered).toMatchObject({ discount_minor: 0, benefit_minor: 800, cost_minor: 800, total_minor: 700 })
  expect(answered.applied[0]).toMatchObject({ lines: [], gifts: [mug] })
  const each = { ...mug, for_each: { quantity: 3, applies_to: { categories: ["c"] } } }
  expect(quote(asked, [coupon("a", "gift", each)]).applied[0]!.gifts).toEqual([{ ...mug, quantity: 4 }])
  expect(rejected(quote(order([100]), [coupon("a", "gift", each)]), "a").reason).toBe("nothing_to_discount")
})

test("interest_free: principal parts sum to the price after all discounts, flat or declining", () => {
  const asked = order([110000], { instalments: 3 })
  const of = (interest: "flat" | "declining") =>
    quote(asked, [coupon("a", "interest_free", { periods: 3, rate_bp: 50, interest }, { stacking: { priority: 9 } }), amount("b", 10000)])
  const flat = of("flat")
  expect(flat.applied.map(({ coupon_id }) => coupon_id)).toEqual(["a", "b"])
  expect(flat).toMatchObject({ discount_minor: 10000, benefit_minor: 1500, cost_minor: 11500, total_minor: 100000 })
  expect(flat.applied[0]!.schedule).toEqual([
    { period: 1, principal_minor: 33334, interest_minor: 500 },
    { period: 2, principal_minor: 33333, interest_minor: 500 },
    { period: 3, principal_minor: 33333, interest_minor: 500 },
  ])
  expect(of("declining").applied[0]!.schedule!.map(({ interest_minor }) => interest_minor)).toEqual([500, 333, 167])
})

test("interest_free: only for as many instalments as it says", () => {
  const terms = { periods: 3, rate_bp: 50 }
  for (const instalments of [undefined, 6])
    expect(rejected(quote(order([1000], { instalments }), [coupon("a", "interest_free", terms)]), "a").reason).toBe("nothing_to_discount")
})

test("interest_free: one that is left nothing was never in the way of others", () => {
  const asked = order([1000], { instalments: 3 })
  const group = { group: "g" }
  const finance = coupon("f", "interest_free", { periods: 3, rate_bp: 50 }, { stacking: { ...group, priority: 2 } })
  const answered = quote(asked, [finance, amount("a", 100, { stacking: group }), amount("all", 1000, { stacking: { priority: 9 } })])
  expect(answered.applied.map(({ coupon_id }) => coupon_id)).toEqual(["all"])
  expect(rejected(answered, "f")).toMatchObject({ reason: "nothing_to_discount", needs: { without: ["all"] } })
  expect(rejected(answered, "a")).toMatchObject({ reason: "nothing_to_discount" })
})

test("cash_back: a rate of what is paid, up to its cap", () => {
  const of = (principal_cap_minor: number) =>
    quote(order([10050]), [coupon("a", "cash_back", { rate_bp: 100, principal_cap_minor, days: 7 }), amount("b", 1000)])
  expect(of(10000)).toMatchObject({ discount_minor: 1000, benefit_minor: 91, total_minor: 9050 })
  expect(of(5000).benefit_minor).toBe(50)
})

test("rate_uplift: the worth of a higher rate for some days", () => {
  const of = (principal_cap_minor: number) => quote(order([500000]), [coupon("a", "rate_uplift", { rate_bp: 100, days: 30, principal_cap_minor })]).benefit_minor
  expect([of(9000000), of(250000)]).toEqual([411, 205])
})

test("boundMinor: every kind says whether its terms bound the cost", () => {
  const bound = (kind: string, terms: object, max_minor?: number) => boundMinor({ kind, terms, max_minor })
  expect(bound("fixed_price", { price_minor: 1 })).toBeUndefined()
  expect(bound("tiered_off", { tiers: [{ from: 0, amount_minor: 5 }, { from: 9, amount_minor: 7 }] })).toBe(7)
  expect(bound("tiered_off", { tiers: [{ from: 1, amount_minor: 5 }], repeat: true })).toBeUndefined()
  expect(bound("buy_x_get_y", buyGet(1, 1), 900)).toBe(900)
  expect(bound("bundle", { sets: [{ quantity: 2 }], amount_minor: 50, times: 3 })).toBe(150)
  expect(bound("free_shipping", {}, 500)).toBe(500)
  expect(bound("gift", { sku: "m", unit_price_minor: 10, quantity: 3 }, 5)).toBe(30)
  expect(bound("cash_back", { rate_bp: 100, principal_cap_minor: 5000, days: 1 })).toBe(50)
  expect(bound("rate_uplift", { rate_bp: 100, days: 30, principal_cap_minor: 250000 })).toBe(205)
  expect(bound("interest_free", { periods: 3, rate_bp: 50 })).toBeUndefined()
})

test("nothing_to_discount: a kind that counts says what more would help", () => {
  const asked = order([{ price: 100, quantity: 2, category: "c" }, 300])
  const needs = (kind: string, terms: object) => rejected(quote(asked, [coupon("a", kind, terms)]), "a").needs
  expect(needs("tiered_off", { tiers: [{ from: 800, amount_minor: 10 }] })).toEqual({ spend_more_minor: 300 })
  expect(needs("tiered_off", { by: "quantity", tiers: [{ from: 5, percent_bp: 10 }] })).toEqual({ quantity_more: 2 })
  expect(needs("tiered_off", { by: "unit", tiers: [{ from: 3, percent_bp: 1000 }] })).toEqual({ quantity_more: 1 })
  expect(needs("buy_x_get_y", buyGet(2, 2))).toEqual({ quantity_more: 1 })
  const hats = { applies_to: { categories: ["hats"] } }
  expect(needs("buy_x_get_y", { buy: { quantity: 2 }, get: { quantity: 2, ...hats } })).toEqual({ quantity_more: 2 })
  expect(needs("bundle", { sets: [{ quantity: 1, ...hats }, { quantity: 4 }], percent_bp: 100 })).toEqual({ quantity_more: 2 })
  expect(needs("gift", { sku: "m", unit_price_minor: 1, quantity: 1, for_each: { quantity: 5 } })).toEqual({ quantity_more: 2 })
  expect(needs("interest_free", { periods: 3, rate_bp: 50 })).toBeUndefined()
})

test("interest_free: interest that cannot be counted is not borne", () => {
  const twice = coupon("a", "interest_free", { periods: 2, rate_bp: 10000 })
  expect(rejected(quote(order([Number.MAX_SAFE_INTEGER], { instalments: 2 }), [twice]), "a")).toMatchObject({ reason: "nothing_to_discount" })
  const half = Math.floor(Number.MAX_SAFE_INTEGER / 2)
  expect(quote(order([half], { instalments: 2 }), [twice]).benefit_minor).toBe(2 * half)
})

// not_stackable: one test a rule, in the order in which the rules are looked at; and the order of application.

import { expect, test } from "bun:test"
import { RULES } from "../../engine/pricing/stacking.ts"
import { RULE_NAMES, type CampaignBody, type HeldCoupon, type Stacking } from "../../engine/pricing/types.ts"
import { amount, appliedIds, byLine, coupon, order, percent, quote, rejected } from "./shop.ts"

const cart = order([10000])
const ask = (...coupons: HeldCoupon[]) => quote(cart, coupons)
const held = (id: string, stacking: Stacking, fields: Partial<CampaignBody> = {}) => amount(id, 100, { ...fields, stacking })

test("not_stackable: the rules stand in their order", () => {
  expect(RULES.map(({ name }) => name)).toEqual([...RULE_NAMES])
})

test("exclusive: stands alone, even against a non-exclusive one of higher priority", () => {
  const answered = ask(held("a", { priority: 9 }), held("b", { exclusive: true }))
  expect(appliedIds(answered)).toEqual(["b"])
  expect(rejected(answered, "a")).toMatchObject({
    code: "not_stackable",
    rule: "exclusive",
    other_coupon_id: "b",
    needs: { without: ["b"] },
  })
})

test("exclusive: of several the highest priority, then the first in the list, not the better deal", () => {
  const twenty = percent("twenty", 2000, { stacking: { exclusive: true, priority: 2 } })
  const fixed = amount("fixed", 1000, { stacking: { exclusive: true, priority: 5 } })
  expect(ask(twenty, fixed).total_minor).toBe(9000)
  expect(appliedIds(ask(held("b", { exclusive: true }), held("a", { exclusive: true })))).toEqual(["b"])
})

test("exclusive: one that fails its own conditions keeps nobody away", () => {
  const closed = held("x", { exclusive: true }, { threshold_minor: 99999 })
  const answered = ask(held("a", {}), closed)
  expect(appliedIds(answered)).toEqual(["a"])
  // To stand it would have to be alone, and what it lacks is money.
  expect(rejected(answered, "x")).toMatchObject({ reason: "threshold", needs: { spend_more_minor: 89999 } })
})

test("exclusive: a coupon that fails its own conditions has dropped out before", () => {
  const answered = ask(held("a", {}, { threshold_minor: 99999 }), held("x", { exclusive: true }))
  expect(rejected(answered, "a")).toMatchObject({
    code: "terms_not_met",
    reason: "threshold",
    needs: { without: ["x"], spend_more_minor: 89999 },
  })
})

test("group: the smallest group_max of the members holds", () => {
  const g = (id: string, group_max?: number) => held(id, { group: "g", group_max })
  expect(appliedIds(ask(g("a"), g("b"), held("c", {})))).toEqual(["a", "c"])
  expect(rejected(ask(g("a"), g("b")), "b")).toMatchObject({ rule: "group", other_coupon_id: "a", needs: { without: ["a"] } })
  expect(appliedIds(ask(g("a", 3), g("b", 3), g("c", 2)))).toEqual(["a", "b"])
  expect(appliedIds(ask(g("a", 2), g("b", 3), g("c", 3)))).toEqual(["a", "b"])
})

test("with_groups: a pair needs the yes of both", () => {
  const picky = held("picky", { with_groups: ["friends"] })
  expect(appliedIds(ask(picky, held("f", { group: "friends" }), held("s", { group: "strangers" }), held("n", {})))).toEqual(["picky", "f"])
  expect(rejected(ask(held("n", {}), picky), "picky")).toMatchObject({ rule: "with_groups", other_coupon_id: "n" })
  const shy = held("shy", { group: "friends", with_groups: [] })
  expect(rejected(ask(picky, shy), "shy")).toMatchObject({ rule: "with_groups", other_coupon_id: "picky" })
})

test("per_order: one coupon of a campaign, or as many as it allows", () => {
  const of = (id: string, per_order?: number) => amount(id, 100, { campaign_id: "same", stacking: { per_order } })
  expect(appliedIds(ask(of("a"), of("b")))).toEqual(["a"])
  expect(rejected(ask(of("a"), of("b")), "b")).toMatchObject({ rule: "per_order", other_coupon_id: "a" })
  expect(appliedIds(ask(of("a", 2), of("b", 2), of("c", 2)))).toEqual(["a", "b"])
})

test("not_stackable: needs names all that are in the way", () => {
  const answered = ask(held("x", { exclusive: true }), held("a", { group: "g" }), held("b", { group: "g" }))
  expect(rejected(answered, "b")).toMatchObject({ rule: "exclusive", other_coupon_id: "x", needs: { without: ["x", "a"] } })
})

test("order of application: level, then priority with the higher first, then the place in the list", () => {
  const answered = ask(
    held("payment", { level: "payment", priority: 9 }),
    held("low", {}),
    held("platform", { level: "platform" }),
    held("high", { priority: 3 }),
    held("also_low", {}),
    held("line", { level: "line", priority: -1 }),
  )
  expect(appliedIds(answered)).toEqual(["line", "high", "low", "also_low", "platform", "payment"])
})

test("order of application: the shipping comes last of all, whatever its level and priority", () => {
  const ship = amount("ship", 100, { target: "shipping", stacking: { level: "line", priority: 99 } })
  const answered = quote(order([1000], { shipping_minor: 500 }), [ship, held("p", { level: "payment" })])
  expect(appliedIds(answered)).toEqual(["p", "ship"])
  expect(answered).toMatchObject({ discount_minor: 200, shipping_discount_minor: 100, total_minor: 1300 })
})

test("order of application: among those of the shipping by level too, then priority", () => {
  const ship = (id: string, stacking: Stacking) => amount(id, 100, { target: "shipping", stacking })
  const answered = quote(order([1000], { shipping_minor: 500 }), [ship("payment", { level: "payment", priority: 9 }), ship("shop", {}), ship("line", { level: "line" })])
  expect(appliedIds(answered)).toEqual(["line", "shop", "payment"])
})

test("order of application: decides the amount", () => {
  const fixed = (priority: number) => amount("fixed", 1000, { stacking: { priority } })
  const twenty = (priority: number) => percent("twenty", 2000, { stacking: { priority } })
  expect(ask(fixed(2), twenty(1)).total_minor).toBe(7200)
  expect(ask(twenty(1), fixed(0)).total_minor).toBe(7000)
  expect(quote(cart, [fixed(2), twenty(1)], "named", { profile: "shopify" }).total_minor).toBe(7000)
})

test("percent_base: original takes every percentage of what the level began with", () => {
  const both = (profile: "scrip" | "shopify", level: "shop" | "payment") =>
    quote(cart, [percent("a", 1500), percent("b", 2000, { stacking: { level } })], "named", { profile }).discount_minor
  expect(both("scrip", "shop")).toBe(3200)
  expect(both("shopify", "shop")).toBe(3500)
  expect(both("shopify", "payment")).toBe(3200)
})

test("applied: two percentages in sequence over two lines", () => {
  const lines = order([5000, 15000])
  const answered = quote(lines, [percent("a", 1000), percent("b", 1000)])
  expect([byLine(lines, answered, "a"), byLine(lines, answered, "b")]).toEqual([[500, 1500], [450, 1350]])
})

test("applied: the second fixed amount takes only what a line has left", () => {
  const lines = order([5000, 15000])
  const each = (id: string, amount_minor: number, max: number) =>
    coupon(id, "amount_off", { amount_minor, spread: "each_unit", max_units_per_line: max })
  const answered = quote(lines, [each("a", 3000, 2), each("b", 5000, 1)])
  expect([byLine(lines, answered, "a"), byLine(lines, answered, "b")]).toEqual([[3000, 3000], [2000, 5000]])
})

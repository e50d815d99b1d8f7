// terms_not_met: one test a reason, in the order in which the reasons are looked at.

import { expect, test } from "bun:test"
import { CONDITIONS } from "../../engine/pricing/conditions.ts"
import { REASONS, type CampaignBody, type Order } from "../../engine/pricing/types.ts"
import { amount, appliedIds, order, percent, quote, rejected } from "./shop.ts"

const refusal = (asked: Order, fields: Partial<CampaignBody>) => rejected(quote(asked, [amount("a", 100, fields)]), "a")
const passes = (asked: Order, fields: Partial<CampaignBody>) =>
  expect(appliedIds(quote(asked, [amount("a", 100, fields)]))).toEqual(["a"])

test("terms_not_met: the conditions stand in the order of the reasons", () => {
  expect([...CONDITIONS.map(({ reason }) => reason), "nothing_to_discount"]).toEqual([...REASONS])
})

test("currency: a coupon in another currency is no coupon for this order", () => {
  expect(refusal(order([1000]), { currency: "USD" })).toMatchObject({ code: "terms_not_met", reason: "currency" })
  expect(refusal(order([1000]), { currency: "USD" }).needs).toBeUndefined()
})

test("channel: one of the list, and an order without a channel is in none", () => {
  passes(order([1000], { channel: "app" }), { channels: ["web", "app"] })
  expect(refusal(order([1000], { channel: "kiosk" }), { channels: ["web"] })).toMatchObject({ reason: "channel" })
  expect(refusal(order([1000]), { channels: ["web"] })).toMatchObject({ reason: "channel" })
})

test("region: one of the list", () => {
  passes(order([1000], { region: "de" }), { regions: ["de"] })
  expect(refusal(order([1000], { region: "fr" }), { regions: ["de"] })).toMatchObject({ reason: "region" })
})

test("payment_method: names the one to change to", () => {
  passes(order([1000], { payment_method: "card" }), { payment_methods: ["card"] })
  expect(refusal(order([1000], { payment_method: "cash" }), { payment_methods: ["baitiao", "card"] })).toMatchObject({
    reason: "payment_method",
    needs: { payment_method: "baitiao" },
  })
})

test("payment_method: the first reason that holds is said, and needs names all that must change", () => {
  const asked = order([1000], { payment_method: "cash" })
  expect(refusal(asked, { payment_methods: ["card"], threshold_minor: 1500 })).toMatchObject({
    reason: "payment_method",
    needs: { payment_method: "card", spend_more_minor: 500 },
  })
  expect(refusal(asked, { payment_methods: ["card"], first_order: true }).needs).toBeUndefined()
})

test("payment_method: a rival that the change would bring too is named with it", () => {
  const both = (fields: Partial<CampaignBody>) =>
    quote(order([1000], { payment_method: "cash" }), [
      amount("a", 100, { payment_methods: ["card"], ...fields }), amount("b", 50, { payment_methods: ["card"], ...fields }),
    ])
  expect(rejected(both({ stacking: { group: "g" } }), "b").needs).toEqual({ payment_method: "card", without: ["a"] })
  expect(rejected(both({}), "b").needs).toEqual({ payment_method: "card" })
})

test("payment_instrument: in the one list and not in the other", () => {
  const gold = order([1000], { payment_instrument: "gold" })
  passes(gold, { payment_instruments: ["gold"], not_payment_instruments: ["blue"] })
  passes(order([1000]), { not_payment_instruments: ["gold"] })
  expect(refusal(gold, { not_payment_instruments: ["gold"] })).toMatchObject({ reason: "payment_instrument" })
  expect(refusal(order([1000]), { payment_instruments: ["gold"] })).toMatchObject({ reason: "payment_instrument" })
})

const hours = { time_zone: "Asia/Shanghai", weekdays: [5], from: "22:00", to: "02:00" }
const at = (day: number, hour: number, minute = 0) => Date.UTC(2026, 10, day, hour - 8, minute)

test("hours: half-open, over midnight they belong to the day on which they began", () => {
  const open = (now_ms: number) =>
    quote(order([1000]), [amount("a", 100, { hours })], "named", { now_ms }).applied.length === 1
  // Friday is the 20th of November 2026.
  expect([at(20, 21, 59), at(20, 22), at(21, 1, 59), at(21, 2), at(20, 1), at(21, 22)].map(open)).toEqual([
    false, true, true, false, false, false,
  ])
})

test("hours: needs names the next opening, unless the coupon has ended by then", () => {
  const closed = (ends_at_ms: number) =>
    rejected(quote(order([1000]), [amount("a", 100, { hours, ends_at_ms })], "named", { now_ms: at(21, 12) }), "a")
  expect(closed(at(29, 0))).toMatchObject({ reason: "hours", needs: { from_at: new Date(at(27, 22)).toISOString() } })
  expect(closed(at(27, 22)).needs).toBeUndefined()
})

test("hours: follow the zone's clock over its change", () => {
  // Berlin leaves summer time on the 25th of October 2026 at 01:00 UTC.
  const fields = { hours: { time_zone: "Europe/Berlin", from: "09:00", to: "10:00" } }
  const open = (now_ms: number) => quote(order([1000]), [amount("a", 100, fields)], "named", { now_ms }).applied.length
  expect(open(Date.UTC(2026, 9, 24, 7, 30))).toBe(1)
  expect(open(Date.UTC(2026, 9, 25, 7, 30))).toBe(0)
  expect(open(Date.UTC(2026, 9, 25, 8, 30))).toBe(1)
})

test("first_order: only where the order says so", () => {
  passes(order([1000], { first_order: true }), { first_order: true })
  expect(refusal(order([1000]), { first_order: true })).toMatchObject({ reason: "first_order" })
})

test("segment: any of them", () => {
  passes(order([1000], { segments: ["x", "new"] }), { segments: ["new", "back"] })
  expect(refusal(order([1000], { segments: ["x"] }), { segments: ["new"] })).toMatchObject({ reason: "segment" })
})

test("badge: the level or a higher one", () => {
  const min_badge = { badge_id: "loyal", level: 2 }
  passes(order([1000], { badges: { loyal: 3 } }), { min_badge })
  expect(refusal(order([1000], { badges: { loyal: 1 } }), { min_badge })).toMatchObject({ reason: "badge" })
  expect(refusal(order([1000]), { min_badge })).toMatchObject({ reason: "badge" })
})

test("lines: between lists all, inside one any, and any not_ wins", () => {
  const cart = order([
    { price: 1000, category: "shoes", brand: "x" },
    { price: 1000, category: "shoes", brand: "y" },
    { price: 1000, category: "hats", brand: "x" },
  ])
  const hit = (applies_to: CampaignBody["applies_to"]) =>
    quote(cart, [percent("a", 1000, { applies_to })]).applied.flatMap(({ lines }) => lines.map(({ line_id }) => line_id))
  expect(hit({ categories: ["shoes"], brands: ["x", "z"] })).toEqual(["l1"])
  expect(hit({ categories: ["shoes"], not_brands: ["x"] })).toEqual(["l2"])
  expect(hit({ skus: ["s1", "s3"], not_skus: ["s1"] })).toEqual(["l3"])
  expect(hit({ not_merchants: ["m"] })).toEqual(["l1", "l2", "l3"])
  expect(refusal(cart, { applies_to: { merchants: ["m"] } })).toMatchObject({ reason: "lines", needs: { quantity_more: 1 } })
  // A threshold of the whole order says nothing of the coupon's own lines.
  const ofOrder = (fields: Partial<CampaignBody>) => refusal(cart, { applies_to: { merchants: ["m"] }, threshold_of: "order", ...fields }).needs
  expect(ofOrder({ threshold_minor: 100 })).toEqual({ quantity_more: 1 })
  expect(ofOrder({ threshold_minor: 100, payment_methods: ["card"] })).toEqual({ payment_method: "card", quantity_more: 1 })
  expect(ofOrder({ threshold_quantity: 9 })?.quantity_more).toBeGreaterThan(1)
})

test("lines: only_undiscounted leaves lines below their list price alone", () => {
  const cart = order([{ price: 1500, list_price_minor: 2000 }, 4000, 1000])
  const asked = quote(cart, [amount("a", 1000, { only_undiscounted: true })])
  expect(asked.applied[0]!.lines.map(({ discount_minor }) => discount_minor)).toEqual([800, 200])
})

test("quantity: counts the eligible units, or the order's", () => {
  const cart = order([{ price: 100, quantity: 2, category: "c" }, { price: 100, quantity: 3 }])
  const applies_to = { categories: ["c"] }
  expect(refusal(cart, { applies_to, threshold_quantity: 3 })).toMatchObject({ reason: "quantity", needs: { quantity_more: 1 } })
  passes(cart, { applies_to, threshold_quantity: 5, threshold_of: "order" })
})

test("threshold: reached is enough, of eligible lines, without the shipping", () => {
  const cart = order([9596], { shipping_minor: 1000 })
  passes(order([10000]), { threshold_minor: 10000 })
  expect(refusal(cart, { threshold_minor: 10000 })).toMatchObject({ reason: "threshold", needs: { spend_more_minor: 404 } })
})

test("threshold: of the order counts all lines", () => {
  const cart = order([{ price: 1000, category: "c" }, 5000])
  const applies_to = { categories: ["c"] }
  expect(refusal(cart, { applies_to, threshold_minor: 5000 })).toMatchObject({ reason: "threshold" })
  passes(cart, { applies_to, threshold_minor: 6000, threshold_of: "order" })
})

test("threshold: sees what earlier coupons have left, unless it sees the original", () => {
  const cart = order([10000])
  const both = (fields: Partial<CampaignBody>) =>
    quote(cart, [percent("first", 2000, { stacking: { priority: 1 } }), amount("second", 100, { threshold_minor: 9000, ...fields })])
  expect(rejected(both({}), "second")).toMatchObject({ reason: "threshold", needs: { without: ["first"] } })
  expect(appliedIds(both({ threshold_sees: "original" }))).toEqual(["first", "second"])
})

test("threshold: where leaving another coupon is not enough, it names what is missing at its turn", () => {
  const asked = quote(order([10000]), [percent("first", 2000), amount("second", 100, { threshold_minor: 11000 })])
  // A fifth of it is taken off before.
  expect(rejected(asked, "second").needs).toEqual({ spend_more_minor: 3750 })
})

test("nothing_to_discount: a coupon is never applied with 0", () => {
  expect(refusal(order([0]), {})).toMatchObject({ code: "terms_not_met", reason: "nothing_to_discount" })
  expect(refusal(order([{ price: 500, floor_minor: 500 }]), {})).toMatchObject({ reason: "nothing_to_discount" })
  expect(refusal(order([500]), { target: "shipping" })).toMatchObject({ reason: "nothing_to_discount" })
  expect(rejected(quote(order([3]), [percent("a", 1000)]), "a")).toMatchObject({ reason: "nothing_to_discount" })
})

test("nothing_to_discount: an earlier coupon took it all, and without it there is something", () => {
  const asked = quote(order([500]), [amount("first", 900), amount("second", 100)])
  expect(rejected(asked, "second")).toMatchObject({ reason: "nothing_to_discount", needs: { without: ["first"] } })
})

test("terms_not_met: says why in a sentence", () => {
  expect(refusal(order([1000]), { threshold_minor: 2000 }).detail).toBe("The items come to 1000 of the 2000 that the coupon asks for.")
})

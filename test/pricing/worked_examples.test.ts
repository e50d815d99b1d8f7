// Facts from the documentation and the tests of other systems, each under the policy of the system it comes from.
//
// The references disagree on purpose (who gets the odd cent, what a second percentage is taken of), so every row names
// its profile. What Scrip leaves to others is named at the end, so that every gap is a decision.

import { expect, test } from "bun:test"
import type { Profile } from "../../engine/pricing/policy.ts"
import type { HeldCoupon, Order } from "../../engine/pricing/types.ts"
import { amount, byLine, coupon, order, percent, quote } from "./shop.ts"

type Row = {
  readonly id: string
  readonly says: string
  readonly profile?: Profile
  readonly order: Order
  readonly coupons: readonly HeldCoupon[]
  /** What each line is discounted by, in all or coupon by coupon. */
  readonly lines?: readonly number[]
  readonly each?: readonly (readonly number[])[]
  readonly total?: number
}

const floors = (...lines: readonly [price: number, floor: number, quantity?: number][]): Order =>
  order(lines.map(([price, floor_minor, quantity = 1]) => ({ price, floor_minor, quantity })))

const units = (price: number, quantity: number, category?: string) => ({ price, quantity, category })
const unitAmount = (id: string, amount_minor: number, more: object = {}) =>
  coupon(id, "amount_off", { amount_minor, spread: "each_unit", ...more })
const linePercent = (id: string, percent_bp: number, more: object = {}) =>
  coupon(id, "percent_off", { percent_bp, per: "line", ...more })
const firstThenSecond = (a: HeldCoupon, b: HeldCoupon) => [a, b]
const category = (...categories: string[]) => ({ applies_to: { categories } })

const ROWS: readonly Row[] = [
  { id: "A-1", says: "floor, then one more from the first line", profile: "sylius", order: order([4300, 1400, 2300]), coupons: [amount("a", 300)], lines: [162, 52, 86] },
  { id: "A-1", says: "the same by largest fraction", order: order([4300, 1400, 2300]), coupons: [amount("a", 300)], lines: [161, 53, 86] },
  { id: "A-4", says: "rounded down at the half, one less", profile: "sylius", order: order([4300, 1400, 2300]), coupons: [amount("a", 299)], lines: [161, 52, 86] },
  { id: "A-10", says: "the odd cents to the earlier lines", profile: "vendure", order: order([1000, 1000, 1000]), coupons: [amount("a", 299)], lines: [100, 100, 99] },
  { id: "A-12", says: "many small lines", profile: "vendure", order: order([10, 20, 10, 30, 50, 20, 10, 40]), coupons: [amount("a", 93)], lines: [5, 10, 5, 15, 24, 10, 5, 19] },
  { id: "A-15", says: "leftover units from the first line", profile: "solidus", order: order([12000, 23000, 30000]), coupons: [amount("a", 5000)], lines: [924, 1769, 2307] },
  { id: "A-18", says: "no odd cents", profile: "solidus", order: order([2000, 3000, 10000]), coupons: [amount("a", 1500)], lines: [200, 300, 1000] },
  { id: "A-20", says: "the last line takes the rest", profile: "reaction", order: order([1000, 1000, 1000]), coupons: [amount("a", 1000)], lines: [333, 333, 334] },
  { id: "A-22", says: "an order voucher over two lines", profile: "saleor", order: order([400, 4500]), coupons: [amount("a", 500)], lines: [41, 459], total: 4400 },
  {
    id: "A-24",
    says: "only eligible lines carry it",
    profile: "voucherify",
    order: order([units(2000, 1, "x"), units(8000, 1, "x"), 5000, 180000]),
    coupons: [amount("a", 1000, category("x"))],
    lines: [200, 800, 0, 0],
    total: 194000,
  },
  { id: "A-26", says: "two fees", profile: "lago", order: order([200, 100]), coupons: [amount("a", 12)], lines: [8, 4] },
  { id: "A-28", says: "over lines of two units", profile: "medusa", order: order([units(10000, 2), units(30000, 2)]), coupons: [amount("a", 40000)], lines: [10000, 30000] },
  { id: "A-30", says: "two lines alike", profile: "vendure", order: order([500, 500]), coupons: [amount("a", 500)], lines: [250, 250], total: 500 },

  { id: "B-2", says: "what a floor refuses goes to the others", profile: "sylius", order: floors([5000, 4500], [2000, 0, 3]), coupons: [amount("a", 2500)], lines: [500, 2000] },
  { id: "B-6", says: "what finds no room is dropped", profile: "sylius", order: floors([1000, 0], [2000, 1900], [5000, 5000], [3000, 2600]), coupons: [amount("a", 2000)], lines: [1000, 100, 0, 400] },
  { id: "B-8", says: "shared again until nothing moves", profile: "sylius", order: floors([5000, 4500, 2], [2000, 1500, 2], [3000, 0], [1000, 0]), coupons: [amount("a", 3600)], lines: [1000, 1000, 1200, 400] },
  { id: "B-10", says: "a percentage of the order too", profile: "sylius", order: floors([5000, 4500], [2000, 0]), coupons: [percent("a", 2000)], lines: [500, 900], total: 5600 },
  { id: "B-12", says: "an item's percentage is cut", profile: "sylius", order: floors([5000, 4500]), coupons: [linePercent("a", 5000)], total: 4500 },

  { id: "C-2", says: "each unit rounded", profile: "saleor", order: order([106, 206, 306, 406]), coupons: [percent("a", 1000)], lines: [11, 21, 31, 41] },
  { id: "C-2", says: "the sum rounded once", order: order([106, 206, 306, 406]), coupons: [percent("a", 1000)], total: 1024 - 102 },
  { id: "C-8", says: "a cap that is not reached", profile: "solidus", order: order([1200, 2300, 1000]), coupons: [percent("a", 1500, { max_minor: 5000 })], lines: [180, 345, 150] },
  { id: "C-10", says: "at most one unit", profile: "reaction", order: order([units(1200, 3)]), coupons: [coupon("a", "percent_off", { percent_bp: 5000, max_units: 1 })], total: 3000 },
  {
    id: "C-14",
    says: "tiers by all units, the percentage on some",
    profile: "solidus",
    order: order([units(5000, 7, "shirts"), units(1000, 5, "pants")]),
    coupons: [coupon("a", "percent_off", { percent_bp: 1500 }, { ...category("shirts"), threshold_quantity: 10, threshold_of: "order" })],
    lines: [5250, 0],
  },
  {
    id: "C-16",
    says: "the first nothing, each further 1.23",
    profile: "solidus",
    order: order([units(1000, 10)]),
    coupons: [coupon("a", "tiered_off", { by: "unit", tiers: [{ from: 2, amount_minor: 123 }] })],
    lines: [1107],
  },
  {
    id: "C-20",
    says: "groups of three of a line",
    profile: "solidus",
    order: order([units(1000, 3, "x"), 2000]),
    coupons: [coupon("a", "bundle", { sets: [{ quantity: 3, applies_to: { categories: ["x"] } }], percent_bp: 1000 })],
    lines: [300, 0],
  },
  { id: "C-22", says: "15 % of 19.99", profile: "saleor", order: order([1999]), coupons: [percent("a", 1500)], lines: [300] },

  { id: "D-2", says: "never below zero", profile: "sylius", order: order([10000]), coupons: [amount("a", 20000)], total: 0 },
  { id: "D-4", says: "never the shipping", profile: "vendure", order: order([100], { shipping_minor: 500 }), coupons: [amount("a", 1000)], total: 500 },
  { id: "D-10", says: "fixed first, then the percentage", profile: "sylius", order: order([10000]), coupons: [percent("b", 2000), amount("a", 1000, { stacking: { priority: 1 } })], total: 7200 },
  { id: "D-16", says: "a tier, then an amount", profile: "voucherify", order: order([units(200000, 2)]), coupons: [percent("a", 1000), amount("b", 500)], each: [[40000], [500]], total: 359500 },
  { id: "D-18", says: "the percentage first", profile: "ucp", order: order([10000]), coupons: firstThenSecond(percent("a", 2000), amount("b", 1000)), total: 7000 },
  { id: "D-28", says: "two percentages in sequence", profile: "medusa", order: order([5000, 15000]), coupons: firstThenSecond(percent("a", 1000), percent("b", 1000)), each: [[500, 1500], [450, 1350]] },
  {
    id: "D-30",
    says: "each unit so much, then so much again",
    profile: "medusa",
    order: order([5000, 15000]),
    coupons: firstThenSecond(unitAmount("a", 3000, { max_units_per_line: 2 }), unitAmount("b", 5000, { max_units_per_line: 1 })),
    each: [[3000, 3000], [2000, 5000]],
  },
  {
    id: "D-36",
    says: "off the items, then off the order",
    profile: "sylius",
    order: order([units(6000, 2, "x"), 4000]),
    coupons: firstThenSecond(coupon("a", "amount_off", { amount_minor: 2000, spread: "each_unit" }, category("x")), amount("b", 1000)),
    each: [[4000, 0], [667, 333]],
  },
  {
    id: "D-38",
    says: "not on what is discounted already",
    profile: "sylius",
    order: order([{ price: 1500, list_price_minor: 2000 }, 4000, 1000]),
    coupons: [amount("a", 1000, { only_undiscounted: true })],
    lines: [0, 800, 200],
    total: 5500,
  },
  {
    id: "D-40",
    says: "13 %, then 13 % of one unit",
    profile: "saleor",
    order: order([units(1999, 2)]),
    coupons: firstThenSecond(percent("a", 1300), coupon("b", "percent_off", { percent_bp: 1300, max_units: 1 })),
    each: [[520], [226]],
  },
  { id: "D-46", says: "after item discounts", profile: "saleor", order: order([units(2000, 2, "x"), 3500]), coupons: firstThenSecond(coupon("a", "amount_off", { amount_minor: 500, spread: "each_unit" }, category("x")), percent("b", 5000)), each: [[1000, 0], [1500, 1750]], total: 3250 },
  { id: "D-48", says: "once, on the cheapest unit", profile: "saleor", order: order([400, 4500]), coupons: [unitAmount("a", 500, { max_units: 1 })], lines: [400, 0], total: 4500 },
  { id: "D-52", says: "15 %, then 20 %", profile: "lago", order: order([100]), coupons: firstThenSecond(percent("a", 1500), percent("b", 2000)), total: 68 },
  {
    id: "D-54",
    says: "a coupon stays within its own lines",
    profile: "lago",
    order: order([units(75, 1, "plan"), units(12, 1, "metric"), units(13, 1, "rest")]),
    coupons: [amount("a", 82, category("plan")), amount("b", 5, category("metric")), amount("c", 20, category("other"))],
    each: [[75, 0, 0], [0, 5, 0]],
    total: 20,
  },

  { id: "F-4", says: "buy 2 get 2 of the same", profile: "medusa", order: order([units(250, 4)]), coupons: [coupon("a", "buy_x_get_y", { buy: { quantity: 2 }, get: { quantity: 2 } })], lines: [500] },
  { id: "F-6", says: "the two cheap ones are free", profile: "medusa", order: order([500, 500, 1000, 1000]), coupons: [coupon("a", "buy_x_get_y", { buy: { quantity: 2 }, get: { quantity: 2 } })], lines: [500, 500, 0, 0] },

  { id: "I-2", says: "each unit carries its part", order: order([units(10000, 3)]), coupons: [percent("a", 1000)], lines: [3000] },
  { id: "K-2", says: "the lines minus the discount are the total", order: order([915150]), coupons: [percent("a", 1000)], total: 915150 - 91515 },
  { id: "K-4", says: "a percentage of what is left, never of what is gone", order: order([units(1000, 10)]), coupons: firstThenSecond(percent("a", 4000), percent("b", 7000)), total: 1800 },
]

for (const row of ROWS) {
  test(`worked example ${row.id}: ${row.says} (${row.profile ?? "scrip"})`, () => {
    const answered = quote(row.order, row.coupons, "named", { profile: row.profile })
    if (row.lines) expect(byLine(row.order, answered)).toEqual([...row.lines])
    if (row.each) expect(answered.applied.map(({ coupon_id }) => byLine(row.order, answered, coupon_id))).toEqual(row.each.map((line) => [...line]))
    if (row.total !== undefined) expect(answered.total_minor).toBe(row.total)
  })
}

// Out of scope, so their examples stay with the systems they come from: tax (the net prices of D-24, the rates of A-30),
// currency conversion, stored-value balances (gift cards, wallets), subscriptions, discounts given by staff (D-50),
// confirming less than was held (H-2), and catalogue prices, which reach us as list_price_minor (B-14, D-14).

// The table of worked examples: what other systems document or test with exact numbers, in Scrip's words.
//
// Every row is plain data: an order, campaigns as an operator would send them, and what must come out. So the same rows
// run in process, through drafts over HTTP and in the browser's bundle. The references disagree on purpose (who gets the
// odd cent, what a second percentage is taken of), so each row names its profile. `id` is the row's in the collection
// they come from, or S and a number for those gathered later; SOURCES says where each prefix was read.

import type { Profile } from "../../engine/pricing/policy.ts"
import type { CampaignBody, Order, OrderLine, Quote } from "../../engine/pricing/types.ts"

export const SOURCES = {
  SYL: "Sylius: features/ and spec/ of github.com/Sylius/Sylius",
  VEN: "Vendure: packages/core of github.com/vendure-ecommerce/vendure",
  SOL: "Solidus: promotions/spec of github.com/solidusio/solidus",
  SPR: "Spree: core/spec/models/spree of github.com/spree/spree",
  SAL: "Saleor: tests of github.com/saleor/saleor and docs.saleor.io",
  MED: "Medusa: the promotion module's tests of github.com/medusajs/medusa",
  LAG: "Lago: spec/services of github.com/getlago/lago-api",
  VCH: "Voucherify: guides at docs.voucherify.io",
  SHP: "Shopify: help.shopify.com/manual/discounts/combining-discounts/examples",
  UCP: "Universal Commerce Protocol: docs/specification/discount.md",
  REA: "Reaction: api-plugin-promotions-discounts of github.com/reactioncommerce/reaction",
  SHW: "Shopware: unit tests of github.com/shopware/shopware",
  CT: "commercetools: discount and cart rounding in docs.commercetools.com",
  T1: "Talon.One: docs.talon.one",
  STR: "Stripe: the API reference of coupons",
  TB: "TigerBeetle: balancing transfers, state_machine tests of github.com/tigerbeetle/tigerbeetle",
  OTH: "a write-up or an issue, named in the row",
} as const

export type Draft = CampaignBody

/** What a row expects; what it does not name is not looked at. Lines are by place, zeros kept. */
export type Expected = {
  readonly lines?: readonly number[]
  /** By applied coupon in the order of application. */
  readonly each?: readonly (readonly number[])[]
  readonly total?: number
  readonly discount?: number
  readonly shipping?: number
  readonly benefit?: number
  readonly applied?: readonly string[]
  /** Of one line, its units' discounts in runs. */
  readonly units?: readonly { readonly line: number; readonly runs: readonly (readonly [quantity: number, discount_minor: number])[] }[]
  /** By coupon: the code, the reason or the rule of its refusal. */
  readonly rejected?: Readonly<Record<string, string>>
}

export type Example = {
  readonly id: string
  readonly source: keyof typeof SOURCES
  readonly says: string
  readonly profile?: Profile
  readonly order: Order
  readonly drafts: readonly Draft[]
  /** A named list of all drafts in their order, unless the best is asked for. */
  readonly wish?: "best"
  /** What the budgets have, for the rows about money that runs short. */
  readonly funds?: Readonly<Record<string, number>>
  readonly expect: Expected
}

// --- words for rows

type LineWords = number | ({ price: number; quantity?: number } & Partial<OrderLine>)

const cart = (lines: readonly LineWords[], fields: Partial<Order> = {}): Order => ({
  currency: "EUR",
  ...fields,
  lines: lines.map((words, i) => {
    const { price, quantity = 1, ...rest } = typeof words === "number" ? { price: words } : words
    return { line_id: `l${i + 1}`, sku: `s${i + 1}`, unit_price_minor: price, quantity, ...rest }
  }),
})
const units = (price: number, quantity: number, category?: string) => ({ price, quantity, ...(category && { category }) })
const floors = (...lines: readonly [price: number, floor: number, quantity?: number][]): Order =>
  cart(lines.map(([price, floor_minor, quantity = 1]) => ({ price, floor_minor, quantity })))

type More = Partial<Omit<Draft, "campaign_id" | "kind" | "terms">>
const draft = (campaign_id: string, kind: string, terms: object, more: More = {}): Draft => ({ campaign_id, kind, terms, ...more })
const amount = (id: string, amount_minor: number, more: More = {}): Draft => draft(id, "amount_off", { amount_minor }, more)
const eachUnit = (id: string, amount_minor: number, more: More = {}, terms: object = {}): Draft =>
  draft(id, "amount_off", { amount_minor, spread: "each_unit", ...terms }, more)
const percent = (id: string, percent_bp: number, more: More = {}, terms: object = {}): Draft => draft(id, "percent_off", { percent_bp, ...terms }, more)
const on = (...categories: string[]): More => ({ applies_to: { categories } })
const onSkus = (...skus: string[]): More => ({ applies_to: { skus } })
const rank = (priority: number): More => ({ stacking: { priority } })
const LINE: More = { stacking: { level: "line" } }
const bxgy = (id: string, buy: number, get: number, terms: object = {}, more: More = {}): Draft =>
  draft(id, "buy_x_get_y", { buy: { quantity: buy }, get: { quantity: get }, percent_bp: 10000, ...terms }, more)

const shopify = cart([units(10000, 1, "pants"), units(5000, 1, "shirts"), units(20000, 1, "boots")], { shipping_minor: 2000 })
const tieredPercent = (base: number, ...tiers: [from: number, bp: number][]) => ({
  by: "amount",
  tiers: [{ from: 0, percent_bp: base }, ...tiers.map(([from, percent_bp]) => ({ from, percent_bp }))],
})
const solTiers = tieredPercent(1000, [2000, 1500], [3000, 2000])
const venGross = cart([units(1000, 2, "t"), 3499, units(255, 4)])

export const EXAMPLES: readonly Example[] = [
  // --- A. one amount over lines
  { id: "A-1", source: "SYL", says: "rounded half down each, then one more from the first", profile: "sylius", order: cart([4300, 1400, 2300]), drafts: [amount("a", 300)], expect: { lines: [162, 52, 86] } },
  { id: "A-1", source: "VEN", says: "the same by largest fraction", profile: "vendure", order: cart([4300, 1400, 2300]), drafts: [amount("a", 300)], expect: { lines: [161, 53, 86] } },
  { id: "A-2", source: "SYL", says: "no odd cents", profile: "sylius", order: cart([4000, 2000, 2000]), drafts: [amount("a", 300)], expect: { lines: [150, 75, 75] } },
  { id: "A-2", source: "VEN", says: "no odd cents", profile: "vendure", order: cart([4000, 2000, 2000]), drafts: [amount("a", 300)], expect: { lines: [150, 75, 75] } },
  { id: "A-4", source: "SYL", says: "an amount that no number of lines divides", profile: "sylius", order: cart([4300, 1400, 2300]), drafts: [amount("a", 299)], expect: { lines: [161, 52, 86] } },
  { id: "A-4", source: "VEN", says: "the same by largest fraction", profile: "vendure", order: cart([4300, 1400, 2300]), drafts: [amount("a", 299)], expect: { lines: [161, 52, 86] } },
  { id: "A-6", source: "SYL", says: "nothing to carry it", profile: "sylius", order: cart([0]), drafts: [amount("a", 299)], expect: { lines: [0], total: 0, rejected: { a: "nothing_to_discount" } } },
  { id: "A-10", source: "VEN", says: "the odd cents to the earlier lines", profile: "vendure", order: cart([1000, 1000, 1000]), drafts: [amount("a", 299)], expect: { lines: [100, 100, 99] } },
  { id: "A-12", source: "VEN", says: "many small lines", profile: "vendure", order: cart([10, 20, 10, 30, 50, 20, 10, 40]), drafts: [amount("a", 93)], expect: { lines: [5, 10, 5, 15, 24, 10, 5, 19] } },
  { id: "S-1", source: "VEN", says: "many small lines, evenly", profile: "vendure", order: cart([10, 20, 10, 30, 50, 20, 10, 40]), drafts: [amount("a", 95)], expect: { lines: [5, 10, 5, 15, 25, 10, 5, 20] } },
  { id: "S-2", source: "VEN", says: "a line that costs nothing gets nothing", profile: "vendure", order: cart([100, 0]), drafts: [amount("a", 40)], expect: { lines: [40, 0] } },
  { id: "A-15", source: "SOL", says: "leftover units from the first line", profile: "solidus", order: cart([12000, 23000, 30000]), drafts: [amount("a", 5000)], expect: { lines: [924, 1769, 2307] } },
  { id: "A-16", source: "SOL", says: "three alike: one of them carries the odd cent", profile: "solidus", order: cart([5000, 5000, 5000]), drafts: [amount("a", 1000)], expect: { lines: [334, 333, 333] } },
  { id: "A-18", source: "SOL", says: "in proportion to what the lines cost", profile: "solidus", order: cart([2000, 3000, 10000]), drafts: [amount("a", 1500)], expect: { lines: [200, 300, 1000], total: 13500 } },
  { id: "A-20", source: "REA", says: "the last line takes the rest", profile: "reaction", order: cart([1000, 1000, 1000]), drafts: [amount("a", 1000)], expect: { lines: [333, 333, 334] } },
  { id: "S-3", source: "REA", says: "two lines alike", profile: "reaction", order: cart([1000, 1000]), drafts: [amount("a", 1000)], expect: { lines: [500, 500] } },
  { id: "A-22", source: "SAL", says: "an order voucher over two lines", profile: "saleor", order: cart([400, 4500]), drafts: [amount("a", 500)], expect: { lines: [41, 459], total: 4400 } },
  { id: "A-24", source: "VCH", says: "only eligible lines carry it", profile: "voucherify", order: cart([units(2000, 1, "x"), units(8000, 1, "x"), 5000, 180000]), drafts: [amount("a", 1000, on("x"))], expect: { lines: [200, 800, 0, 0], total: 194000 } },
  { id: "A-26", source: "LAG", says: "two fees", profile: "lago", order: cart([200, 100]), drafts: [amount("a", 12)], expect: { lines: [8, 4] } },
  { id: "A-28", source: "MED", says: "over lines of two units", profile: "medusa", order: cart([units(10000, 2), units(30000, 2)]), drafts: [amount("a", 40000)], expect: { lines: [10000, 30000] } },
  { id: "A-30", source: "VEN", says: "two lines alike, whatever their tax", profile: "vendure", order: cart([500, 500]), drafts: [amount("a", 500)], expect: { lines: [250, 250], total: 500 } },

  // --- B. floors
  { id: "B-2", source: "SYL", says: "what a floor refuses goes to the others, unit by unit", profile: "sylius", order: floors([5000, 4500], [2000, 0, 3]), drafts: [amount("a", 2500)], expect: { lines: [500, 2000], units: [{ line: 1, runs: [[2, 667], [1, 666]] }] } },
  { id: "B-3", source: "SYL", says: "a fixed order discount over a floored and a free line", profile: "sylius", order: floors([5000, 4500], [2000, 0]), drafts: [amount("a", 2000)], expect: { lines: [500, 1500], total: 5000 } },
  { id: "B-4", source: "SYL", says: "a line on sale already carries nothing", profile: "sylius", order: cart([{ price: 5000, floor_minor: 4500, list_price_minor: 6000 }, 2000]), drafts: [amount("a", 1500, { only_undiscounted: true })], expect: { lines: [0, 1500] } },
  { id: "B-6", source: "SYL", says: "what finds no room is dropped", profile: "sylius", order: floors([1000, 0], [2000, 1900], [5000, 5000], [3000, 2600]), drafts: [amount("a", 2000)], expect: { lines: [1000, 100, 0, 400], total: 9500 } },
  { id: "S-4", source: "SYL", says: "shared again over the rest, 12.00", profile: "sylius", order: floors([1000, 0], [2000, 1900], [5000, 5000], [3000, 2600]), drafts: [amount("a", 1200)], expect: { lines: [700, 100, 0, 400] } },
  { id: "S-5", source: "SYL", says: "two floors almost at the price", profile: "sylius", order: floors([1000, 0], [2000, 1900], [5000, 5000], [3000, 2900]), drafts: [amount("a", 1200)], expect: { lines: [1000, 100, 0, 100] } },
  { id: "B-8", source: "SYL", says: "shared again until nothing moves", profile: "sylius", order: floors([5000, 4500, 2], [2000, 1500, 2], [3000, 0], [1000, 0]), drafts: [amount("a", 3600)], expect: { lines: [1000, 1000, 1200, 400], units: [{ line: 0, runs: [[2, 500]] }, { line: 1, runs: [[2, 500]] }] } },
  { id: "S-6", source: "SYL", says: "the rest in proportion, 27.00", profile: "sylius", order: floors([5000, 4500, 2], [2000, 0, 2], [4000, 0]), drafts: [amount("a", 2700)], expect: { lines: [1000, 850, 850], units: [{ line: 1, runs: [[2, 425]] }] } },
  { id: "S-7", source: "SYL", says: "units carry 3.34, 3.33 and 3.33", profile: "sylius", order: floors([5000, 4500, 2], [2000, 0, 3]), drafts: [amount("a", 2000)], expect: { lines: [1000, 1000], units: [{ line: 1, runs: [[1, 334], [2, 333]] }] } },
  { id: "S-8", source: "SYL", says: "floors and a line on sale together", profile: "sylius", order: cart([{ price: 5000, floor_minor: 4500, quantity: 2 }, { price: 1750, list_price_minor: 2000, quantity: 2 }, 4000]), drafts: [amount("a", 2700, { only_undiscounted: true })], expect: { lines: [1000, 0, 1700] } },
  { id: "S-9", source: "SYL", says: "10.00 off each product, cut at its floor", profile: "sylius", order: floors([5000, 4500], [2000, 0]), drafts: [eachUnit("a", 1000)], expect: { lines: [500, 1000], total: 5500 } },
  { id: "S-10", source: "SYL", says: "50.00 off two of them at their floor", profile: "sylius", order: floors([5000, 4500, 2]), drafts: [amount("a", 5000, { threshold_quantity: 2 })], expect: { discount: 1000, total: 9000 } },
  { id: "S-11", source: "SYL", says: "a floor of 58.00 of 60.00", profile: "sylius", order: floors([6000, 5800], [4000, 0]), drafts: [amount("a", 1000)], expect: { lines: [200, 800] } },
  { id: "S-12", source: "SYL", says: "more than the order", profile: "sylius", order: cart([6000, 4000]), drafts: [amount("a", 15000)], expect: { lines: [6000, 4000], total: 0 } },
  { id: "B-10", source: "SYL", says: "a percentage of the order too", profile: "sylius", order: floors([5000, 4500], [2000, 0]), drafts: [percent("a", 2000)], expect: { lines: [500, 900], total: 5600 } },
  { id: "B-12", source: "SYL", says: "an item's percentage is cut", profile: "sylius", order: floors([5000, 4500]), drafts: [percent("a", 5000, {}, { per: "unit" })], expect: { lines: [500], total: 4500 } },
  { id: "B-14", source: "SYL", says: "at the floor a second one adds nothing and is not applied", profile: "sylius", order: floors([2000, 1500]), drafts: [percent("a", 8000), percent("b", 4000)], expect: { total: 1500, applied: ["a"], rejected: { b: "nothing_to_discount" } } },

  // --- C. one amount: percent, caps, tiers, rounding
  { id: "C-2", source: "SAL", says: "each unit rounded", profile: "saleor", order: cart([106, 206, 306, 406]), drafts: [percent("a", 1000)], expect: { lines: [11, 21, 31, 41], discount: 104 } },
  { id: "C-2", source: "VCH", says: "the sum rounded once", profile: "scrip", order: cart([106, 206, 306, 406]), drafts: [percent("a", 1000)], expect: { discount: 102 } },
  { id: "C-4", source: "SAL", says: "ten units at a cent: the line is rounded, not the unit", profile: "saleor", order: cart([units(1, 10)]), drafts: [percent("a", 1000, {}, { per: "line" })], expect: { total: 9 } },
  { id: "C-6", source: "SPR", says: "all of it, never more", profile: "spree", order: cart([3000]), drafts: [percent("a", 10000)], expect: { discount: 3000, total: 0 } },
  { id: "C-8", source: "SOL", says: "a cap that is not reached", profile: "solidus", order: cart([1200, 2300, 1000]), drafts: [percent("a", 1500, {}, { max_minor: 5000 })], expect: { lines: [180, 345, 150], discount: 675 } },
  { id: "S-13", source: "SOL", says: "a cap that is reached is spread", profile: "solidus", order: cart([1200, 2300, 1000]), drafts: [percent("a", 1500, {}, { max_minor: 225 })], expect: { lines: [60, 115, 50] } },
  { id: "C-10", source: "REA", says: "at most one unit", profile: "reaction", order: cart([units(1200, 3)]), drafts: [percent("a", 5000, {}, { max_units: 1 })], expect: { discount: 600, total: 3000 } },
  { id: "C-12", source: "SOL", says: "below the first tier the base", profile: "solidus", order: cart([1000]), drafts: [draft("a", "tiered_off", solTiers)], expect: { discount: 100 } },
  { id: "C-12", source: "SOL", says: "the first tier is inclusive", profile: "solidus", order: cart([2000]), drafts: [draft("a", "tiered_off", solTiers)], expect: { discount: 300 } },
  { id: "C-12", source: "SOL", says: "the second tier", profile: "solidus", order: cart([3000]), drafts: [draft("a", "tiered_off", solTiers)], expect: { discount: 600 } },
  { id: "S-14", source: "SPR", says: "10 %, from 100.00 15 %", profile: "spree", order: cart([5000]), drafts: [draft("a", "tiered_off", tieredPercent(1000, [10000, 1500], [20000, 2000]))], expect: { discount: 500 } },
  { id: "S-14", source: "SPR", says: "15 % of 150.00", profile: "spree", order: cart([15000]), drafts: [draft("a", "tiered_off", tieredPercent(1000, [10000, 1500], [20000, 2000]))], expect: { discount: 2250 } },
  { id: "C-14", source: "SOL", says: "tiers by all units, the percentage on some", profile: "solidus", order: cart([units(5000, 7, "shirts"), units(1000, 5, "pants")]), drafts: [percent("a", 1500, { ...on("shirts"), threshold_quantity: 10, threshold_of: "order" })], expect: { lines: [5250, 0] } },
  ...([[1, 0], [2, 123], [10, 1107]] as const).map(([quantity, discount]): Example => (
    { id: "C-16", source: "SOL", says: `the first nothing, each further 1.23: ${quantity}`, profile: "solidus", order: cart([units(1000, quantity)]), drafts: [draft("a", "tiered_off", { by: "unit", tiers: [{ from: 2, amount_minor: 123 }] })], expect: { discount } })),
  ...([[1, 0], [2, 1000], [3, 1000], [4, 2000]] as const).map(([quantity, discount]): Example => (
    { id: "C-18", source: "SOL", says: `groups of two, 5.00 off each item of a full group: ${quantity}`, profile: "solidus", order: cart([units(1000, quantity)]), drafts: [draft("a", "bundle", { sets: [{ quantity: 2 }], amount_minor: 1000 })], expect: { discount } })),
  { id: "S-15", source: "SOL", says: "a group of three over three lines", profile: "solidus", order: cart([units(1000, 2), 1000, 1000]), drafts: [draft("a", "bundle", { sets: [{ quantity: 3 }], amount_minor: 1500 })], expect: { lines: [1000, 500, 0] } },
  { id: "S-16", source: "SOL", says: "a group of three with a percentage", profile: "solidus", order: cart([units(1000, 2), 1000]), drafts: [draft("a", "bundle", { sets: [{ quantity: 3 }], percent_bp: 1000 })], expect: { lines: [200, 100] } },
  { id: "C-20", source: "SOL", says: "the group is the three cheap ones", profile: "solidus", order: cart([units(1000, 3), 2000]), drafts: [draft("a", "bundle", { sets: [{ quantity: 3 }], percent_bp: 1000, pick: "cheapest" })], expect: { lines: [300, 0] } },
  { id: "C-22", source: "SAL", says: "15 % of 19.99", profile: "saleor", order: cart([1999]), drafts: [percent("a", 1500)], expect: { discount: 300 } },
  ...([["half_up", 3], ["half_even", 2], ["half_down", 2], ["down", 2]] as const).map(([rounding, discount]): Example => (
    { id: "S-17", source: "CT", says: `half a cent, ${rounding}`, profile: { extends: "commercetools", rounding }, order: cart([50]), drafts: [percent("a", 500)], expect: { discount } })),
  { id: "S-18", source: "CT", says: "half even is the cart's default", profile: "commercetools", order: cart([150, 50]), drafts: [percent("a", 500)], expect: { lines: [8, 2] } },

  // --- D. caps at zero and the order of stacking
  { id: "D-2", source: "SYL", says: "never below zero", profile: "sylius", order: cart([10000]), drafts: [amount("a", 20000)], expect: { discount: 10000, total: 0 } },
  { id: "D-4", source: "VEN", says: "never the shipping", profile: "vendure", order: cart([100], { shipping_minor: 500 }), drafts: [amount("a", 1000)], expect: { total: 500 } },
  ...([[10000, 4500, 9000], [4500, 4500, 4500], [4500, 2250, 4500]] as const).map(([off, price, discount]): Example => (
    { id: "D-6", source: "SHW", says: `${off} off two of ${price}`, profile: "shopware", order: cart([units(price, 2)]), drafts: [amount("a", off)], expect: { discount } })),
  { id: "D-6", source: "SHW", says: "a product that costs nothing", profile: "shopware", order: cart([units(0, 2)]), drafts: [amount("a", 4500)], expect: { discount: 0, rejected: { a: "nothing_to_discount" } } },
  { id: "D-8", source: "STR", says: "200 off an invoice of 100", order: cart([10000]), drafts: [amount("a", 20000)], expect: { total: 0 } },
  { id: "D-8", source: "STR", says: "200 off an invoice of 300", order: cart([30000]), drafts: [amount("a", 20000)], expect: { total: 10000 } },
  { id: "D-10", source: "SYL", says: "fixed first, then the percentage", profile: "sylius", order: cart([10000]), drafts: [percent("b", 2000), amount("a", 1000, rank(1))], expect: { total: 7200, applied: ["a", "b"] } },
  { id: "S-19", source: "SYL", says: "the percentage first, then fixed", profile: "sylius", order: cart([10000]), drafts: [percent("b", 2000, rank(2)), amount("a", 1000, rank(1))], expect: { total: 7000, applied: ["b", "a"] } },
  { id: "D-12", source: "SYL", says: "of two exclusive ones the higher priority, not the better deal", profile: "sylius", order: cart([10000]), drafts: [percent("a", 2000, { stacking: { exclusive: true, priority: 2 } }), amount("b", 1000, { stacking: { exclusive: true, priority: 5 } })], expect: { total: 9000, applied: ["b"], rejected: { a: "exclusive" } } },
  { id: "D-14", source: "SYL", says: "an exclusive one stands alone", profile: "sylius", order: cart([10000]), drafts: [percent("a", 5000, rank(100)), percent("b", 3000, { stacking: { exclusive: true, priority: 500 } })], expect: { total: 7000, applied: ["b"] } },
  { id: "D-14", source: "SYL", says: "and the exclusive one of higher priority before it", profile: "sylius", order: cart([10000]), drafts: [percent("a", 5000, rank(100)), percent("b", 3000, { stacking: { exclusive: true, priority: 500 } }), percent("c", 7000, { stacking: { exclusive: true, priority: 1000 } })], expect: { total: 3000, applied: ["c"] } },
  { id: "D-16", source: "VCH", says: "a tier", profile: "voucherify", order: cart([units(200000, 2)]), drafts: [percent("a", 1000)], expect: { discount: 40000, total: 360000 } },
  { id: "D-16", source: "VCH", says: "a tier, then an amount", profile: "voucherify", order: cart([units(200000, 2)]), drafts: [percent("a", 1000), amount("b", 500)], expect: { each: [[40000], [500]], total: 359500 } },
  { id: "D-18", source: "UCP", says: "lower priority numbers first there: here the higher is applied first", profile: "ucp", order: cart([10000]), drafts: [percent("a", 2000, rank(2)), amount("b", 1000, rank(1))], expect: { total: 7000, applied: ["a", "b"] } },
  { id: "S-20", source: "UCP", says: "10.00 off over 60.00 and 40.00", profile: "ucp", order: cart([6000, 4000]), drafts: [amount("a", 1000)], expect: { lines: [600, 400] } },
  { id: "S-21", source: "UCP", says: "20 % of two at 20.00", profile: "ucp", order: cart([units(2000, 2)]), drafts: [percent("a", 2000)], expect: { discount: 800, total: 3200 } },
  { id: "D-20", source: "UCP", says: "20 % off and free shipping: what is shown as 0 is not taken off twice", profile: "ucp", order: cart([4000], { shipping_minor: 599 }), drafts: [percent("a", 2000), draft("s", "free_shipping", {})], expect: { discount: 1399, shipping: 599, total: 3200 } },
  { id: "D-21", source: "SHP", says: "two product discounts and free shipping over 100.00", profile: "shopify", order: shopify, drafts: [amount("p", 2000, { ...on("pants"), ...LINE }), amount("s", 1000, { ...on("shirts"), ...LINE }), draft("f", "free_shipping", {}, { threshold_minor: 10000 })], expect: { each: [[2000, 0, 0], [0, 1000, 0], [0, 0, 0]], shipping: 2000, total: 32000 } },
  { id: "D-22", source: "SHP", says: "20.00 off pants, then 10 % off the order", profile: "shopify", order: shopify, drafts: [amount("p", 2000, { ...on("pants"), ...LINE }), percent("o", 1000)], expect: { discount: 5300, total: 31700 } },
  { id: "S-22", source: "SHP", says: "two percentages of the order, each of the original subtotal", profile: "shopify", order: shopify, drafts: [percent("a", 1000), percent("b", 1500, { threshold_minor: 20000 })], expect: { discount: 8750, total: 28250 } },
  { id: "S-23", source: "SHP", says: "percent before fixed, whatever the list's order", profile: "shopify", order: shopify, drafts: [amount("b", 2000, { threshold_minor: 20000 }), percent("a", 1000)], expect: { discount: 5500, total: 31500, applied: ["a", "b"] } },
  { id: "D-24", source: "VEN", says: "15 % off items, then 5.00 off the order (net prices)", profile: "vendure", order: venGross, drafts: [percent("a", 1500, { ...on("t"), ...LINE }), amount("b", 500)], expect: { discount: 800, total: 5719 } },
  ...([[2, ["b"], 900], [3, ["a"], 750]] as const).map(([quantity, applied, total]): Example => (
    { id: "D-26", source: "VEN", says: `50 % from three units, 10 % from 10.00: ${quantity} units`, profile: "vendure", order: cart([units(500, quantity)]), drafts: [percent("a", 5000, { threshold_quantity: 3, stacking: { priority: 1 } }), percent("b", 1000, { threshold_minor: 1000 })], expect: { total, applied } })),
  { id: "D-28", source: "MED", says: "two percentages in sequence", profile: "medusa", order: cart([5000, 15000]), drafts: [percent("a", 1000), percent("b", 1000)], expect: { each: [[500, 1500], [450, 1350]] } },
  { id: "D-30", source: "MED", says: "each unit so much, then so much again", profile: "medusa", order: cart([5000, 15000]), drafts: [eachUnit("a", 3000, {}, { max_units_per_line: 2 }), eachUnit("b", 5000, {}, { max_units_per_line: 1 })], expect: { each: [[3000, 3000], [2000, 5000]] } },
  { id: "D-31", source: "SOL", says: "20 % off shirts, then 10.00 off from 60.00", profile: "solidus", order: cart([units(3000, 1, "shirts"), 4000]), drafts: [percent("a", 2000, { ...on("shirts"), ...LINE }), amount("b", 1000, { threshold_minor: 6000 })], expect: { each: [[600, 0], [375, 625]], total: 5400 } },
  { id: "D-32", source: "SOL", says: "the same from 68.00: 64.00 is below it", profile: "solidus", order: cart([units(3000, 1, "shirts"), 4000]), drafts: [percent("a", 2000, { ...on("shirts"), ...LINE }), amount("b", 1000, { threshold_minor: 6800 })], expect: { total: 6400, rejected: { b: "threshold" } } },
  { id: "S-24", source: "SOL", says: "20 % when a shirt is there, off all lines", profile: "solidus", order: cart([units(1999, 1, "shirts"), 1999]), drafts: [percent("a", 2000)], expect: { lines: [400, 400], total: 3198 } },
  { id: "S-25", source: "SOL", says: "20 % off the shirt's line only", profile: "solidus", order: cart([units(1999, 1, "shirts"), 1999]), drafts: [percent("a", 2000, on("shirts"))], expect: { lines: [400, 0], total: 3598 } },
  { id: "S-26", source: "SOL", says: "20 % off the shipping", profile: "solidus", order: cart([1300], { shipping_minor: 2300 }), drafts: [percent("a", 2000, { target: "shipping" })], expect: { shipping: 460, total: 3140 } },
  ...([[1, 7000], [2, 12000]] as const).map(([quantity, total]): Example => (
    { id: "D-34", source: "SYL", says: `50 % off, then free shipping from 100.00 of what is left: ${quantity}`, profile: "sylius", order: cart([units(12000, quantity)], { shipping_minor: 1000 }), drafts: [percent("a", 5000, rank(1)), draft("s", "free_shipping", {}, { threshold_minor: 10000 })], expect: { total } })),
  { id: "D-36", source: "SYL", says: "off the items, then off the order", profile: "sylius", order: cart([units(6000, 2, "x"), 4000]), drafts: [eachUnit("a", 2000, on("x")), amount("b", 1000)], expect: { each: [[4000, 0], [667, 333]], units: [{ line: 0, runs: [[1, 334], [1, 333]] }] } },
  { id: "D-38", source: "SYL", says: "not on what is discounted already", profile: "sylius", order: cart([{ price: 1500, list_price_minor: 2000 }, 4000, 1000]), drafts: [amount("a", 1000, { only_undiscounted: true })], expect: { lines: [0, 800, 200], total: 5500 } },
  { id: "D-40", source: "SAL", says: "13 %, then 13 %, unit by unit", profile: "saleor", order: cart([units(1999, 2)]), drafts: [percent("a", 1300), percent("b", 1300)], expect: { each: [[520], [452]], total: 3026 } },
  { id: "D-40", source: "SAL", says: "the voucher once per order", profile: "saleor", order: cart([units(1999, 2)]), drafts: [percent("a", 1300), percent("b", 1300, {}, { max_units: 1 })], expect: { each: [[520], [226]] } },
  { id: "D-42", source: "SAL", says: "19.99 off, then 33 %, unit by unit", profile: "saleor", order: cart([units(5650, 2)]), drafts: [eachUnit("a", 1999), percent("b", 3300)], expect: { each: [[3998], [2410]], total: 4892 } },
  ...([[amount("a", 550), percent("b", 2000), 600], [percent("a", 1100), percent("b", 1300), 390], [amount("a", 599), amount("b", 600), 600]] as const).map(([a, b, discount]): Example => (
    { id: "D-44", source: "SAL", says: `of two promotions on one item the better: ${discount}`, profile: "saleor", order: cart([3000]), drafts: [{ ...a, stacking: { group: "item" } }, { ...b, stacking: { group: "item" } }], wish: "best", expect: { discount } })),
  { id: "D-46", source: "SAL", says: "50 % after item discounts", profile: "saleor", order: cart([units(2000, 2, "x"), 3500]), drafts: [eachUnit("a", 500, on("x")), percent("b", 5000)], expect: { each: [[1000, 0], [1500, 1750]], total: 3250 } },
  { id: "D-48", source: "SAL", says: "once per order: on the cheapest unit, as far as it goes", profile: "saleor", order: cart([400, 4500]), drafts: [eachUnit("a", 500, {}, { max_units: 1 })], expect: { lines: [400, 0], total: 4500 } },
  { id: "S-27", source: "SAL", says: "10 % off two of three products", profile: "saleor", order: cart([units(4500, 1, "x"), units(2000, 1, "x"), 199]), drafts: [percent("a", 1000, on("x"))], expect: { lines: [450, 200, 0], total: 6049 } },
  { id: "S-28", source: "SAL", says: "once per order, the cheapest of the eligible", profile: "saleor", order: cart([units(4500, 1, "x"), units(2000, 1, "x"), 199]), drafts: [percent("a", 1000, on("x"), { max_units: 1 })], expect: { lines: [0, 200, 0], total: 6499 } },
  { id: "S-29", source: "SAL", says: "half the shipping", profile: "saleor", order: cart([10000], { shipping_minor: 2000 }), drafts: [percent("a", 5000, { target: "shipping" })], expect: { discount: 1000, shipping: 1000, total: 11000 } },
  { id: "D-50", source: "SAL", says: "40 % off the shipping and 10 % off everything", profile: "saleor", order: cart([8000, 3000], { shipping_minor: 2000 }), drafts: [percent("a", 4000, { target: "shipping" }), percent("b", 1000, { target: "everything" })], expect: { lines: [800, 300], shipping: 920, total: 10980 } },
  { id: "D-52", source: "LAG", says: "15 %, then 20 % of 1.00", profile: "lago", order: cart([100]), drafts: [percent("a", 1500), percent("b", 2000)], expect: { discount: 32, total: 68 } },
  { id: "S-30", source: "LAG", says: "0.10 off, then 20 %", profile: "lago", order: cart([100]), drafts: [amount("a", 10), percent("b", 2000)], expect: { discount: 28, total: 72 } },
  { id: "S-31", source: "LAG", says: "0.10 off and 0.20 off", profile: "lago", order: cart([100]), drafts: [amount("a", 10), amount("b", 20)], expect: { discount: 30 } },
  { id: "S-32", source: "LAG", says: "a coupon in another currency", profile: "lago", order: cart([100]), drafts: [amount("a", 10, { currency: "NOK" })], expect: { discount: 0, rejected: { a: "currency" } } },
  { id: "D-54", source: "LAG", says: "a coupon stays within its own lines", profile: "lago", order: cart([units(75, 1, "plan"), units(12, 1, "metric"), units(13, 1, "rest")]), drafts: [amount("a", 82, on("plan")), amount("b", 5, on("metric")), amount("c", 20, on("other"))], expect: { each: [[75, 0, 0], [0, 5, 0]], total: 20, rejected: { c: "lines" } } },
  { id: "D-56", source: "OTH", says: "two 10 % coupons are 19 %, not 20 % (flexprice.io, order of calculation)", order: cart([10000]), drafts: [percent("a", 1000), percent("b", 1000)], expect: { discount: 1900, total: 8100 } },
  { id: "S-33", source: "OTH", says: "percent before dollars, in sequence (Commerce7, several promotions)", profile: { kind_order: "percent_first" }, order: cart([10000]), drafts: [amount("c", 500), percent("a", 2000), percent("b", 1000)], expect: { total: 6700, applied: ["a", "b", "c"] } },

  // --- E. which combination
  { id: "E-2", source: "REA", says: "an order's and a type's, each with its own kind", profile: "reaction", order: cart([10000]), drafts: [amount("p1", 100, { stacking: { group: "order" } }), amount("p2", 100, { stacking: { group: "item", group_max: 2 } }), amount("p3", 100, { stacking: { group: "item", group_max: 2 } }), amount("p4", 500, { stacking: { group: "type", with_groups: ["order"] } })], wish: "best", expect: { discount: 600, applied: ["p1", "p4"] } },
  { id: "E-2", source: "REA", says: "or all that stand beside each other", profile: "reaction", order: cart([10000]), drafts: [amount("p1", 100, { stacking: { group: "order" } }), amount("p2", 100, { stacking: { group: "item", group_max: 2 } }), amount("p3", 100, { stacking: { group: "item", group_max: 2 } }), amount("p4", 150, { stacking: { group: "type", with_groups: ["order"] } })], wish: "best", expect: { discount: 300, applied: ["p1", "p2", "p3"] } },
  { id: "E-4", source: "OTH", says: "a coupon an item, all three used (blog.51cto.com/u_14224/8284958)", order: cart([1000, 1000, 1000]), drafts: [percent("c1", 10000, onSkus("s1", "s2"), { max_units: 1 }), percent("c2", 10000, onSkus("s3"), { max_units: 1 }), percent("c3", 10000, onSkus("s2", "s3"), { max_units: 1 })], wish: "best", expect: { discount: 3000, applied: ["c1", "c2", "c3"] } },
  { id: "S-34", source: "SHP", says: "two product discounts on one item: the best one", profile: "shopify", order: shopify, drafts: [amount("a", 2000, { ...on("pants"), stacking: { level: "line", group: "pants" } }), amount("b", 3000, { ...on("pants"), stacking: { level: "line", group: "pants" } })], wish: "best", expect: { discount: 3000, applied: ["b"] } },

  // --- F. free and buy-X-get-Y
  { id: "F-2", source: "VCH", says: "the unit that was added is free", profile: "voucherify", order: cart([2900]), drafts: [percent("a", 10000, {}, { max_units: 1 })], expect: { discount: 2900, total: 0 } },
  { id: "F-4", source: "MED", says: "buy 2 get 2 of the same", profile: "medusa", order: cart([units(250, 4)]), drafts: [bxgy("a", 2, 2)], expect: { discount: 500 } },
  { id: "F-6", source: "MED", says: "the two cheap ones are free", profile: "medusa", order: cart([500, 500, 1000, 1000]), drafts: [bxgy("a", 2, 2)], expect: { lines: [500, 500, 0, 0] } },
  { id: "F-7", source: "MED", says: "1080 at 2.50: buy 50 get 1000, then buy 10 get 20", profile: "medusa", order: cart([units(250, 1080)]), drafts: [bxgy("a", 50, 1000), bxgy("b", 10, 20)], expect: { each: [[250000], [5000]] } },
  { id: "F-8", source: "MED", says: "the same over two lines of 540", profile: "medusa", order: cart([units(250, 540), units(250, 540)]), drafts: [bxgy("a", 50, 1000), bxgy("b", 10, 20)], expect: { each: [[122500, 127500], [0, 5000]] } },
  { id: "F-10", source: "VCH", says: "free shipping leaves the items alone", profile: "voucherify", order: cart([4900, 39900], { shipping_minor: 1900 }), drafts: [draft("s", "free_shipping", {})], expect: { shipping: 1900, total: 44800 } },
  { id: "S-35", source: "SHP", says: "buy 2, get 1 at half price, at most once", profile: "shopify", order: cart([units(3000, 6)]), drafts: [bxgy("a", 2, 1, { percent_bp: 5000, times: 1 })], expect: { discount: 1500 } },
  { id: "S-36", source: "CT", says: "the most expensive is got (selection mode)", profile: "commercetools", order: cart([1000, 2000, 3000]), drafts: [bxgy("a", 1, 1, { pick: "dearest", buy: { quantity: 1, applies_to: { skus: ["s1"] } }, get: { quantity: 1 } })], expect: { lines: [0, 0, 3000] } },

  // --- G. what a limit or a minimum does to a price
  { id: "G-14", source: "SAL", says: "the shipping does not count towards a minimum", profile: "saleor", order: cart([9596], { shipping_minor: 1000 }), drafts: [percent("a", 1000, { threshold_minor: 10000 })], expect: { discount: 0, total: 10596, rejected: { a: "threshold" } } },
  { id: "G-18", source: "SAL", says: "once per order: one unit of three", profile: "saleor", order: cart([units(1000, 3)]), drafts: [percent("a", 1000, {}, { max_units: 1 })], expect: { total: 2900 } },

  // --- H. money that runs short
  ...([[3, 3], [13, 9], [9, 9]] as const).map(([asked, discount]): Example => (
    { id: "H-8", source: "TB", says: `what is left of 9 is given: asked for ${asked}`, profile: { budget_short: "partial" }, order: cart([1000]), drafts: [amount("a", asked, { funding: [{ budget_id: "b", share_bp: 10000 }] })], funds: { b: 9 }, expect: { discount } })),
  { id: "H-8", source: "TB", says: "asked for 3, 13 and 1", profile: { budget_short: "partial" }, order: cart([1000]), drafts: [3, 13, 1].map((off, i) => amount(`a${i}`, off, { funding: [{ budget_id: "b", share_bp: 10000 }] })), funds: { b: 9 }, expect: { each: [[3], [6]], rejected: { a2: "budget_exhausted" } } },
  { id: "H-10", source: "MED", says: "two uses of one budget in an order", profile: "medusa", order: cart([1000]), drafts: [200, 500].map((off, i) => amount(`a${i}`, off, { funding: [{ budget_id: "b", share_bp: 10000 }] })), funds: { b: 1000 }, expect: { discount: 700 } },
  { id: "H-12", source: "MED", says: "100 left: the second is refused", profile: "medusa", order: cart([1000]), drafts: [100, 100].map((off, i) => amount(`a${i}`, off, { funding: [{ budget_id: "b", share_bp: 10000 }] })), funds: { b: 100 }, expect: { discount: 100, rejected: { a1: "budget_exhausted" } } },

  // --- I, K. what went wrong elsewhere
  { id: "I-2", source: "OTH", says: "each unit carries its part of 10 % (sonata-project-ecommerce 177)", order: cart([units(10000, 3)]), drafts: [percent("a", 1000)], expect: { lines: [3000], units: [{ line: 0, runs: [[3, 1000]] }] } },
  { id: "K-2", source: "VEN", says: "the total is the lines minus their discounts (issue 3091)", profile: "vendure", order: cart([915150]), drafts: [percent("a", 1000)], expect: { discount: 91515, total: 823635 } },
  { id: "K-4", source: "SAL", says: "a percentage of what is left, never of what is gone (issue 17453)", profile: "saleor", order: cart([units(1000, 10)]), drafts: [percent("a", 4000), percent("b", 7000)], expect: { total: 1800 } },

  // --- finance rights, computed from the contract
  { id: "S-37", source: "OTH", says: "3 instalments of 1000.00 at 0.5 %, flat", order: cart([100000], { instalments: 3 }), drafts: [draft("a", "interest_free", { periods: 3, rate_bp: 50 })], expect: { discount: 0, benefit: 1500, total: 100000 } },
  { id: "S-38", source: "OTH", says: "the same declining", order: cart([100000], { instalments: 3 }), drafts: [draft("a", "interest_free", { periods: 3, rate_bp: 50, interest: "declining" })], expect: { benefit: 1000 } },
  { id: "S-39", source: "OTH", says: "1 % more for 30 days on 5000.00", order: cart([500000]), drafts: [draft("a", "rate_uplift", { rate_bp: 100, principal_cap_minor: 1000000, days: 30 })], expect: { benefit: 411 } },
  { id: "S-40", source: "OTH", says: "every 200.00 less 30.00", order: cart([50000]), drafts: [draft("a", "tiered_off", { by: "amount", tiers: [{ from: 20000, amount_minor: 3000 }], repeat: true })], expect: { discount: 6000 } },
]

/** Rows of the collection that are not a price: what they ask is promised, and where that is shown; or why it is not. */
export const ELSEWHERE: readonly { readonly id: string; readonly says: string; readonly because: string }[] = [
  { id: "A-8", says: "10 over two lines that cost nothing: [5,5]", because: "does not hold: a line that costs nothing can give nothing, so the coupon is terms_not_met" },
  { id: "A-14", says: "even split over no lines: an error", because: "an order without lines is request_invalid (the contract)" },
  { id: "C-6", says: "110 % of 3000", because: "percent_bp above 10000 is refused when the campaign is made; the row runs with 10000" },
  { id: "C-18", says: "a line of 0 units", because: "a quantity below 1 is request_invalid" },
  { id: "D-24", says: "the same with gross prices: 5081 or 5082", because: "out of scope: tax. The prices that the shop sends are the ones discounted" },
  { id: "G-2, G-4, G-6, G-8, G-12, G-16, G-20", says: "locks, limits per customer, uses that come back", because: "not a price: holds and limits are the judge's (lua/README.md), with a test for each outcome" },
  { id: "G-10", says: "a promotion that ends between cart and confirm", because: "a hold keeps its price; a quote that has ended is priced anew" },
  { id: "G-22", says: "a coupon of 12 of which 6 are used", because: "out of scope: a stored balance" },
  { id: "H-2, H-4", says: "posting less than was held", because: "out of scope: a confirm takes what was held; what is not delivered is refunded by line" },
  { id: "H-6", says: "holds that run out one after the other", because: "not a price: test/lua and test/journal" },
  { id: "H-14", says: "a cancelled session gives back budget and coupon", because: "not a price: test/lua/cancel.test.ts" },
  { id: "I-4", says: "6 x 5000 with 10 % from 30000, 5 returned", because: "holds under both refund_policy values: test/pricing/refund.test.ts" },
  { id: "J-2, J-4", says: "levels of a loyalty programme", because: "not a price: badges decide levels, min_badge reads them" },
  { id: "K-2", says: "8236.36", because: "the reference's discount of 915.14 is not 10 % of 9151.50 by any rounding; what must hold is that the total is the lines minus the discount" },
  { id: "K-6, K-8", says: "uses in parallel, the tenth of ten codes", because: "not a price: limits are counted by the judge" },
  { id: "K-10", says: "an order stated as 15100 with an item of 50070", because: "an order has no stated sum: it is always computed from its lines" },
]

// --- reading an answer

/** What is wrong with an answer to a row; nothing: an empty list. Works on any answer of the contract's shape. */
export function differences({ order, expect }: Example, quote: Pick<Quote, "applied" | "rejected" | "discount_minor" | "shipping_discount_minor" | "total_minor" | "benefit_minor">): string[] {
  const wrong: string[] = []
  const is = (what: string, got: unknown, wanted: unknown): void => {
    if (wanted !== undefined && JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push(`${what}: ${JSON.stringify(got)} in place of ${JSON.stringify(wanted)}`)
  }
  const byLine = (coupons: Quote["applied"]): number[] =>
    order.lines.map(({ line_id }) => coupons.reduce((sum, { lines }) => sum + (lines.find((line) => line.line_id === line_id)?.discount_minor ?? 0), 0))
  is("lines", byLine(quote.applied), expect.lines)
  is("each", quote.applied.map((one) => byLine([one])), expect.each)
  is("discount", quote.discount_minor, expect.discount)
  is("shipping discount", quote.shipping_discount_minor, expect.shipping)
  is("total", quote.total_minor, expect.total)
  is("benefit", quote.benefit_minor, expect.benefit)
  is("applied", quote.applied.map(({ coupon_id }) => coupon_id), expect.applied)
  for (const { line, runs } of expect.units ?? []) {
    const last = quote.applied.flatMap(({ lines }) => lines.filter(({ line_id }) => line_id === order.lines[line]!.line_id)).at(-1)
    is(`units of line ${line}`, last?.units.map(({ quantity, discount_minor }) => [quantity, discount_minor]), runs)
  }
  for (const [coupon_id, word] of Object.entries(expect.rejected ?? {})) {
    const refusal = quote.rejected.find((one) => one.coupon_id === coupon_id)
    if (!refusal || ![refusal.code, refusal.reason, refusal.rule].includes(word as never)) wrong.push(`${coupon_id} is not refused by ${word}: ${JSON.stringify(refusal)}`)
  }
  return wrong
}

/** Rows that need nothing but the order and the campaigns: no budgets set up by hand. */
export const needsNoBudget = ({ funds }: Example): boolean => funds === undefined

// An order with more in it: so much more money spent, or so many more units, on what a coupon speaks of.
//
// What must stay true: a grown order is one that the shopper could have sent; its first lines are the order's own, so places keep their
// meaning. Where the order has no line that a coupon speaks of, one is imagined: the first names of its lists.

import { lineTest } from "./applies_to.ts"
import type { Candidate } from "./candidate.ts"
import { MONEY_MAX } from "./money.ts"
import type { AppliesTo, More, Order, OrderLine, Sheet } from "./types.ts"

/** How the money is spent: on one unit more that costs all of it, or on more units of what is there. */
export type Spending = "one_unit" | "same_units"

/** What an imagined unit costs where the order has nothing that costs anything. */
const IMAGINED_MINOR = 10_000
/** More of a line than an order can have is no line. */
const NEW_LINE = "more"

/** The order with more; undefined where no order can have that. */
export function grown(sheet: Sheet, target: Candidate, { spend_more_minor = 0, units = [] }: More, spending: Spending): Order | undefined {
  const lines: OrderLine[] = sheet.order.lines.slice()
  const own = units.reduce((sum, { quantity }) => sum + quantity, 0)
  if (spend_more_minor > 0 && own === 0) {
    const place = placeOf(sheet, target, undefined)
    const line = place === undefined ? imagined(sheet, target, undefined) : sheet.order.lines[place]
    if (!line) return undefined
    if (spending === "same_units" && place !== undefined && line.unit_price_minor > 0)
      lines[place] = { ...line, quantity: line.quantity + Math.ceil(spend_more_minor / line.unit_price_minor) }
    else lines.push(another(line, spend_more_minor, 1, lines.length))
  }
  let quantity = own
  let money = spend_more_minor
  for (const part of units) {
    if (part.quantity === 0) continue
    const place = placeOf(sheet, target, part.applies_to)
    const line = place === undefined ? imagined(sheet, target, part.applies_to) : lines[place]
    if (!line) return undefined
    // Units and money together: the units cost the money, each of them the same.
    const each = Math.ceil(money / quantity)
    money = Math.max(0, money - each * part.quantity)
    quantity -= part.quantity
    if (place === undefined || spend_more_minor > 0) lines.push(another(line, spend_more_minor > 0 ? each : line.unit_price_minor, part.quantity, lines.length))
    else lines[place] = { ...line, quantity: line.quantity + part.quantity }
  }
  const worth = lines.reduce((sum, line) => sum + line.unit_price_minor * line.quantity, sheet.order.shipping_minor ?? 0)
  // Of what costs nothing there may be many, and units are counted too.
  const count = lines.reduce((sum, line) => sum + line.quantity, 0)
  return worth > MONEY_MAX || count > MONEY_MAX ? undefined : { ...sheet.order, lines }
}

/** A line like another one, of units that may be discounted down to nothing. */
const another = ({ sku, merchant_id, category, brand }: OrderLine, unit_price_minor: number, quantity: number, place: number): OrderLine =>
  ({ line_id: `${NEW_LINE} ${place}`, sku, merchant_id, category, brand, unit_price_minor, quantity })

/** Which of the coupon's lines the shopper takes more of: one that can be discounted before any other, then that of most units. */
function placeOf(sheet: Sheet, { lines }: Candidate, applies_to: AppliesTo | undefined): number | undefined {
  const test = lineTest(applies_to)
  let best: number | undefined
  for (const place of lines) {
    if (test && !test(sheet.order.lines[place]!)) continue
    if (best === undefined || isRather(sheet, place, best)) best = place
  }
  return best
}

function isRather({ prices, floors, quantities }: Sheet, place: number, than: number): boolean {
  const [has, had] = [prices[place]! > floors[place]!, prices[than]! > floors[than]!]
  return has !== had ? has : quantities[place]! > quantities[than]!
}

/** A line that the coupon, and one part of it, speaks of; undefined where its lists exclude each other. */
function imagined({ order, prices }: Sheet, { terms }: Candidate, part: AppliesTo | undefined): OrderLine | undefined {
  const lists = [terms.appliesTo, part].filter((list) => list !== undefined)
  const first = (yes: keyof AppliesTo, no: keyof AppliesTo): string | undefined =>
    lists.flatMap((list) => list[yes] ?? []).find((name) => lists.every((list) => (!list[yes] || list[yes].includes(name)) && !list[no]?.includes(name)))
  const line: OrderLine = {
    line_id: NEW_LINE,
    sku: first("skus", "not_skus") ?? NEW_LINE,
    category: first("categories", "not_categories"),
    merchant_id: first("merchants", "not_merchants"),
    brand: first("brands", "not_brands"),
    unit_price_minor: Math.max(...order.lines.map((_, place) => prices[place]!)) || IMAGINED_MINOR,
    quantity: 1,
  }
  return lists.every((list) => lineTest(list)?.(line) ?? true) ? line : undefined
}

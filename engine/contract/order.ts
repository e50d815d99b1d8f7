/**
 * An order as a checkout sends it, and what no schema can say of it.
 *
 * What must stay true: an order that passes here can be counted in 2^53-1 and priced without a fault.
 */
import { Type, type Static } from "typebox"
import { closed, Count, CountFromOne, Currency, Id, ID_CHARS_MAX, ID_PATTERN, LINES_MAX, Money, WHOLE_MAX } from "./basics.ts"
import type { RequestFault } from "./check.ts"

/** Segments that an order may say its user is in. */
export const SEGMENTS_MAX = 100
/** Badges that an order may say its user has. */
export const BADGES_MAX = 100

/** As Id: a name of a property has no other bounds than its pattern. */
const BadgeId = Type.String({ pattern: `^(?=[^]{1,${ID_CHARS_MAX}}$)${ID_PATTERN.slice(1)}` })

const OrderLine = Type.Object({
  line_id: Id,
  sku: Id,
  merchant_id: Type.Optional(Id),
  category: Type.Optional(Id),
  brand: Type.Optional(Id),
  unit_price_minor: Money,
  quantity: CountFromOne,
  floor_minor: Type.Optional(Type.Integer({ ...Money, description: "what no discount takes a unit below; 0 unless told" })),
  list_price_minor: Type.Optional(Type.Integer({ ...Money, description: "what a unit costs without any promotion; a line priced below it counts as discounted already" })),
}, closed)

const hashed = (what: string) => Type.Optional(Type.String({ ...Id, description: `${what}; stored only as a keyed hash` }))

export const Order = Type.Object({
  currency: Currency,
  channel: Type.Optional(Id),
  region: Type.Optional(Id),
  payment_method: Type.Optional(Id),
  payment_instrument: Type.Optional(Id),
  instalments: Type.Optional(Type.Integer({ ...CountFromOne, description: "in how many parts the order is paid" })),
  first_order: Type.Optional(Type.Boolean()),
  segments: Type.Optional(Type.Array(Id, { maxItems: SEGMENTS_MAX, description: `a list of at most ${SEGMENTS_MAX} segments that the user is in` })),
  badges: Type.Optional(Type.Record(BadgeId, Count, { ...closed, maxProperties: BADGES_MAX, description: "the user's levels by badge; they go before what is stored of him" })),
  device_id: hashed("the device"),
  payment_id: hashed("an account or card token, never a card number"),
  address_id: hashed("the address"),
  shipping_minor: Type.Optional(Money),
  lines: Type.Array(OrderLine, { minItems: 1, maxItems: LINES_MAX, description: `a list of 1 to ${LINES_MAX} lines` }),
}, closed)
/** An order as a checkout sends it. */
export type Order = Static<typeof Order>

const tooMuch = (field: string): RequestFault => ({ field, detail: `${field} makes an amount of more than 2^53-1.` })

/** What a schema cannot say of an order. */
export const orderFault = ({ lines, shipping_minor = 0 }: Order): RequestFault | undefined => {
  const seen = lines.length > 1 ? new Set<string>() : undefined
  let sum = shipping_minor, units = 0
  for (let place = 0; place < lines.length; place++) {
    const { line_id, unit_price_minor, quantity } = lines[place]!
    // A product or a sum of more than 2^53-1 is never rounded to one that is not.
    const amount = unit_price_minor * quantity
    if (amount > WHOLE_MAX) return tooMuch(`order.lines[${place}].quantity`)
    sum += amount
    if (sum > WHOLE_MAX) return tooMuch(`order.lines[${place}].unit_price_minor`)
    // Of what costs nothing there may be many, and units are counted too.
    units += quantity
    if (units > WHOLE_MAX) return { field: `order.lines[${place}].quantity`, detail: `order.lines[${place}].quantity makes more than 2^53-1 units.` }
    if (seen?.has(line_id)) return { field: `order.lines[${place}].line_id`, detail: `order.lines[${place}].line_id stands twice in the order.` }
    seen?.add(line_id)
  }
  return undefined
}

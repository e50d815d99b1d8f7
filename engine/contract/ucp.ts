/**
 * The discount extension of the Universal Commerce Protocol, version 2026-04-08: codes in, priced discounts out.
 *
 * Names and codes are the protocol's. It has no code for an order that is too small: that is `discount_code_user_ineligible`, and the
 * sentence says what is missing.
 */
import { Type, type Static } from "typebox"
import { closed, CountFromOne, Currency, Id, LINES_MAX, Money, Text } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"

/** Codes of one checkout. */
export const CHECKOUT_CODES_MAX = 100

const Item = Type.Object({ id: Id, price: Money, title: Type.Optional(Text), image_url: Type.Optional(Type.String({ maxLength: 2048 })) }, closed)
const LineItem = Type.Object({ id: Id, item: Item, quantity: CountFromOne }, closed)

/** What may be wrong with a code, as the protocol says it. */
export const MESSAGE_CODES = [
  "discount_code_invalid", "discount_code_expired", "discount_code_already_applied", "discount_code_combination_disallowed", "discount_code_user_ineligible",
] as const
export type MessageCode = (typeof MESSAGE_CODES)[number]

const Total = Type.Object({ type: Type.Enum(["subtotal", "items_discount", "discount", "fulfillment", "total"]), amount: Type.Integer() }, closed)
const Applied = Type.Object({
  code: Type.String(), title: Type.String(), amount: Money, method: Type.Enum(["each", "across"]), priority: CountFromOne,
  allocations: Type.Array(Type.Object({ path: Type.String(), amount: Money }, closed)),
}, closed)
const Out = Type.Object({
  line_items: Type.Array(Type.Object({ id: Id, item: Item, quantity: CountFromOne, totals: Type.Array(Total) }, closed)),
  discounts: Type.Object({ codes: Type.Array(Type.String()), applied: Type.Array(Applied) }, closed),
  totals: Type.Array(Total),
  messages: Type.Array(Type.Object({ type: Type.Literal("warning"), code: Type.Enum([...MESSAGE_CODES]), path: Type.String(), content: Type.String() }, closed)),
}, closed)
export type DiscountsAnswer = Static<typeof Out>

export const checkoutDiscounts = operation({
  name: "checkout_discounts", method: "POST", path: "/v1/checkout/discounts", family: "checkout", scopes: ["checkout"],
  says: "Price a checkout with discount codes, as the discount extension of the Universal Commerce Protocol (2026-04-08) asks. Nothing is claimed.",
  body: Type.Object({
    user_id: Id, currency: Currency,
    line_items: Type.Array(LineItem, { minItems: 1, maxItems: LINES_MAX }),
    fulfillment_minor: Type.Optional(Money),
    discounts: Type.Object({ codes: Type.Array(Type.String({ maxLength: 128, pattern: "^[^\\p{Cc}\\p{Cs}]*$" }), { maxItems: CHECKOUT_CODES_MAX }) }, closed),
  }, closed),
  rule: ({ line_items, fulfillment_minor }) => {
    const sum = line_items.reduce((all, { item, quantity }) => all + item.price * quantity, fulfillment_minor ?? 0)
    const units = line_items.reduce((all, { quantity }) => all + quantity, 0)
    if (!Number.isSafeInteger(sum) || !Number.isSafeInteger(units)) return { field: "line_items", detail: "line_items come to more than 2^53-1." }
    const at = line_items.findIndex(({ id }, i) => line_items.findIndex((each) => each.id === id) < i)
    return at < 0 ? undefined : { field: `line_items[${at}].id`, detail: `line_items[${at}].id stands twice.` }
  },
  yes: { quoted: Out }, no: ["code_misses_exceeded"],
})

export type CheckoutDiscountsAsk = AskOf<typeof checkoutDiscounts>

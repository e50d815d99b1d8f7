/**
 * Checkout: an order is priced, coupons are held for it, and the hold is confirmed, given back or refunded.
 */
import { Type, type Static } from "typebox"
import {
  closed, Count, CountFromOne, COUPONS_MAX, Currency, HOLD_DEFAULT_S, HOLD_S_MAX, Id, Instant, InstantOut, LINES_MAX, Money, PAGE, WHOLE_MAX,
} from "./basics.ts"
import type { RequestFault } from "./check.ts"
import { type AskOf, operation } from "./operation.ts"

const OrderLine = Type.Object({
  line_id: Id,
  sku: Id,
  merchant_id: Type.Optional(Id),
  category: Type.Optional(Id),
  unit_price_minor: Money,
  quantity: CountFromOne,
}, closed)

const hashed = (what: string) => Type.Optional(Type.String({ ...Id, description: `${what}; stored only as a keyed hash` }))

const Order = Type.Object({
  currency: Currency,
  channel: Type.Optional(Id),
  region: Type.Optional(Id),
  payment_method: Type.Optional(Id),
  device_id: hashed("the device"),
  payment_id: hashed("an account or card token, never a card number"),
  address_id: hashed("the address"),
  shipping_minor: Type.Optional(Money),
  lines: Type.Array(OrderLine, { minItems: 1, maxItems: LINES_MAX, description: `a list of 1 to ${LINES_MAX} lines` }),
}, closed)
/** An order as a checkout sends it. */
export type Order = Static<typeof Order>

const Coupons = Type.Union(
  [Type.Literal("best"), Type.Array(Id, { maxItems: COUPONS_MAX })],
  { description: `"best" or a list of at most ${COUPONS_MAX} coupon ids` },
)

/** The ids of a list must differ; the second of two equal ones is the fault. */
const twice = (ids: readonly string[], field: (place: number) => string): RequestFault | undefined => {
  if (ids.length < 2) return undefined
  const seen = new Set<string>()
  for (let place = 0; place < ids.length; place++) {
    if (seen.has(ids[place]!)) return { field: field(place), detail: `${field(place)} stands twice in the list.` }
    seen.add(ids[place]!)
  }
  return undefined
}

const tooMuch = (field: string): RequestFault => ({ field, detail: `${field} makes an amount of more than 2^53-1.` })

const orderFault = ({ lines, shipping_minor = 0 }: Order): RequestFault | undefined => {
  const seen = lines.length > 1 ? new Set<string>() : undefined
  let sum = shipping_minor
  for (let place = 0; place < lines.length; place++) {
    const { line_id, unit_price_minor, quantity } = lines[place]!
    // A product or a sum of more than 2^53-1 is never rounded to one that is not.
    const amount = unit_price_minor * quantity
    if (amount > WHOLE_MAX) return tooMuch(`order.lines[${place}].quantity`)
    sum += amount
    if (sum > WHOLE_MAX) return tooMuch(`order.lines[${place}].unit_price_minor`)
    if (seen?.has(line_id)) return { field: `order.lines[${place}].line_id`, detail: `order.lines[${place}].line_id stands twice in the order.` }
    seen?.add(line_id)
  }
  return undefined
}

const couponPlace = (place: number): string => `coupons[${place}]`
const cartFault = ({ order, coupons }: { order: Order; coupons: Static<typeof Coupons> }): RequestFault | undefined =>
  orderFault(order) ?? (coupons === "best" ? undefined : twice(coupons, couponPlace))

const AppliedLine = Type.Object({
  line_id: Id, discount_minor: Money,
  units: Type.Optional(Type.Array(Type.Object({ quantity: CountFromOne, discount_minor: Money }, closed))),
}, closed)

const Applied = Type.Object({
  coupon_id: Id, campaign_id: Id, discount_minor: Money, lines: Type.Array(AppliedLine),
  shipping_discount_minor: Type.Optional(Money), benefit_minor: Type.Optional(Money), cost_minor: Type.Optional(Money),
  gifts: Type.Optional(Type.Array(Type.Object({ sku: Id, unit_price_minor: Money, quantity: CountFromOne }, closed))),
  schedule: Type.Optional(Type.Array(Type.Object({ period: CountFromOne, principal_minor: Money, interest_minor: Money }, closed))),
}, closed)

const Needs = Type.Object({
  payment_method: Type.Optional(Id), without: Type.Optional(Type.Array(Id)), spend_more_minor: Type.Optional(Money),
  quantity_more: Type.Optional(Count), from_at: Type.Optional(InstantOut),
}, closed)

const Rejected = Type.Object({
  coupon_id: Id, campaign_id: Type.Optional(Id), code: Type.String({ description: "the outcome that a redemption of it would get" }), detail: Type.String(),
  reason: Type.Optional(Type.String({ description: "for terms_not_met: the first condition that fails" })),
  rule: Type.Optional(Type.Enum(["exclusive", "group", "with_groups", "per_order"])),
  other_coupon_id: Type.Optional(Id),
  needs: Type.Optional(Needs),
}, closed)

const PRICED = {
  shipping_discount_minor: Type.Optional(Money), benefit_minor: Type.Optional(Money), cost_minor: Type.Optional(Money),
  profile: Type.Optional(Type.Unknown()), proved: Type.Optional(Type.Boolean()), gap_minor: Type.Optional(Money),
}

const QuoteOut = Type.Object({
  discount_minor: Money, total_minor: Money, applied: Type.Array(Applied), rejected: Type.Array(Rejected), ...PRICED,
}, closed)
export type QuoteAnswer = Static<typeof QuoteOut>

export const REDEMPTION_STATES = ["reserved", "confirmed", "partly_refunded", "refunded", "cancelled", "expired"] as const

const REDEMPTION = {
  redemption_id: Id, order_id: Id, user_id: Id,
  discount_minor: Money, total_minor: Money, applied: Type.Array(Applied), ...PRICED,
}

const ReservedOut = Type.Object({ ...REDEMPTION, state: Type.Literal("reserved"), rejected: Type.Optional(Type.Array(Rejected)), expires_at: InstantOut }, closed)
const ConfirmedOut = Type.Object({ ...REDEMPTION, state: Type.Literal("confirmed"), confirmed_at: Type.Optional(InstantOut) }, closed)
const CancelledOut = Type.Object({ ...REDEMPTION, state: Type.Literal("cancelled"), cancelled_at: Type.Optional(InstantOut) }, closed)

const RefundOut = Type.Object({
  refund_id: Id, redemption_id: Type.Optional(Id), state: Type.Enum([...REDEMPTION_STATES]), discount_minor: Money,
  withheld_minor: Type.Optional(Money), refund_minor: Type.Optional(Money), refunded_at: Type.Optional(InstantOut),
  lines: Type.Optional(Type.Array(Type.Object({ line_id: Id, quantity: CountFromOne, discount_minor: Type.Optional(Money), refund_minor: Type.Optional(Money) }, closed))),
  applied: Type.Optional(Type.Array(Type.Object({ coupon_id: Id, campaign_id: Id, discount_minor: Money }, closed))),
}, closed)
export type RefundAnswer = Static<typeof RefundOut>

const RedemptionOut = Type.Object({
  ...REDEMPTION, state: Type.Enum([...REDEMPTION_STATES]), request_id: Type.Optional(Id),
  reserved_at: Type.Optional(InstantOut), expires_at: Type.Optional(InstantOut), confirmed_at: Type.Optional(InstantOut), cancelled_at: Type.Optional(InstantOut),
  lines: Type.Optional(Type.Array(Type.Object({ line_id: Id, quantity: CountFromOne, refunded_quantity: Count }, closed))),
  refunds: Type.Optional(Type.Array(RefundOut)),
}, closed)
export type RedemptionAnswer = Static<typeof RedemptionOut>
const RedemptionsOut = Type.Object({ items: Type.Array(RedemptionOut), next: Type.Union([Type.String(), Type.Null()]) }, closed)

const RedemptionPath = Type.Object({ redemption_id: Id }, closed)

export const quoteOrder = operation({
  name: "quote", method: "POST", path: "/v1/quotes", family: "checkout", scopes: ["checkout"],
  says: "Price an order with coupons. It changes nothing.",
  body: Type.Object({ user_id: Id, order: Order, coupons: Coupons }, closed), rule: cartFault,
  yes: { quoted: QuoteOut }, no: [],
})

export const reserveOrder = operation({
  name: "reserve", method: "POST", path: "/v1/redemptions", family: "checkout", scopes: ["checkout"],
  says: "Hold coupons and their money for an order.",
  body: Type.Object({
    order_id: Id, user_id: Id, request_id: Type.Optional(Type.String({ ...Id, description: "the order_id unless told" })), order: Order, coupons: Coupons,
    hold_s: Type.Optional(Type.Integer({ minimum: 1, maximum: HOLD_S_MAX, default: HOLD_DEFAULT_S, description: `seconds, 1 to ${HOLD_S_MAX}` })),
  }, closed),
  rule: cartFault,
  yes: { reserved: ReservedOut },
  no: [
    "request_conflict", "coupon_unknown", "coupon_reserved", "coupon_redeemed", "coupon_ended", "coupon_revoked", "campaign_paused", "campaign_stopped",
    "campaign_not_started", "campaign_ended", "terms_not_met", "not_stackable", "budget_exhausted", "budget_not_open", "redemption_confirmed",
    "redemption_refunded", "redemption_partly_refunded", "quota_busy", "journal_full",
  ],
})

export const confirmRedemption = operation({
  name: "confirm", method: "POST", path: "/v1/redemptions/{redemption_id}/confirm", family: "checkout", scopes: ["checkout"],
  says: "The order is paid: its coupons are redeemed. With `late` an expired redemption is confirmed at its price, if coupons and money are still free.",
  params: RedemptionPath, body: Type.Object({ late: Type.Optional(Type.Boolean()) }, closed), body_optional: true,
  yes: { confirmed: ConfirmedOut }, no: ["redemption_unknown", "redemption_cancelled", "redemption_expired", "quota_busy", "journal_full"],
})

export const extendRedemption = operation({
  name: "extend", method: "POST", path: "/v1/redemptions/{redemption_id}/extend", family: "checkout", scopes: ["checkout"],
  says: "Move the end of a hold forward, at most 7 days after the reserve.",
  params: RedemptionPath, body: Type.Object({ expires_at: Instant }, closed),
  yes: { extended: ReservedOut },
  no: ["redemption_unknown", "redemption_confirmed", "redemption_cancelled", "redemption_expired", "redemption_refunded", "redemption_partly_refunded", "expires_too_early", "expires_too_late"],
})

export const cancelRedemption = operation({
  name: "cancel", method: "POST", path: "/v1/redemptions/{redemption_id}/cancel", family: "checkout", scopes: ["checkout"],
  says: "Give back what is held for an order.",
  params: RedemptionPath, body: Type.Object({}, closed), body_optional: true,
  yes: { cancelled: CancelledOut },
  no: ["redemption_unknown", "redemption_confirmed", "redemption_expired", "redemption_refunded", "redemption_partly_refunded"],
})

const RefundLines = Type.Union(
  [Type.Literal("all"), Type.Array(Type.Object({ line_id: Id, quantity: CountFromOne }, closed), { minItems: 1, maxItems: LINES_MAX })],
  { description: `"all" or a list of lines with their quantities` },
)

export const refundRedemption = operation({
  name: "refund", method: "POST", path: "/v1/redemptions/{redemption_id}/refunds", family: "checkout", scopes: ["checkout"],
  says: "Goods come back: their part of the discount returns to the budgets.",
  params: RedemptionPath, body: Type.Object({ refund_id: Id, lines: RefundLines }, closed),
  rule: ({ lines }) => lines === "all" ? undefined : twice(lines.map(({ line_id }) => line_id), (place) => `lines[${place}].line_id`),
  yes: { refunded: RefundOut },
  no: ["request_conflict", "redemption_unknown", "redemption_reserved", "redemption_cancelled", "redemption_expired", "redemption_refunded", "refund_exceeds"],
})

export const getRedemption = operation({
  name: "get_redemption", method: "GET", path: "/v1/redemptions/{redemption_id}", family: "checkout", scopes: ["checkout", "read"],
  says: "A redemption as it stands, with its refunds.",
  params: RedemptionPath, yes: { found: RedemptionOut }, no: ["redemption_unknown"],
})

export const listRedemptions = operation({
  name: "list_redemptions", method: "GET", path: "/v1/redemptions", family: "checkout", scopes: ["checkout", "read"],
  says: "The redemptions of an order.",
  query: Type.Object({ user_id: Id, order_id: Id, ...PAGE }, closed),
  yes: { found: RedemptionsOut }, no: [],
})

export type QuoteAsk = AskOf<typeof quoteOrder>
export type ReserveAsk = AskOf<typeof reserveOrder>
export type ConfirmAsk = AskOf<typeof confirmRedemption>
export type ExtendAsk = AskOf<typeof extendRedemption>
export type CancelAsk = AskOf<typeof cancelRedemption>
export type RefundAsk = AskOf<typeof refundRedemption>
export type RedemptionAsk = AskOf<typeof getRedemption>
export type ListRedemptionsAsk = AskOf<typeof listRedemptions>

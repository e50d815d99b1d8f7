/**
 * Checkout: an order is priced, coupons are held for it, and the hold is confirmed, given back or refunded.
 */
import { Type, type Static } from "typebox"
import { PROFILE_SAYS, ProfileSchema } from "../pricing/policy.ts"
import { REASONS, RULE_NAMES } from "../pricing/types.ts"
import {
  closed, Count, CountFromOne, COUPONS_MAX, HOLD_DEFAULT_S, HOLD_S_MAX, Id, Instant, InstantOut, LINES_MAX, Money, PAGE, TOKEN_CHARS_MAX,
} from "./basics.ts"
import { Draft, draftFault } from "./campaigns.ts"
import type { RequestFault } from "./check.ts"
import { Order, orderFault } from "./order.ts"
import { type AskOf, operation } from "./operation.ts"

const COUPONS = `"best" or a list of at most ${COUPONS_MAX} coupon ids`
const Coupons = Type.Union([Type.Literal("best"), Type.Array(Id, { maxItems: COUPONS_MAX })], { description: COUPONS })

/** What "best" may take by default and at most, in milliseconds. */
export const SEARCH_MS = 20
export const SEARCH_MS_MAX = 50
/**
 * Of the coupons of a wallet that were used, ended or were taken away, "best" says so many, the newest: each has 230 bytes in the answer
 * and in what is kept of the redemption, and a wallet has all of the last two days.
 */
export const USED_TOLD_MAX = 20
/**
 * Of the coupons of a wallet that may be used "best" looks at so many, and of one campaign at as many as may be named: those that end first. Of those that
 * are reserved or paused it says so many. A wallet has no bound of its own; of one with 20,000 coupons a quote took 2.5 to 7 s and
 * its answer had 5.6 MB, where it takes 65 to 120 ms now, 28 of them Redis that reads the wallet (2026-11-23).
 */
export const BEST_COUPONS_MAX = 500
/** Campaigns that do not exist yet, in one quote. */
export const DRAFTS_MAX = COUPONS_MAX

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

const couponPlace = (place: number): string => `coupons[${place}]`
const draftPlace = (place: number): string => `drafts[${place}].campaign_id`
const notBeside = (field: string, other: string): RequestFault => ({ field, detail: `${field} cannot stand beside ${other}.` })
const missing = (field: string): RequestFault => ({ field, detail: `${field} is missing.` })

type Asked = Static<typeof Coupons>
const cartFault = ({ order, coupons }: { order: Order; coupons: Asked | undefined }): RequestFault | undefined =>
  orderFault(order) ?? (coupons === undefined || coupons === "best" ? undefined : twice(coupons, couponPlace))

const draftsFault = (drafts: readonly Draft[]): RequestFault | undefined => {
  const again = twice(drafts.map(({ campaign_id }) => campaign_id), draftPlace)
  if (again) return again
  for (const [place, draft] of drafts.entries()) {
    const wrong = draftFault(draft)
    if (wrong) return { field: `drafts[${place}].${wrong.field}`, detail: `drafts[${place}].${wrong.detail}` }
  }
  return undefined
}

/** How an order is priced, beside its coupons. */
const SETTING = {
  profile: Type.Optional(Type.Union(ProfileSchema.anyOf, { description: PROFILE_SAYS })),
  budget_ms: Type.Optional(Type.Integer({
    minimum: 1, maximum: SEARCH_MS_MAX, default: SEARCH_MS, description: `what "best" may take, 1 to ${SEARCH_MS_MAX} ms, turned into a count of steps before it begins`,
  })),
  minimise: Type.Optional(Type.Object({ line: Id }, { ...closed, description: 'of equally good sets, "best" takes the one that costs this line\'s budgets least' })),
}

const AppliedLine = Type.Object({
  line_id: Id, discount_minor: Money,
  units: Type.Array(Type.Object({ quantity: CountFromOne, discount_minor: Money }, closed), { description: "runs of units in their order: the discount of each" }),
}, closed)

const Applied = Type.Object({
  coupon_id: Id, campaign_id: Id, discount_minor: Money, lines: Type.Array(AppliedLine),
  shipping_discount_minor: Money, benefit_minor: Money, cost_minor: Money,
  gifts: Type.Optional(Type.Array(Type.Object({ sku: Id, unit_price_minor: Money, quantity: CountFromOne }, closed))),
  schedule: Type.Optional(Type.Array(Type.Object({ period: CountFromOne, principal_minor: Money, interest_minor: Money }, closed))),
}, closed)

const Needs = Type.Object({
  payment_method: Type.Optional(Id), without: Type.Optional(Type.Array(Id)), spend_more_minor: Type.Optional(Money),
  quantity_more: Type.Optional(Count), from_at: Type.Optional(InstantOut),
}, { ...closed, description: "what the shopper can change so that it applies; all keys together are the change, and the changed order has been priced" })

const Rejected = Type.Object({
  coupon_id: Id, campaign_id: Type.Optional(Id), code: Type.String({ description: "the outcome that a redemption of it would get" }), detail: Type.String(),
  reason: Type.Optional(Type.Enum([...REASONS], { description: "for terms_not_met: the first condition that fails, in this order" })),
  rule: Type.Optional(Type.Enum([...RULE_NAMES], { description: "for not_stackable: the rule that keeps it from standing beside other_coupon_id" })),
  other_coupon_id: Type.Optional(Id),
  budget_id: Type.Optional(Id), ended_at: Type.Optional(InstantOut),
  needs: Type.Optional(Needs),
}, closed)

const RejectedList = Type.Array(Rejected, { description: `what is not applied, and why; of a wallet's coupons that are used up, ended or revoked "best" says the newest ${USED_TOLD_MAX}, and of more than ${BEST_COUPONS_MAX} coupons it looks at those that end first, of a campaign at most ${COUPONS_MAX}; then the answer is not proved` })

const PRICED = {
  discount_minor: Type.Integer({ ...Money, description: "what comes off, the shipping discount in it" }),
  shipping_discount_minor: Money,
  total_minor: Type.Integer({ ...Money, description: "what is left to pay" }),
  benefit_minor: Type.Integer({ ...Money, description: "what is given beside the price: gifts, interest, money later" }),
  cost_minor: Type.Integer({ ...Money, description: "what the budgets pay" }),
  profile: Type.Union(ProfileSchema.anyOf),
  proved: Type.Boolean({ description: "nothing better exists" }),
  gap_minor: Type.Integer({ ...Money, description: "how much better a set could at most be" }),
  applied: Type.Array(Applied, { description: "in the order of application" }),
}

const Token = Type.String({ minLength: 1, maxLength: TOKEN_CHARS_MAX, pattern: "^[A-Za-z0-9._-]*$", description: "a signed quote, as it was answered" })
const QuoteOut = Type.Object({ ...PRICED, rejected: RejectedList, quote: Type.Optional(Token), quote_ends_at: Type.Optional(InstantOut) }, closed)

export const REDEMPTION_STATES = ["reserved", "confirmed", "partly_refunded", "refunded", "cancelled", "expired"] as const

const REDEMPTION = {
  redemption_id: Id, order_id: Id, user_id: Id, ...PRICED,
}

const ReservedOut = Type.Object({ ...REDEMPTION, state: Type.Literal("reserved"), rejected: Type.Optional(RejectedList), expires_at: InstantOut }, closed)
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
  name: "quote", method: "POST", path: "/v1/quotes", family: "checkout", scopes: ["checkout", "operate"],
  says: "Price an order with coupons, or, for operators, with campaigns that do not exist yet. It changes nothing.",
  body: Type.Object({
    user_id: Type.Optional(Type.String({ ...Id, description: "may be missing where drafts are priced" })),
    order: Order,
    coupons: Type.Optional(Type.Union([...Coupons.anyOf], { description: `${COUPONS}; with drafts also their campaign ids, and all drafts in their order unless told` })),
    ...SETTING,
    priced_at: Type.Optional(Instant),
    hold: Type.Optional(Type.Literal("price", { description: '"price": the answer has a signed quote, which a redemption is held at' })),
    hold_s: Type.Optional(Type.Integer({ minimum: 1, maximum: HOLD_S_MAX, default: HOLD_DEFAULT_S, description: `how long the price holds: seconds, 1 to ${HOLD_S_MAX}` })),
    drafts: Type.Optional(Type.Array(Draft, { minItems: 1, maxItems: DRAFTS_MAX, description: `a list of 1 to ${DRAFTS_MAX} campaigns, priced as if the user held one coupon of each` })),
  }, closed),
  rule: ({ user_id, order, coupons, drafts, hold, hold_s, priced_at }) => {
    if (!drafts && user_id === undefined) return missing("user_id")
    if (!drafts && coupons === undefined) return missing("coupons")
    // What is promised is a price of now, for coupons that are there.
    if (hold && drafts) return notBeside("hold", "drafts")
    if (hold && priced_at !== undefined) return notBeside("hold", "priced_at")
    if (!hold && hold_s !== undefined) return { field: "hold_s", detail: "hold_s says how long a price is held, and hold is missing." }
    return cartFault({ order, coupons }) ?? (drafts && draftsFault(drafts))
  },
  yes: { quoted: QuoteOut }, no: [],
})

export const reserveOrder = operation({
  name: "reserve", method: "POST", path: "/v1/redemptions", family: "checkout", scopes: ["checkout"],
  says: "Hold coupons and their money for an order, or hold it at the price of a signed quote. It is known by (user_id, order_id, request_id); to name a default is the same content as to leave it out.",
  body: Type.Object({
    order_id: Id, user_id: Id, request_id: Type.Optional(Type.String({ ...Id, description: "the order_id unless told" })), order: Order,
    coupons: Type.Optional(Coupons), quote: Type.Optional(Token), ...SETTING,
    hold_s: Type.Optional(Type.Integer({ minimum: 1, maximum: HOLD_S_MAX, default: HOLD_DEFAULT_S, description: `seconds, 1 to ${HOLD_S_MAX}` })),
  }, closed),
  rule: ({ order, coupons, quote, profile, budget_ms, minimise }) => {
    if (quote === undefined) return coupons === undefined ? missing("coupons") : cartFault({ order, coupons })
    for (const [field, value] of Object.entries({ coupons, profile, budget_ms, minimise })) if (value !== undefined) return notBeside(field, "quote")
    return orderFault(order)
  },
  yes: { reserved: ReservedOut },
  no: [
    "request_conflict", "coupon_unknown", "coupon_reserved", "coupon_redeemed", "coupon_ended", "coupon_revoked", "campaign_paused", "campaign_stopped",
    "campaign_not_started", "campaign_ended", "terms_not_met", "not_stackable", "quote_mismatch", "quote_ended", "quote_unsigned", "budget_exhausted", "budget_not_open", "redemption_confirmed",
    "quota_busy", "journal_full",
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
  says: "Move the end of a hold forward, at most 7 days after the reserve. A repeat of the last extend is a repeat; one of an older is `expires_too_early`.",
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
  says: "Goods come back: their part of the discount returns to the budgets. Once all is refunded, a new refund is `redemption_refunded`; before that, more than is left is `refund_exceeds`.",
  params: RedemptionPath, body: Type.Object({ refund_id: Id, lines: RefundLines }, closed),
  rule: ({ lines }) => lines === "all" ? undefined : twice(lines.map(({ line_id }) => line_id), (place) => `lines[${place}].line_id`),
  yes: { refunded: RefundOut },
  no: ["request_conflict", "redemption_unknown", "redemption_reserved", "redemption_cancelled", "redemption_expired", "redemption_refunded", "refund_exceeds"],
})

export const getRedemption = operation({
  name: "get_redemption", method: "GET", path: "/v1/redemptions/{redemption_id}", family: "checkout", scopes: ["checkout", "read"],
  says: "A redemption as it stands, with its refunds. Like confirm, cancel and refund it needs no line: whoever has the id sees the whole.",
  params: RedemptionPath, yes: { found: RedemptionOut }, no: ["redemption_unknown"],
})

export const listRedemptions = operation({
  name: "list_redemptions", method: "GET", path: "/v1/redemptions", family: "checkout", scopes: ["checkout", "read"],
  says: "The redemptions of an order, whichever lines their coupons are of.",
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

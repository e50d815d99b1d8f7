/**
 * Pricing for whoever holds an order and the campaigns' terms: a page, a till, a test. The same functions to the cent.
 *
 * What must stay true: this is all that the browser's bundle offers, it needs nothing of Bun or Node, and what it prices
 * or refuses is what the engine would answer to a quote of the same order and drafts at that instant.
 */
import { check, type RequestFault } from "../engine/contract/check.ts"
import { quoteOrder } from "../engine/contract/checkout.ts"
import { STEPS_PER_MS } from "../engine/pricing/best.ts"
import { termsFaults } from "../engine/pricing/compile.ts"
import { draftCoupon } from "../engine/pricing/drafts.ts"
import type { TermsFault } from "../engine/pricing/kind.ts"
import { KINDS } from "../engine/pricing/kinds/index.ts"
import { policyOf, PROFILES, type Policy, type Profile } from "../engine/pricing/policy.ts"
import { price } from "../engine/pricing/price.ts"
import { takeBackReEvaluated, type Remembered } from "../engine/pricing/re_evaluate.ts"
import { takeBack, type RefundAsk, type RefundLine } from "../engine/pricing/refund.ts"
import type { CampaignBody, Order, Quote } from "../engine/pricing/types.ts"

/** The names of all kinds, in the order of their pages. */
export const kinds: readonly string[] = KINDS.map(({ name }) => name)

/** The names of all profiles of the money policy. */
export const profiles: readonly string[] = Object.keys(PROFILES)

/** The whole policy that a profile means. */
export const policy = (profile: Profile): Policy => policyOf(profile, undefined)

/** All that is wrong with a campaign's pricing fields, by field; nothing: an empty list. */
export const faults = (body: Omit<CampaignBody, "campaign_id">): TermsFault[] => termsFaults(body)

/** What is asked: an order, and campaigns as if the shopper held one coupon of each, called like its campaign. */
export type Ask = {
  readonly order: Order
  readonly campaigns: readonly CampaignBody[]
  /** Those of the list, in its order, or the best set; missing: all of them as a list. */
  readonly coupons?: "best" | readonly string[]
  readonly profile?: Profile
  /** The instant that hours are judged at, in milliseconds. */
  readonly now_ms?: number
  /** How long the search of the best set may take, 1 to 50; turned into steps. */
  readonly budget_ms?: number
}

/** The contract of a quote, as the engine checks it. */
const faultOfQuote = check(quoteOrder.body!, quoteOrder.rule)
/** Whoever stands at the till: a quote without drafts asks for a user. */
const SHOPPER = "shopper"

/** Prices an order. Throws a TypeError with `code: "request_invalid"`, the `field`, and the engine's sentence about it, where the engine would refuse. */
export function quote({ order, campaigns, coupons, profile, now_ms, budget_ms }: Ask): Quote {
  const hasNone = Array.isArray(campaigns) && campaigns.length === 0
  const fault = faultOfQuote({
    ...(order !== undefined && { order }), user_id: SHOPPER,
    ...(hasNone ? { coupons: coupons ?? [] } : { drafts: campaigns ?? null, ...(coupons !== undefined && { coupons }) }),
    ...(profile !== undefined && { profile }), ...(budget_ms !== undefined && { budget_ms }),
  })
  if (fault) throw refused(asCalledHere(fault))
  if (now_ms !== undefined && !Number.isSafeInteger(now_ms)) throw refused({ field: "now_ms", detail: "now_ms must be a whole number." })
  const held = campaigns.map(draftCoupon)
  const asked = Array.isArray(coupons) ? coupons.map((coupon_id) => held.find((one) => one.coupon_id === coupon_id) ?? missing(coupon_id)) : held
  return price(order, asked, coupons === "best" ? "best" : "named", {
    now_ms,
    profile,
    ...(budget_ms !== undefined && { steps_max: budget_ms * STEPS_PER_MS }),
  })
}

/** What a quote calls drafts are the campaigns here. */
const asCalledHere = ({ field, detail }: RequestFault): RequestFault => ({ field: field.replace(/^drafts\b/, "campaigns"), detail: detail.replace(/^drafts\b/, "campaigns") })

const refused = ({ field, detail }: RequestFault): TypeError => Object.assign(new TypeError(detail), { code: "request_invalid", field })

function missing(coupon_id: unknown): never {
  throw refused({ field: "coupons", detail: `coupons: there is no campaign ${String(coupon_id)}.` })
}

/** What a return gives back, keeping the price of what is kept. */
export const refund = (lines: readonly RefundLine[], ask: RefundAsk, shipping: readonly number[] = []) => takeBack(lines, ask, shipping)

/** What a return gives back where what is kept is priced anew. */
export const refundReEvaluated = (remembered: Remembered, ask: RefundAsk) => takeBackReEvaluated(remembered, ask)

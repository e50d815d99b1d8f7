// Pricing for whoever holds an order and the campaigns' terms: a page, a till, a test. The same functions to the cent.
//
// What must stay true: this is all that the browser's bundle offers, it needs nothing of Bun or Node, and what it prices
// is what the engine would answer for the same order, terms and instant.

import { STEPS_PER_MS } from "./best.ts"
import { orderFault } from "./cart.ts"
import { termsFaults } from "./compile.ts"
import { draftCoupon } from "./drafts.ts"
import type { TermsFault } from "./kind.ts"
import { KINDS } from "./kinds/index.ts"
import { policyOf, PROFILES, type Policy, type Profile } from "./policy.ts"
import { price } from "./price.ts"
import { takeBackReEvaluated, type Remembered } from "./re_evaluate.ts"
import { takeBack, type RefundAsk, type RefundLine } from "./refund.ts"
import type { CampaignBody, Order, Quote } from "./types.ts"

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

/** Prices an order. Throws a TypeError that names the field where the order or a campaign cannot be priced. */
export function quote({ order, campaigns, coupons, profile, now_ms, budget_ms }: Ask): Quote {
  const fault = orderFault(order)
  if (fault) throw new TypeError(`${fault.field} ${fault.says}`)
  const held = campaigns.map(draftCoupon)
  const asked = Array.isArray(coupons) ? coupons.map((coupon_id) => held.find((one) => one.coupon_id === coupon_id) ?? missing(coupon_id)) : held
  return price(order, asked, coupons === "best" ? "best" : "named", {
    now_ms,
    profile,
    ...(budget_ms !== undefined && { steps_max: budget_ms * STEPS_PER_MS }),
  })
}

function missing(coupon_id: unknown): never {
  throw new TypeError(`coupons: there is no campaign ${String(coupon_id)}`)
}

/** What a return gives back, keeping the price of what is kept. */
export const refund = (lines: readonly RefundLine[], ask: RefundAsk, shipping: readonly number[] = []) => takeBack(lines, ask, shipping)

/** What a return gives back where what is kept is priced anew. */
export const refundReEvaluated = (remembered: Remembered, ask: RefundAsk) => takeBackReEvaluated(remembered, ask)

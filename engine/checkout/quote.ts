/**
 * Quote: what would apply to an order, what would not and why. It changes nothing.
 */
import { userHash } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import type { QuoteAsk } from "../contract/checkout.ts"
import type { Parts } from "../parts.ts"
import { price, type Quote } from "../pricing/price.ts"
import { budgetsShort } from "./budgets_short.ts"
import { chooseAll, chooseNamed, readWallet, whyNotUsable, type Chosen, type Left } from "./choose.ts"
import { placesOf } from "./places.ts"
import { sayNo } from "./say.ts"

/** Terminal coupons of a wallet are history, not something a shopper asks about: "best" says only these. */
const WORTH_SAYING = new Set(["coupon_reserved", "campaign_paused", "budget_exhausted", "budget_not_open"])

/** A left coupon as an item of `rejected`. */
export const rejectedOf = ({ coupon_id, campaign_id, no: { outcome, ...fields } }: Left): Quote["rejected"][number] =>
  ({ ...fields, coupon_id, ...(campaign_id ? { campaign_id } : {}), code: outcome, detail: sayNo(outcome) }) as Quote["rejected"][number]

/** Of the named coupons, those that the wallet has and that could be used now. */
const usableNamed = async (parts: Parts, caller: Caller, user: string, coupon_ids: readonly string[]): Promise<Chosen> => {
  const places = placesOf(user, parts.cells, caller.now_ms)
  const { choices, left } = await chooseNamed(parts, caller, user, coupon_ids)
  if (choices.length === 0) return { choices, left }
  const { coupons, at_ms } = await readWallet(parts, places, caller.now_ms, { fields: choices.map(({ field }) => field) })
  const usable = choices.filter((choice) => {
    const record = coupons.get(choice.field)
    const no = record ? whyNotUsable(choice.coupon_id, record, choice.campaign, at_ms) : { outcome: "coupon_unknown" as const, coupon_id: choice.coupon_id }
    if (no) left.push({ coupon_id: choice.coupon_id, campaign_id: choice.campaign.campaign_id, no })
    return !no
  })
  return { choices: usable, left }
}

/** Price an order with the user's coupons. */
export const quoteWith = (parts: Parts) => async (ask: QuoteAsk, caller: Caller): Promise<Answered> => {
  const user = userHash(ask.user_id)
  const isBest = ask.coupons === "best"
  const chosen = ask.coupons === "best"
    ? await chooseAll(parts, caller, placesOf(user, parts.cells, caller.now_ms), user)
    : await usableNamed(parts, caller, user, ask.coupons)
  const left = isBest ? chosen.left.filter(({ no }) => WORTH_SAYING.has(no.outcome)) : chosen.left

  let choices = chosen.choices
  // Each round drops at least one coupon that no budget can pay, so it ends.
  for (;;) {
    const quote = price(ask.order, choices.map(({ held }) => held), isBest ? "best" : "named", { now_ms: caller.now_ms })
    const short = await budgetsShort(parts, quote, choices, caller.now_ms)
    if (short.length === 0) return { outcome: "quoted", body: { ...quote, rejected: [...left.map(rejectedOf), ...quote.rejected] } }
    left.push(...short)
    const dropped = new Set(short.map(({ coupon_id }) => coupon_id))
    choices = choices.filter(({ coupon_id }) => !dropped.has(coupon_id))
  }
}

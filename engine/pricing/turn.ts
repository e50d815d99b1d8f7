// One coupon's turn: what it takes off the cart it finds, whether that can be paid, or why not.
//
// What must stay true: a turn changes nothing, it answers with the next cart or a refusal; what a coupon gives alone is
// judged on the untouched order and remembered, since every rule about "usable" asks for it.

import { effectOn, type Candidate } from "./candidate.ts"
import { cartAfter } from "./cart.ts"
import { pay } from "./funds.ts"
import type { Cart, Effect, Reason, RuleName, Sheet } from "./types.ts"

/** Why a coupon was not taken. */
export type Refusal =
  | { readonly code: "terms_not_met"; readonly reason: Reason; readonly detail: string }
  | { readonly code: "not_stackable"; readonly rule: RuleName; readonly other: Candidate; readonly detail: string }
  | { readonly code: "budget_exhausted"; readonly budget_id: string; readonly detail: string }

/** A coupon taken, and the cart it leaves. */
export type Turn = { readonly effect: Effect; readonly cart: Cart }

export const isTurn = (turn: Turn | Refusal): turn is Turn => "effect" in turn

const nothing = (detail: string): Refusal => ({ code: "terms_not_met", reason: "nothing_to_discount", detail })

/** Alone, on the untouched order. */
export const NOTHING_TO_DISCOUNT = nothing("There is nothing in the order that the coupon could take off.")
const NOTHING_TO_GIVE_FOR = nothing("There is nothing in the order that the coupon could give something for.")
/** Beside others. A finance coupon is judged when all discounts are known, so later ones may leave it nothing too. */
const NOTHING_LEFT = nothing("The coupons applied before it leave nothing that the coupon could take off.")
const NOTHING_AT_THE_END = nothing("The discounts of the other coupons leave nothing that the coupon could give something for.")

const nothingLeft = ({ terms }: Candidate): Refusal => (terms.kind.phase === "finance" ? NOTHING_AT_THE_END : NOTHING_LEFT)
const nothingAlone = ({ terms }: Candidate): Refusal => (terms.kind.takes_nothing ? NOTHING_TO_GIVE_FOR : NOTHING_TO_DISCOUNT)

/** Takes a coupon; `began` is the cart with which its level began. */
export function takeTurn(candidate: Candidate, cart: Cart, began: Cart): Turn | Refusal {
  // A cart is of one sequence of coupons, and so is what its levels began with: the same turn comes out the same.
  const known = cart.turns?.get(candidate)
  if (known) return known
  const turn = turnOn(candidate, cart, began)
  cart.turns?.set(candidate, turn)
  return turn
}

function turnOn(candidate: Candidate, cart: Cart, began: Cart): Turn | Refusal {
  const effect = effectOn(candidate, cart, began, candidate.terms.maxMinor)
  if (!effect) return nothingLeft(candidate)
  if (!cart.funds || candidate.coupon.is_paid) return { effect, cart: cartAfter(cart, effect, cart.funds) }

  const paid = pay(cart.funds, candidate.terms, effect.costMinor)
  if ("left" in paid) return { effect, cart: cartAfter(cart, effect, paid.left) }
  const partial = candidate.policy.budget_short === "partial" && !candidate.terms.kind.takes_nothing
  const less = partial ? effectOn(candidate, cart, began, paid.payableMinor) : undefined
  const paidLess = less && pay(cart.funds, candidate.terms, less.costMinor)
  if (less && paidLess && "left" in paidLess) return { effect: less, cart: cartAfter(cart, less, paidLess.left) }
  return { code: "budget_exhausted", budget_id: paid.short, detail: `The budget ${paid.short} cannot pay for the coupon now.` }
}

/** The same on the untouched order. */
export function aloneOf(candidate: Candidate, sheet: Sheet): Turn | Refusal {
  if (!candidate.alone) {
    const cart = sheet.untouched
    const turn = takeTurn(candidate, cart, cart)
    candidate.alone = !isTurn(turn) && turn.code === "terms_not_met" ? nothingAlone(candidate) : turn
  }
  return candidate.alone
}

/** A refusal that holds whatever else is asked for, before the one that others have caused. */
export function ownOr(candidate: Candidate, sheet: Sheet, caused: Refusal): Refusal {
  const alone = aloneOf(candidate, sheet)
  return isTurn(alone) ? caused : alone
}

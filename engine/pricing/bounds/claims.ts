// What coupons that choose among units can give together: the bound on those of which only exact pricing knows more.
//
// Why it exists: such coupons contend for the same units, or push each other on to dearer ones, so what each could give
// for itself says little. Each way of choosing has a room of its own that sees all claims of its way at once: shares.ts
// (fractions of the first units of lines), rounds.ts (buy and get), sets.ts (bundles). What the ways do to each other is
// left out: it only takes away from what is there.
// What must stay true: a bound is never below what a set of the claimants gives on the cart looked at, or on any cart
// that other coupons can leave of it.

import type { Form } from "../sketch.ts"
import type { Claim, Sheet } from "../types.ts"
import type { Claimant, Together } from "./claimant.ts"
import { roundsOn } from "./rounds.ts"
import { setsOn } from "./sets.ts"
import { sharesOn } from "./shares.ts"

export type Claims = {
  /** By turn: 1 where the coupon is one of them. */
  readonly holds: Uint8Array
  readonly together: Together
}

/** The bound on all claims of a search; undefined where there are none. */
export function claimsOn(sheet: Sheet, forms: readonly Form[], cliques: number, room: Float64Array): Claims | undefined {
  const claimants = forms.flatMap(({ candidate, outline, loose, mostMinor, clique }, turn): Claimant[] => {
    const { claim } = candidate.terms
    return outline || !claim ? [] : [{ turn, candidate, claim, clique, mostMinor: loose ? loose.capMinor : mostMinor }]
  })
  if (claimants.length === 0) return undefined
  // What may leave the units of a line worth less than those before them.
  const others = forms.flatMap(({ candidate: { terms, targets } }) => (terms.outline || terms.claim?.takes === "share" || terms.kind.takes_nothing ? [] : [targets]))
  const rooms = [
    sharesOn(sheet, claimants.filter(isShare), others, cliques),
    roundsOn(sheet, claimants),
    setsOn(sheet, claimants.filter(isSets), cliques, room),
  ]
  const holds = new Uint8Array(forms.length)
  for (const { turns } of rooms) for (const turn of turns) holds[turn] = 1
  if (!holds.includes(1)) return undefined
  return {
    holds,
    together: (cart, first, room, open, sums) => {
      for (const { turns, together } of rooms) if (turns.length > 0) together(cart, first, room, open, sums)
    },
  }
}

const isShare = (one: Claimant): one is Claimant<Extract<Claim, { takes: "share" }>> => one.claim.takes === "share"
const isSets = (one: Claimant): one is Claimant<Extract<Claim, { takes: "sets" }>> => one.claim.takes === "sets"

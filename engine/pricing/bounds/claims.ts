// What coupons that choose among units can give together: the bound on those of which only exact pricing knows more.
//
// Why it exists: such coupons contend for the same units, or push each other on to dearer ones, so what each could give
// for itself says little. Each way of choosing has a room of its own that sees all claims of its way at once: shares.ts
// (fractions of the first units of lines), rounds.ts (buy and get), sets.ts (bundles). What the ways do to each other is
// left out: it only takes away from what is there.
// What must stay true: a bound is never below what a set of the claimants gives on the cart looked at, or on any cart
// that other coupons can leave of it.

import type { Sketch } from "../sketch.ts"
import type { Claim, Sheet } from "../types.ts"
import type { Claimant, Together } from "./claimant.ts"
import { layersOn, type Layers } from "./layers.ts"
import { roundsOn } from "./rounds.ts"
import { setsOn } from "./sets.ts"
import { sharesOn } from "./shares.ts"

export type Claims = {
  /** By turn: 1 where the coupon is one of them. */
  readonly holds: Uint8Array
  /** Where there are tiers by unit and coupons of whole lines: the bound on those together. */
  readonly layers: Layers | undefined
  /** The bound on all claims; and what those give of them that `layers` leaves out, where that is asked for. */
  readonly together: (...look: [...Parameters<Together>, besides?: Float64Array]) => void
}

/** The bound on all claims of a search; undefined where there are none. */
export function claimsOn(sheet: Sheet, sketch: Sketch, room: Float64Array): Claims | undefined {
  const { forms, cliques } = sketch
  const claimants = forms.flatMap(({ candidate, outline, loose, mostMinor, clique }, turn): Claimant[] => {
    const { claim } = candidate.terms
    return outline || !claim ? [] : [{ turn, candidate, claim, clique, mostMinor: loose ? loose.capMinor : mostMinor }]
  })
  if (claimants.length === 0) return undefined
  // What may leave the units of a line worth less than those before them.
  const others = forms.flatMap(({ candidate: { terms, targets } }) => (terms.outline || terms.claim?.takes === "share" || terms.kind.takes_nothing ? [] : [targets]))
  const shares = sharesOn(sheet, claimants.filter(isShare), others, sketch)
  const rooms = [roundsOn(sheet, claimants), setsOn(sheet, claimants.filter(isSets), cliques, room)]
  const holds = new Uint8Array(forms.length)
  for (const { turns } of [shares, ...rooms]) for (const turn of turns) holds[turn] = 1
  if (!holds.includes(1)) return undefined
  const layers = layersOn(sheet, sketch, holds)
  const chosen = sharesOn(sheet, claimants.filter(isShare).filter(({ turn }) => layers?.holds[turn] === 0), others, sketch)
  return {
    holds,
    layers,
    together: (cart, first, room, open, sums, besides) => {
      for (const { turns, together } of rooms) if (turns.length > 0) together(cart, first, room, open, sums)
      besides?.set(sums)
      if (shares.turns.length > 0) shares.together(cart, first, room, open, sums)
      if (besides && chosen.turns.length > 0) chosen.together(cart, first, room, open, besides)
    },
  }
}

const isShare = (one: Claimant): one is Claimant<Extract<Claim, { takes: "share" }>> => one.claim.takes === "share"
const isSets = (one: Claimant): one is Claimant<Extract<Claim, { takes: "sets" }>> => one.claim.takes === "sets"

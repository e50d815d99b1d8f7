// A coupon against one order: which lines it speaks of, where it takes from, and by which policy.
//
// What must stay true: a candidate is the same whatever other coupons are asked for beside it.

import { axesOf, policyOf, type Policy, type Profile } from "./policy.ts"
import type { Refusal, Turn } from "./turn.ts"
import type { Cart, Effect, HeldCoupon, Scene, Sheet, Terms } from "./types.ts"

export type Candidate = {
  readonly coupon: HeldCoupon
  readonly terms: Terms
  /** The place in the request's list, or among the coupon_ids for `"best"`: the last word on the order of application. */
  readonly place: number
  readonly lines: readonly number[]
  readonly targets: readonly number[]
  readonly policy: Policy
  readonly thresholdSees: "running" | "original"
  /** Its turn on the untouched order; computed when first asked for. */
  alone?: Turn | Refusal
}

/** Lays coupons against an order. */
export function candidatesOf(sheet: Sheet, coupons: readonly HeldCoupon[], profile: Profile | undefined): Candidate[] {
  // A profile by name settles every axis, so one policy serves all coupons.
  const whole = profile === undefined ? undefined : policyOf(profile, undefined)
  const partial = profile !== undefined && Object.keys(axesOf(profile)).length < Object.keys(whole!).length
  return coupons.map((coupon, place) => {
    const { terms } = coupon
    const policy = whole === undefined ? terms.policy : partial ? policyOf(profile, terms.profile) : whole
    const lines = eligible(sheet, terms)
    return {
      coupon,
      terms,
      place,
      lines,
      targets: targetsOf(sheet, terms, lines),
      policy,
      thresholdSees: terms.thresholdSees ?? policy.threshold_sees,
    }
  })
}

function eligible(sheet: Sheet, { applies, onlyUndiscounted }: Terms): readonly number[] {
  if (!applies && !onlyUndiscounted) return sheet.all
  const lines: number[] = []
  for (const place of sheet.all) {
    const line = sheet.order.lines[place]!
    if (applies && !applies(line)) continue
    if (onlyUndiscounted && line.unit_price_minor < (line.list_price_minor ?? line.unit_price_minor)) continue
    lines.push(place)
  }
  return lines
}

function targetsOf(sheet: Sheet, terms: Terms, lines: readonly number[]): readonly number[] {
  if (terms.target === "items") return lines
  return terms.target === "shipping" ? [sheet.shipping] : [...lines, sheet.shipping]
}

/** What the coupon's kind would do to a cart, taking at most so much. */
export function effectOn(candidate: Candidate, cart: Cart, began: Cart, maxMinor: number): Effect | undefined {
  return candidate.terms.act(sceneOf(candidate, cart, began, maxMinor))
}

/** What a kind sees. */
export const sceneOf = (candidate: Candidate, cart: Cart, began: Cart, maxMinor: number): Scene => ({
  cart,
  began,
  lines: candidate.lines,
  targets: candidate.targets,
  policy: candidate.policy,
  thresholdSees: candidate.thresholdSees,
  maxMinor,
})

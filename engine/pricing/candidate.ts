// A coupon against one order: which lines it speaks of, where it takes from, and by which policy.
//
// What must stay true: a candidate is the same whatever other coupons are asked for beside it.

import { cartOf } from "./cart.ts"
import { axesOf, policyOf, type Policy, type Profile } from "./policy.ts"
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
  /** What it takes off the untouched order; computed when first asked for. */
  alone: Effect | undefined | "unknown"
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
      alone: "unknown",
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

/** What the coupon's kind would do to a cart. */
export function effectOn(candidate: Candidate, cart: Cart, began: Cart): Effect | undefined {
  const scene: Scene = {
    cart,
    began,
    lines: candidate.lines,
    targets: candidate.targets,
    policy: candidate.policy,
    thresholdSees: candidate.thresholdSees,
    maxMinor: candidate.terms.maxMinor,
  }
  return candidate.terms.act(scene)
}

/** What it would do to the untouched order. */
export function aloneOf(candidate: Candidate, sheet: Sheet): Effect | undefined {
  if (candidate.alone === "unknown") {
    const cart = cartOf(sheet)
    candidate.alone = effectOn(candidate, cart, cart)
  }
  return candidate.alone
}

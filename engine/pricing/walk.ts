// The walk: coupons taken one after the other in their order of application.
//
// First those that fail their own conditions on the untouched order drop out (the caller leaves them away); then a
// usable exclusive one stands alone; else each coupon is taken unless it conflicts with those already taken, or what
// they have left of the order is no longer enough for it.
// What must stay true: every candidate ends up taken or refused, never both, and none is taken that changes nothing.

import { aloneOf, effectOn, type Candidate } from "./candidate.ts"
import { cartAfter, cartOf } from "./cart.ts"
import { firstRunningLack, spendMissing } from "./conditions.ts"
import { conflictOf, EXCLUSIVE_DETAIL, stretchOf } from "./stacking.ts"
import type { Cart, Effect, Reason, RuleName, Sheet } from "./types.ts"

export type Taken = { readonly candidate: Candidate; readonly effect: Effect }

/** Why a coupon was not taken. */
export type Refusal =
  | { readonly code: "terms_not_met"; readonly reason: Reason; readonly detail: string }
  | { readonly code: "not_stackable"; readonly rule: RuleName; readonly other: Candidate; readonly detail: string }

export type Walk = {
  readonly taken: readonly Taken[]
  readonly refused: ReadonlyMap<Candidate, Refusal>
}

export const NOTHING_TO_DISCOUNT: Refusal = {
  code: "terms_not_met",
  reason: "nothing_to_discount",
  detail: "There is nothing in the order that the coupon could take off.",
}

const NOTHING_LEFT: Refusal = {
  code: "terms_not_met",
  reason: "nothing_to_discount",
  detail: "The coupons applied before it leave nothing that the coupon could take off.",
}

/** What looking at so many coupons once costs, in steps: a step is one coupon on one line, and some lines' worth of its own. */
export const stepsOf = (sheet: Sheet, coupons: number): number => coupons * (sheet.all.length + COUPON_STEPS)

const COUPON_STEPS = 8

/** Walks through candidates that stand in their order of application and pass their own conditions. */
export function walk(sheet: Sheet, ranked: readonly Candidate[]): Walk {
  const alone = standsAlone(sheet, ranked)
  if (alone) {
    const refused = new Map<Candidate, Refusal>()
    const effect = aloneOf(alone, sheet)!
    for (const candidate of ranked) {
      if (candidate === alone) continue
      refused.set(
        candidate,
        aloneOf(candidate, sheet)
          ? { code: "not_stackable", rule: "exclusive", other: alone, detail: EXCLUSIVE_DETAIL }
          : NOTHING_TO_DISCOUNT,
      )
    }
    return { taken: [{ candidate: alone, effect }], refused }
  }

  // A finance coupon is judged when all discounts are known; one that then gives nothing was never there for the
  // others, so the walk is taken again without it. Each turn drops one, so there are no more turns than coupons.
  const dropped = new Set<Candidate>()
  for (;;) {
    const { taken, refused, cart } = takeInTurn(sheet, ranked, dropped)
    const whole: Taken[] = []
    for (const { candidate, effect } of taken) {
      const known = effect ?? effectOn(candidate, cart, cart)
      if (known) whole.push({ candidate, effect: known })
      else dropped.add(candidate)
    }
    if (whole.length === taken.length) return { taken: whole, refused }
  }
}

/** The usable exclusive coupon of highest priority, then first in the list. */
function standsAlone(sheet: Sheet, ranked: readonly Candidate[]): Candidate | undefined {
  let best: Candidate | undefined
  for (const candidate of ranked) {
    if (!candidate.terms.exclusive || !aloneOf(candidate, sheet)) continue
    if (!best || standsBefore(candidate, best)) best = candidate
  }
  return best
}

const standsBefore = (a: Candidate, b: Candidate): boolean =>
  a.terms.priority > b.terms.priority || (a.terms.priority === b.terms.priority && a.place < b.place)

/** A coupon taken for now; a finance coupon's effect is computed at the end. */
type Provisional = { readonly candidate: Candidate; readonly effect: Effect | undefined }

function takeInTurn(
  sheet: Sheet,
  ranked: readonly Candidate[],
  dropped: ReadonlySet<Candidate>,
): { taken: Provisional[]; refused: Map<Candidate, Refusal>; cart: Cart } {
  const refused = new Map<Candidate, Refusal>()
  const taken: Provisional[] = []
  const beside: Candidate[] = []
  let cart = cartOf(sheet)
  let began = cart
  let stretch = -1
  for (const candidate of ranked) {
    if (stretchOf(candidate) !== stretch) {
      stretch = stretchOf(candidate)
      began = cart
    }
    if (dropped.has(candidate)) {
      refused.set(candidate, NOTHING_LEFT)
      continue
    }
    const conflict = conflictOf(candidate, beside)
    if (conflict) {
      // A coupon that would change nothing even alone has dropped out before any rule is looked at.
      refused.set(candidate, aloneOf(candidate, sheet) ? { code: "not_stackable", ...conflict } : NOTHING_TO_DISCOUNT)
      continue
    }
    const lack = firstRunningLack(candidate, sheet, cart)
    if (lack) {
      refused.set(candidate, aloneOf(candidate, sheet) ? { code: "terms_not_met", ...lack } : NOTHING_TO_DISCOUNT)
      continue
    }
    const { phase, unbounded_by_alone } = candidate.terms.kind
    // What gives nothing alone has dropped out, also where others would leave it dearer units; of most kinds the
    // effect at its turn says it all.
    if ((phase || unbounded_by_alone) && !aloneOf(candidate, sheet)) {
      refused.set(candidate, NOTHING_TO_DISCOUNT)
      continue
    }
    const effect = phase ? undefined : effectOn(candidate, cart, began)
    if (!phase && !effect) {
      refused.set(candidate, aloneOf(candidate, sheet) ? NOTHING_LEFT : NOTHING_TO_DISCOUNT)
      continue
    }
    taken.push({ candidate, effect })
    beside.push(candidate)
    if (effect) cart = cartAfter(cart, effect)
  }
  return { taken, refused, cart }
}

/** What a coupon meets at its turn, its own conditions set aside. */
export type Meeting = {
  /** The coupon in its way. */
  readonly other: Candidate | undefined
  /** What its threshold lacks there. */
  readonly missing: number
  /** The coupons taken before it. */
  readonly before: readonly Candidate[]
}

/** Looks at a coupon's turn among others as if its own conditions held. */
export function meet(sheet: Sheet, ranked: readonly Candidate[], target: Candidate): Meeting {
  const turn = ranked.indexOf(target)
  const { taken } = walk(
    sheet,
    ranked.filter((candidate) => candidate !== target),
  )
  const lone = taken.find(({ candidate }) => candidate.terms.exclusive)?.candidate
  const untouched = cartOf(sheet)
  if (target.terms.exclusive || lone) {
    const inTheWay = lone && !(target.terms.exclusive && standsBefore(target, lone)) ? lone : undefined
    return { other: inTheWay, missing: spendMissing(target, sheet, untouched), before: [] }
  }
  const earlier = taken.filter(({ candidate }) => ranked.indexOf(candidate) < turn)
  const before = earlier.map(({ candidate }) => candidate)
  const cart = earlier.reduce(
    (left, { candidate, effect }) => (candidate.terms.kind.phase === "finance" ? left : cartAfter(left, effect)),
    untouched,
  )
  return { other: conflictOf(target, before)?.other, missing: spendMissing(target, sheet, cart), before }
}

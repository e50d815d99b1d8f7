// The walk: coupons taken one after the other in their order of application.
//
// First those that fail their own conditions on the untouched order drop out (the caller leaves them away); then a
// usable exclusive one stands alone; else each coupon is taken unless it conflicts with those already taken, or what
// they have left of the order is no longer enough for it.
// What must stay true: every candidate ends up taken or refused, never both, and none is taken that changes nothing.

import type { Candidate } from "./candidate.ts"
import { cartAfter } from "./cart.ts"
import { firstRunningLack, spendMissing } from "./conditions.ts"
import { conflictOf, EXCLUSIVE_DETAIL, stretchOf } from "./stacking.ts"
import { aloneOf, isTurn, ownOr, takeTurn, type Refusal } from "./turn.ts"
import type { Cart, Effect, Sheet } from "./types.ts"

export type Taken = { readonly candidate: Candidate; readonly effect: Effect }

export type Walk = {
  readonly taken: readonly Taken[]
  readonly refused: ReadonlyMap<Candidate, Refusal>
}

/** What a turn of a coupon costs, in steps: a step is one coupon on one line, and some lines' worth of its own. */
export const stepsOf = (sheet: Sheet, { terms }: Candidate): number => (terms.kind.weight ?? 1) * (sheet.all.length + COUPON_STEPS)

/** What looking at each of these coupons once costs. */
export const stepsOfAll = (sheet: Sheet, candidates: readonly Candidate[]): number => candidates.reduce((all, candidate) => all + stepsOf(sheet, candidate), 0)

const COUPON_STEPS = 8

/**
 * Walks through candidates that stand in their order of application and pass their own conditions. `isEnough`: a refusal
 * behind which nothing more is asked; then what comes after it is neither taken nor refused.
 */
export function walk(sheet: Sheet, ranked: readonly Candidate[], isEnough: IsEnough = NEVER): Walk {
  const lone = standsAlone(sheet, ranked)
  if (lone) {
    const refused = new Map<Candidate, Refusal>()
    for (const candidate of ranked) {
      if (candidate === lone.candidate) continue
      const caused: Refusal = { code: "not_stackable", rule: "exclusive", other: lone.candidate, detail: EXCLUSIVE_DETAIL }
      refused.set(candidate, ownOr(candidate, sheet, caused))
    }
    return { taken: [lone], refused }
  }

  // A finance coupon is judged when all discounts are known; one that then gives nothing was never there for the
  // others, so the walk is taken again without it. Each turn drops one, so there are no more turns than coupons.
  const dropped = new Map<Candidate, Refusal>()
  for (;;) {
    const { taken, refused, cart } = takeInTurn(sheet, ranked, dropped, isEnough)
    const whole = withFinance(taken, cart)
    if (whole.outcome === "whole") return { taken: whole.taken, refused }
    dropped.set(whole.candidate, ownOr(whole.candidate, sheet, whole.refusal))
  }
}

type IsEnough = (candidate: Candidate, refusal: Refusal) => boolean
const NEVER: IsEnough = () => false

/** The usable exclusive coupon of highest priority, then first in the list. */
function standsAlone(sheet: Sheet, ranked: readonly Candidate[]): Taken | undefined {
  let best: Taken | undefined
  for (const candidate of ranked) {
    if (!candidate.terms.exclusive) continue
    const alone = aloneOf(candidate, sheet)
    if (isTurn(alone) && (!best || standsBefore(candidate, best.candidate))) best = { candidate, effect: alone.effect }
  }
  return best
}

const standsBefore = (a: Candidate, b: Candidate): boolean =>
  a.terms.priority > b.terms.priority || (a.terms.priority === b.terms.priority && a.place < b.place)

/** A coupon taken for now; what a finance coupon gives is known at the end. */
export type Provisional = { readonly candidate: Candidate; readonly effect: Effect | undefined }

function takeInTurn(
  sheet: Sheet,
  ranked: readonly Candidate[],
  dropped: ReadonlyMap<Candidate, Refusal>,
  isEnough: IsEnough,
): { taken: Provisional[]; refused: Map<Candidate, Refusal>; cart: Cart } {
  const refused = new Map<Candidate, Refusal>(dropped)
  const taken: Provisional[] = []
  const beside: Candidate[] = []
  let cart = sheet.untouched
  let began = cart
  let stretch = -1
  for (const candidate of ranked) {
    if (stretchOf(candidate) !== stretch) {
      stretch = stretchOf(candidate)
      began = cart
    }
    if (dropped.has(candidate)) continue
    const refusal = inTheWay(candidate, sheet, cart, beside)
    if (refusal) {
      // A coupon that would change nothing even alone has dropped out before any rule is looked at.
      const said = ownOr(candidate, sheet, refusal)
      refused.set(candidate, said)
      if (isEnough(candidate, said)) break
      continue
    }
    if (candidate.terms.kind.phase === "finance") {
      taken.push({ candidate, effect: undefined })
      beside.push(candidate)
      continue
    }
    const turn = takeTurn(candidate, cart, began)
    if (!isTurn(turn)) {
      const said = ownOr(candidate, sheet, turn)
      refused.set(candidate, said)
      if (isEnough(candidate, said)) break
      continue
    }
    taken.push({ candidate, effect: turn.effect })
    beside.push(candidate)
    cart = turn.cart
  }
  return { taken, refused, cart }
}

/** What keeps a coupon from its turn: another coupon, what the cart has become, or that it gives nothing even alone. */
export function inTheWay(candidate: Candidate, sheet: Sheet, cart: Cart, beside: readonly Candidate[]): Refusal | undefined {
  const conflict = conflictOf(candidate, beside)
  if (conflict) return { code: "not_stackable", ...conflict }
  const lack = firstRunningLack(candidate, sheet, cart)
  if (lack) return { code: "terms_not_met", ...lack }
  // Of most kinds the effect at their turn says it all; these could find dearer units beside others, or find out later.
  const { kind, most, rises } = candidate.terms
  if (!kind.phase && (!most || rises)) return undefined
  const alone = aloneOf(candidate, sheet)
  return isTurn(alone) ? undefined : alone
}

/** Adds what finance coupons give on what is left at the end, or says which of them gives nothing any more. */
export function withFinance(
  taken: readonly Provisional[],
  end: Cart,
):
  | { readonly outcome: "whole"; readonly taken: readonly Taken[] }
  | { readonly outcome: "refused"; readonly candidate: Candidate; readonly refusal: Refusal } {
  let cart = end
  const whole: Taken[] = []
  for (const { candidate, effect } of taken) {
    if (effect) {
      whole.push({ candidate, effect })
      continue
    }
    const turn = takeTurn(candidate, cart, cart)
    if (!isTurn(turn)) return { outcome: "refused", candidate, refusal: turn }
    cart = turn.cart
    whole.push({ candidate, effect: turn.effect })
  }
  return { outcome: "whole", taken: whole }
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
  const untouched = sheet.untouched
  if (target.terms.exclusive || lone) {
    const inTheWay = lone && !(target.terms.exclusive && standsBefore(target, lone)) ? lone : undefined
    return { other: inTheWay, missing: spendMissing(target, sheet, untouched), before: [] }
  }
  const earlier = taken.filter(({ candidate }) => ranked.indexOf(candidate) < turn)
  const before = earlier.map(({ candidate }) => candidate)
  const cart = earlier.reduce((left, { effect }) => cartAfter(left, effect, left.funds), untouched)
  return { other: conflictOf(target, before)?.other, missing: spendMissing(target, sheet, cart), before }
}

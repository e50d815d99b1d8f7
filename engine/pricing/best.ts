// The best set of coupons: the one that gives most, found by looking at every set that could still win.
//
// Where to look: the search itself is search.ts, on the rough picture of sketch.ts; what is offered first is lead.ts; which
// of two sets is better is found.ts; the bounds that let the search leave a branch are the rooms of bounds/: reach.ts (all
// coupons, by classes and thresholds), ladder.ts (thresholds that bar each other), claims.ts (coupons that choose units:
// shares.ts, rounds.ts, sets.ts).
// What must stay true: an answer is `proved` only if no branch was given up.

import type { Candidate } from "./candidate.ts"
import { foundOf, isBetter, NOTHING, type Found } from "./found.ts"
import { ceilingOf, search } from "./search.ts"
import { aloneOf, isTurn } from "./turn.ts"
import type { Sheet } from "./types.ts"
import { walk } from "./walk.ts"

/**
 * Steps in a millisecond, to turn a budget of time into a count before pricing, which has no clock.
 * Measured at 5 to 8 thousand with 20 to 100 lines and 30 coupons on a busy two-core machine (2026-11-22).
 */
export const STEPS_PER_MS = 5_000

/** Steps that a search may take where nothing else is said: 20 ms. */
export const STEPS_MAX = 20 * STEPS_PER_MS

/** Up to so many usable coupons on so many lines the search goes on until it has proved its answer. */
export const EXACT_COUPONS_MAX = 20
export const EXACT_LINES_MAX = 200

/**
 * The end of a proof that finds no end: more than 20 s. 20 coupons make a million sets, and to look at one takes 5 to 50 µs. Of 9,000 orders
 * of 20 coupons on 200 lines (bench/mixes.ts) most take less than 0.05 s, the longest 1.7 (2026-11-23).
 */
export const STEPS_EXACT_MAX = 60_000 * STEPS_PER_MS

/** What the walk through all coupons takes before the search, in steps for each coupon on each line: of 100 on 500 it is 3 to 10 ms (2026-11-22). */
const WALK_SHARE = 0.4

export type Best = {
  readonly chosen: readonly Candidate[]
  readonly proved: boolean
  readonly gapMinor: number
}

/** Finds the best of coupons that stand in their order of application and meet their own conditions. */
export function* bestOf(
  sheet: Sheet,
  usable: readonly Candidate[],
  stepsMax: number,
  spare: ReadonlySet<string> | undefined,
): Generator<void, Best, void> {
  let best = NOTHING
  const offer = (found: Found): void => {
    if (isBetter(found, best)) best = found
  }
  for (const candidate of usable) {
    if (candidate.terms.exclusive && mayGive(candidate, sheet)) offer(foundOf(walk(sheet, [candidate]).taken, spare))
  }
  const others = usable.filter(({ terms }) => !terms.exclusive)
  // However few steps there are, the whole list is a set too.
  const all = foundOf(walk(sheet, others).taken, spare)
  offer(all)
  yield
  const left = (givenUp: number): Best => ({ chosen: best.chosen, proved: givenUp === 0, gapMinor: Math.max(0, givenUp - best.gives) })
  const walked = others.length * sheet.all.length * WALK_SHARE
  if (stepsMax <= walked && sheet.all.length > EXACT_LINES_MAX) return left(ceilingOf(sheet, others))
  const open: Candidate[] = []
  for (const one of others) {
    if (!all.chosen.includes(one)) {
      if (!mayGive(one, sheet)) continue
      yield
    }
    open.push(one)
  }
  if (open.length === 0) return left(0)
  const isSmall = open.length <= EXACT_COUPONS_MAX && sheet.all.length <= EXACT_LINES_MAX
  const steps = (isSmall ? Math.max(stepsMax, STEPS_EXACT_MAX) : stepsMax) - walked
  return left(steps > 0 ? yield* search(sheet, open, steps, spare, offer, () => best) : ceilingOf(sheet, open))
}

/** A coupon that gives nothing alone gives nothing beside others, but for its budget, and where less may give more. */
function mayGive(candidate: Candidate, sheet: Sheet): boolean {
  const alone = aloneOf(candidate, sheet)
  return isTurn(alone) || alone.code === "budget_exhausted" || candidate.terms.rises
}

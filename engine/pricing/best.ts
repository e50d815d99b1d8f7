// The best set of coupons: the one that gives most, found by looking at every set that could still win.
//
// The search goes through the coupons in their order of application and takes or leaves each one, so every set is
// priced exactly as a named list would be. A branch is left when not even all coupons to come, each at what it would
// give now and one for each group or campaign that allows only one, could reach what is already known: a cart only
// loses, so no coupon gives more later than now.
// What must stay true: an answer is `proved` only if no branch was given up; a tie falls to the fewest coupons, then
// to those that end first, then to the smallest coupon_ids; the search stops after `steps_max` steps.

import type { Candidate } from "./candidate.ts"
import { cartOf, roomOf } from "./cart.ts"
import { mulDivHalfUp } from "./money.ts"
import { stretchOf } from "./stacking.ts"
import { aloneOf, isTurn, takeTurn } from "./turn.ts"
import type { Cart, Effect, Sheet } from "./types.ts"
import { inTheWay, stepsOf, walk, withFinance, type Provisional } from "./walk.ts"

/**
 * Steps in a millisecond, to turn a budget of time into a count before pricing, which has no clock.
 * Measured at 5 to 8 thousand with 20 to 100 lines and 30 coupons on a busy two-core machine (2026-11-22).
 */
export const STEPS_PER_MS = 5_000

/** Steps that a search may take where nothing else is said: 20 ms. */
export const STEPS_MAX = 20 * STEPS_PER_MS

/** Up to so many usable coupons the search alone is fast; above, a greedy set goes before it as the mark to beat. */
export const EXACT_MAX = 12

export type Best = {
  readonly chosen: readonly Candidate[]
  readonly proved: boolean
  readonly gapMinor: number
}

/** A set with what it gives and what it costs the budgets that are to be spared. */
type Found = { readonly gives: number; readonly costs: number; readonly chosen: readonly Candidate[] }

export function bestOf(
  sheet: Sheet,
  usable: readonly Candidate[],
  stepsMax: number,
  spare: ReadonlySet<string> | undefined,
): Best {
  // A coupon that gives nothing alone gives nothing beside others.
  const ranked = usable.filter((candidate) => isTurn(aloneOf(candidate, sheet)))
  let best: Found = { gives: 0, costs: 0, chosen: [] }
  const offer = (found: Found): void => {
    if (isBetter(found, best)) best = found
  }

  for (const candidate of ranked) {
    if (candidate.terms.exclusive) offer(foundOf(walk(sheet, [candidate]).taken, spare))
  }
  const open = ranked.filter((candidate) => !candidate.terms.exclusive)
  let steps = stepsMax
  if (open.length > EXACT_MAX) {
    // However few steps there are, the whole list is a set too.
    offer(foundOf(walk(sheet, open).taken, spare))
    // At most half of the steps go into the mark, the rest into beating it.
    const known = greedy(sheet, open, spare, stepsMax / 2)
    offer(known.found)
    steps -= known.steps
  }

  const taken: Provisional[] = []
  const beside: Candidate[] = []
  let givenUp = 0

  /** For each turn the most that the coupons from there on can add to a cart. */
  const boundsOn = (turn: number, cart: Cart, began: Cart, stretch: number): number[] => {
    steps -= stepsOf(sheet, open.length - turn)
    const most = new Array<number>(open.length).fill(0)
    for (let later = turn; later < open.length; later++) {
      const candidate = open[later]!
      if (inTheWay(candidate, sheet, cart, beside)) continue
      most[later] = mostOf(candidate, cart, stretchOf(candidate) === stretch ? began : cart)
    }
    return sumsByClique(open, most)
  }

  /** Everything below one choice: coupons from `turn` on, on a cart that the taken ones have left. */
  const search = (turn: number, branch: Branch): void => {
    if (turn === open.length) return
    const reach = branch.gives + branch.bounds[turn]!
    if (!mayWin(reach, branch.costs, taken.length + 1, best)) return
    if (steps <= 0) {
      givenUp = Math.max(givenUp, reach)
      return
    }
    const candidate = open[turn]!
    const began = stretchOf(candidate) === branch.stretch ? branch.began : branch.cart
    const stretch = stretchOf(candidate)
    steps -= stepsOf(sheet, 1)
    if (!inTheWay(candidate, sheet, branch.cart, beside)) {
      const finance = candidate.terms.kind.phase === "finance"
      const taking = finance ? undefined : takeTurn(candidate, branch.cart, began)
      if (!taking || isTurn(taking)) {
        const cart = taking?.cart ?? branch.cart
        taken.push({ candidate, effect: taking?.effect })
        beside.push(candidate)
        const whole = withFinance(taken, cart)
        if (whole.outcome === "whole") {
          const found = foundOf(whole.taken, spare)
          offer(found)
          // What finance coupons give now is the most that they will give when the others are taken too.
          const { gives } = found
          const costs = finance ? branch.costs : branch.costs + costOf(candidate, taking!.effect, spare)
          search(turn + 1, { cart, began, stretch, gives, costs, bounds: boundsOn(turn + 1, cart, began, stretch) })
        }
        taken.pop()
        beside.pop()
      }
    }
    search(turn + 1, { ...branch, began, stretch })
  }
  const untouched = cartOf(sheet)
  const bounds = boundsOn(0, untouched, untouched, NO_STRETCH)
  search(0, { cart: untouched, began: untouched, stretch: NO_STRETCH, gives: 0, costs: 0, bounds })

  const gapMinor = Math.max(0, givenUp - best.gives)
  return { chosen: best.chosen, proved: givenUp === 0, gapMinor }
}

const NO_STRETCH = -1

/** Where a search stands: what the taken coupons have left, give and cost, and what those to come can add. */
type Branch = {
  readonly cart: Cart
  readonly began: Cart
  readonly stretch: number
  readonly gives: number
  readonly costs: number
  readonly bounds: readonly number[]
}

/** Takes what adds most, as long as something adds and there are steps left. */
function greedy(
  sheet: Sheet,
  open: readonly Candidate[],
  spare: ReadonlySet<string> | undefined,
  stepsMax: number,
): { found: Found; steps: number } {
  let found: Found = { gives: 0, costs: 0, chosen: [] }
  let steps = 0
  for (;;) {
    let next = found
    for (const candidate of open) {
      if (found.chosen.includes(candidate)) continue
      const asked = open.filter((other) => other === candidate || found.chosen.includes(other))
      steps += stepsOf(sheet, asked.length)
      if (steps > stepsMax) return { found: next, steps }
      const tried = foundOf(walk(sheet, asked).taken, spare)
      if (isBetter(tried, next)) next = tried
    }
    if (next === found) return { found, steps }
    found = next
  }
}

function foundOf(
  taken: readonly { readonly candidate: Candidate; readonly effect: Effect }[],
  spare: ReadonlySet<string> | undefined,
): Found {
  let gives = 0
  let costs = 0
  for (const { candidate, effect } of taken) {
    gives += effect.totalMinor + effect.benefitMinor
    costs += costOf(candidate, effect, spare)
  }
  return { gives, costs, chosen: taken.map(({ candidate }) => candidate) }
}

/** What a coupon costs the budgets that are to be spared. */
function costOf({ terms }: Candidate, effect: Effect, spare: ReadonlySet<string> | undefined): number {
  if (!spare) return 0
  let share_bp = 0
  for (const part of terms.funding) if (spare.has(part.budget_id)) share_bp += part.share_bp
  return share_bp === 0 ? 0 : mulDivHalfUp(effect.costMinor, share_bp, 10000)
}

/** The most that a coupon can give from a cart on: carts only lose, so it is what it gives now. */
function mostOf(candidate: Candidate, cart: Cart, began: Cart): number {
  const turn = takeTurn(candidate, cart, began)
  const now = isTurn(turn) ? turn.effect.totalMinor + turn.effect.benefitMinor : 0
  // Of a kind that counts units, others may take the cheap ones; it never gives more than there is.
  if (!candidate.terms.kind.unbounded_by_alone) return now
  const room = candidate.targets.reduce((sum, place) => sum + roomOf(cart, place), 0)
  return Math.max(now, Math.min(candidate.terms.maxMinor, room))
}

/** From each turn on the sum of what the coupons can add: of those that exclude each other, the one that gives most. */
function sumsByClique(open: readonly Candidate[], most: readonly number[]): number[] {
  const sums = new Array<number>(open.length + 1).fill(0)
  const ofClique = new Map<string, number>()
  for (let turn = open.length - 1; turn >= 0; turn--) {
    const clique = cliqueOf(open[turn]!)
    const before = ofClique.get(clique) ?? 0
    const now = Math.max(before, most[turn]!)
    ofClique.set(clique, now)
    sums[turn] = sums[turn + 1]! + now - before
  }
  return sums
}

/** Coupons with the same clique never stand together. */
function cliqueOf({ terms, coupon }: Candidate): string {
  if (terms.group !== undefined && terms.groupMax === 1) return `group ${terms.group}`
  return terms.perOrder === 1 ? `campaign ${terms.campaign_id}` : `coupon ${coupon.coupon_id}`
}

/** Could a set that reaches so much, costs at least so much and has at least so many coupons still win? */
function mayWin(reach: number, costs: number, count: number, best: Found): boolean {
  if (reach !== best.gives) return reach > best.gives
  if (costs !== best.costs) return costs < best.costs
  return count <= best.chosen.length
}

function isBetter(found: Found, best: Found): boolean {
  if (found.gives !== best.gives) return found.gives > best.gives
  if (found.costs !== best.costs) return found.costs < best.costs
  if (found.chosen.length !== best.chosen.length) return found.chosen.length < best.chosen.length
  const byEnd = compareLists(endsOf(found), endsOf(best))
  return (byEnd || compareLists(idsOf(found), idsOf(best))) < 0
}

const endsOf = ({ chosen }: Found): number[] => chosen.map(({ coupon }) => coupon.ends_at_ms).sort((a, b) => a - b)

const idsOf = ({ chosen }: Found): string[] => chosen.map(({ coupon }) => coupon.coupon_id).sort()

function compareLists<Value extends number | string>(a: readonly Value[], b: readonly Value[]): number {
  for (let i = 0; i < a.length; i++) {
    if (a[i]! < b[i]!) return -1
    if (a[i]! > b[i]!) return 1
  }
  return 0
}

// The search for the best set: it takes or leaves each coupon, in their order of application.
//
// It does so on a sketch (sketch.ts), where a step costs next to nothing, and prices exactly only the sets that could be
// the best, so what it answers is what a named list would. A branch is left when not even the bounds on all coupons to
// come (bounds/) can make it the best.
// What must stay true: the search stops after its steps; a branch that is left without proof counts as given up.

import { claimsOn } from "./bounds/claims.ts"
import { ladderOn, type Ladder } from "./bounds/ladder.ts"
import { fewestOn, isPushedAt, reachOn, type Standing } from "./bounds/reach.ts"
import type { Candidate } from "./candidate.ts"
import { roomOf } from "./cart.ts"
import { foundOf, type Found } from "./found.ts"
import { leadOn } from "./lead.ts"
import { gainOf, mostOf, mostOn, sketchOf, type Form } from "./sketch.ts"
import { conflictOf, stretchOf } from "./stacking.ts"
import { isTurn, takeTurn } from "./turn.ts"
import type { Cart, Effect, Sheet } from "./types.ts"
import { inTheWay, stepsOf, walk, withFinance, type Provisional } from "./walk.ts"

/** Most searches end before so many looks at the bound; from there on it pays to build the second one, for so many steps. */
const LOOKS_BEFORE_LADDER = 1_000
const LADDER_STEPS = 4_000

/** What is made before the search, in steps for each coupon on each line: of 100 on 500 the sketch takes 1 to 6 ms, the bounds on claims up to 20 (2026-11-22). */
const SKETCH_SHARE = 0.25
const CLAIMS_SHARE = 1

/** So many claims with thresholds in each other's way are looked at one by one; each costs a look at all claims. */
const BARRED_MAX = 6

/** An exact turn: what the coupon did, and the cart that it and its level found. */
type Exact = { readonly effect: Effect | undefined; readonly cart: Cart; readonly began: Cart }

/** So many coupons and classes of theirs are told in a step of a look at the bound; the bound on layers looks more often. */
const TOLD_IN_A_STEP = 32
const LOOKS_OF_LAYERS = 4

/** So many steps lie between two rests: half a millisecond or less, so that whoever drives a search can stop it in time. */
const STEPS_BETWEEN_RESTS = 2_500

/**
 * Looks at every set that could be the best. Answers the most that a branch given up could have reached, 0 where none was.
 * It rests between its parts and every STEPS_BETWEEN_RESTS: nothing it holds then is shared, so others may be priced meanwhile.
 */
export function* search(
  sheet: Sheet,
  open: readonly Candidate[],
  stepsMax: number,
  spare: ReadonlySet<string> | undefined,
  offer: (found: Found) => void,
  best: () => Found,
): Generator<void, number, void> {
  const { untouched } = sheet
  const turns = open.length * sheet.all.length
  const sketch = sketchOf(sheet, open)
  yield
  const { forms, classes, classOf } = sketch
  const count = forms.length
  const fewestFrom = fewestOn(sketch)
  let steps = stepsMax - turns * SKETCH_SHARE
  let givenUp = 0

  // By depth, the number of coupons taken: what is left of each class, how far that may be off, what benefits come to.
  const left = new Float64Array((count + 1) * classes)
  const errors = new Float64Array(count + 1)
  const benefits = new Float64Array(count + 1)
  let whole = 0
  for (let place = 0; place <= sheet.shipping; place++) {
    left[classOf[place]!]! += sheet.amounts[place]!
    whole += sheet.amounts[place]!
  }
  // What doubles lose in sums of this size.
  errors[0] = whole * 1e-11
  const ceiling = ceilingOf(sheet, open)

  const purse = { steps: steps / 2 }
  const lead = yield* leadOn(sketch, left.subarray(0, classes), new Set(best().chosen), purse)
  steps -= steps / 2 - purse.steps
  if (lead) offer(foundOf(walk(sheet, lead).taken, spare))
  yield

  const room = new Float64Array(sketch.cliques)
  for (const { candidate, clique } of forms) room[clique] = Math.max(room[clique]!, mostTogether(candidate))
  // Where that takes all the steps there are, each claim is bounded by what it gives alone.
  const claims = steps > turns * CLAIMS_SHARE ? claimsOn(sheet, sketch, room) : undefined
  if (claims) {
    steps -= turns * CLAIMS_SHARE
    yield
  }
  const reachFrom = reachOn(sketch, claims?.holds)
  // By depth and turn: the most that all claims from there on give together.
  const claimed = new Float64Array(claims ? (count + 1) * (count + 1) : 0).fill(Infinity)
  // The same of those that are not bounded together with coupons of whole lines.
  const layers = claims?.layers
  const besides = new Float64Array(layers ? (count + 1) * (count + 1) : 0)
  const sums = new Float64Array(count + 1)
  const isOpen = new Uint8Array(count)
  const isPushed = forms.map((_, i) => isPushedAt(forms, i))
  const countsAll = forms.map(({ thresholdMinor, counts }) => thresholdMinor > 0 && forms.every(({ targets }, i) => claims?.holds[i] !== 1 || targets.every((c) => counts.includes(c))))
  const mixes = forms.map(({ candidate, clique }, i) => candidate.terms.withGroups !== undefined || forms.some((other, j) => j !== i && (other.clique === clique || other.candidate.terms.withGroups !== undefined || other.candidate.terms.campaign_id === candidate.terms.campaign_id)))

  const finance = forms.flatMap(({ rate }, i) => (rate === undefined ? [] : [i]))
  const isTaken = new Uint8Array(count)
  // What gifts can still add is nothing off, so it takes nothing away from what finance coupons give.
  const gifts = new Float64Array(count + 1)
  for (let i = count - 1; i >= 0; i--) gifts[i] = gifts[i + 1]! + (forms[i]!.rate === undefined && forms[i]!.candidate.terms.kind.takes_nothing ? forms[i]!.mostMinor : 0)
  const lone = new Float64Array(sketch.cliques)
  // A minor unit off costs finance coupons less than it gives, so they give least where most was taken off.
  const endsLow = finance.reduce((rates, i) => rates + forms[i]!.rate!.share, 0) <= 1
  // Coupons that ask for nothing bar nobody.
  const areBarred = forms.filter(({ thresholdMinor }) => thresholdMinor > 0).length > 1
  let looks = 0
  let ladder: Ladder | undefined
  // A look at the bound goes through all coupons to come, and through the classes that each of them takes from.
  const lookSteps = new Float64Array(count + 1).fill(1)
  for (let i = count - 1; i >= 0; i--) lookSteps[i] = lookSteps[i + 1]! + (4 + forms[i]!.targets.length) / TOLD_IN_A_STEP

  // By depth and coupon: the most that those can still give of which only exact pricing knows more.
  const mosts = new Float64Array((count + 1) * count)
  const opaque = forms.flatMap(({ outline, loose, rate, mostMinor, candidate }, i) => {
    mosts[i] = loose ? Infinity : mostMinor
    return outline || rate || candidate.terms.kind.takes_nothing || (loose && candidate.terms.rises) ? [] : [i]
  })

  // To bound all claims takes about as long as a turn (20 µs on 200 lines, 2026-11-22).
  const stepsOfClaims = sheet.all.length
  const path: Form[] = []
  const beside: Candidate[] = []
  const exact: Exact[] = []

  /** Prices what is taken exactly, as far as it is not yet, and puts the sketch right. False: it does not stand. */
  const settle = (): boolean => {
    while (exact.length < path.length) {
      const depth = exact.length
      const { candidate } = path[depth]!
      const before = exact[depth - 1]
      const cart = before?.cart ?? untouched
      const began = before === undefined ? untouched : stretchOf(path[depth - 1]!.candidate) === stretchOf(candidate) ? before.began : cart
      steps -= stepsOf(sheet, candidate)
      if (inTheWay(candidate, sheet, cart, NO_ONE)) return false
      const isFinance = candidate.terms.kind.phase === "finance"
      const turn = isFinance ? undefined : takeTurn(candidate, cart, began)
      if (turn && !isTurn(turn)) return false
      exact.push({ effect: turn?.effect, cart: turn?.cart ?? cart, began })
      const at = (depth + 1) * classes
      left.fill(0, at, at + classes)
      const now = exact[depth]!.cart.left
      for (let place = 0; place <= sheet.shipping; place++) left[at + classOf[place]!]! += now[place]!
      errors[depth + 1] = errors[0]!
      benefits[depth + 1] = benefits[depth]! + (turn?.effect.benefitMinor ?? 0)
    }
    return true
  }

  const keptAt = (depth: number): number => {
    let kept = 0
    for (let c = depth * classes; c < (depth + 1) * classes; c++) kept += left[c]!
    return kept
  }
  const given = (depth: number): number => whole - keptAt(depth) + benefits[depth]!

  /** Does what is left still reach a coupon's threshold? */
  const mayStand = (i: number, depth: number): boolean => {
    const { thresholdMinor, counts } = forms[i]!
    return thresholdMinor === 0 || sumAt(left, depth * classes, counts) + errors[depth]! >= thresholdMinor
  }

  /** Looks again what the coupons to come can give on the cart that is left, where it is known exactly. False: it is not. */
  const lookAgain = (turn: number): boolean => {
    const depth = path.length
    if ((depth === 0 && !claims) || exact.length < depth || (depth > 0 && path[depth - 1]!.outline && !claims)) return false
    const cart = exact[depth - 1]?.cart ?? untouched
    if (claims) {
      steps -= stepsOfClaims
      sums.fill(0)
      for (let i = turn; i < count; i++) isOpen[i] = mayStand(i, depth) ? 1 : 0
      claims.together(cart, turn, room, isOpen, sums, layers && besides.subarray(depth * (count + 1), (depth + 1) * (count + 1)))
      layers?.look(depth, cart)
      // Units that are gone may push others on to dearer ones, so what was known before does not hold any more.
      claimed.set(sums, depth * (count + 1))
    }
    for (const i of opaque) {
      const { candidate, clique } = forms[i]!
      if (i < turn || room[clique]! <= 0 || depth === 0 || claims?.holds[i] === 1) continue
      // To bound a turn takes a third to a fifth of the turn.
      steps -= stepsOf(sheet, candidate) / 4
      mosts[depth * count + i] = Math.min(mosts[depth * count + i]!, mostOn(candidate, cart))
    }
    return true
  }

  /**
   * Looks at the claims again where a threshold would fall by what they give: of those that it bars, the last one taken finds
   * at most what it allows before it, and the later ones are left. False: there is none.
   */
  const lookAtThresholds = (turn: number): boolean => {
    const at = path.length * (count + 1)
    const most = claimed[at + turn]!
    const barred: { readonly turn: number; readonly before: number }[] = []
    for (let i = turn; i < count; i++) {
      if (isOpen[i] === 0 || claims!.holds[i] === 0 || !countsAll[i]) continue
      const before = sumAt(left, path.length * classes, forms[i]!.counts) + errors[path.length]! - forms[i]!.thresholdMinor
      if (before < most) barred.push({ turn: i, before })
    }
    if (barred.length === 0) return false
    // More of them than that are looked at as if they asked for nothing.
    const looked = barred.toSorted((a, b) => a.before - b.before).slice(0, BARRED_MAX).toSorted((a, b) => a.turn - b.turn)
    const { cart } = exact[path.length - 1] ?? { cart: untouched }
    const highest = new Float64Array(count + 1)
    for (const one of looked) isOpen[one.turn] = 0
    for (let k = -1; k < looked.length; k++) {
      const last = looked[k]
      if (last) isOpen[last.turn] = 1
      steps -= stepsOfClaims
      sums.fill(0)
      claims!.together(cart, turn, room, isOpen, sums)
      for (let t = turn; t <= (last ? last.turn : count); t++) highest[t] = Math.max(highest[t]!, last && !isPushed[last.turn] ? Math.min(sums[t]!, last.before + sums[last.turn]!) : sums[t]!)
    }
    for (let t = turn; t <= count; t++) claimed[at + t] = Math.min(claimed[at + t]!, highest[t]!)
    return true
  }

  /** The most that finance coupons give, those taken and those to come, once the others from `turn` on have given so much more. */
  const financedBy = (turn: number, depth: number, moreMinor: number): number => {
    if (finance.length === 0) return 0
    const from = depth * classes
    const error = errors[depth]!
    const end = endsLow ? Math.max(0, keptAt(depth) + error - Math.max(0, moreMinor - gifts[turn]!)) : Infinity
    lone.fill(0)
    let all = 0
    for (const i of finance) {
      const { targets, counts, thresholdMinor, rate, mostMinor, clique } = forms[i]!
      const isOpen = i >= turn && isTaken[i] === 0
      if (!isOpen && isTaken[i] === 0) continue
      if (isOpen && (room[clique]! <= 0 || (thresholdMinor > 0 && sumAt(left, from, counts) + error < thresholdMinor))) continue
      let gives = Math.min(mostMinor, rate!.share * Math.min(end, sumAt(left, from, targets) + error) + rate!.oddMinor)
      // Of a clique that takes one more the best stands for all.
      if (isOpen && room[clique] === 1) {
        const better = Math.max(lone[clique]!, gives)
        gives = better - lone[clique]!
        lone[clique] = better
      }
      all += gives
    }
    return all
  }

  /** Could a set that gives at most so much and has at least so many coupons be the best? */
  const mayWin = (reach: number, coupons: number): boolean => {
    const { gives, chosen } = best()
    const most = Math.floor(Math.min(reach, ceiling) + 1e-6)
    if (most !== gives) return most > gives
    return spare !== undefined || coupons <= chosen.length
  }

  const isTie = (reach: number): boolean => spare === undefined && Math.floor(Math.min(reach, ceiling) + 1e-6) === best().gives

  /** Takes a coupon, on the sketch where that is clear enough. False: it does not stand. */
  const step = (form: Form): boolean => {
    const depth = path.length
    const from = depth * classes
    const error = errors[depth]!
    let isClear = form.outline !== undefined
    if (form.thresholdMinor > 0) {
      const counted = sumAt(left, from, form.counts)
      if (counted + error < form.thresholdMinor) return false
      if (counted - error < form.thresholdMinor) isClear = false
    }
    path.push(form)
    mosts.copyWithin((depth + 1) * count, depth * count, (depth + 1) * count)
    claimed.copyWithin((depth + 1) * (count + 1), depth * (count + 1), (depth + 1) * (count + 1))
    if (isClear) {
      const there = sumAt(left, from, form.targets)
      const gain = there > error ? gainOf(form, there, form.reaches ? sumAt(left, from, form.reaches) : form.reachedMinor, error) : undefined
      // Less than what may be off could be nothing, and what changes nothing is not applied.
      if (gain !== undefined && gain > error + 1) {
        const to = from + classes
        left.copyWithin(to, from, to)
        const stays = 1 - gain / there
        for (const c of form.targets) left[to + c]! *= stays
        errors[depth + 1] = error + form.slack
        benefits[depth + 1] = benefits[depth]!
        return true
      }
    }
    if (settle()) return true
    path.pop()
    return false
  }

  /** Can no coupon from `turn` on make what is taken the best? Where there are no steps left to tell, it is given up. */
  const isHopeless = (turn: number, isFresh: boolean): boolean => {
    const depth = path.length
    const standing = { left, at: depth * classes, error: errors[depth]!, room, mosts, mostsAt: depth * count }
    const kept = keptAt(depth)
    const has = whole - kept + benefits[depth]!
    looks += 1
    if (looks === LOOKS_BEFORE_LADDER && areBarred && whole > 0) {
      ladder = ladderOn(sketch, left.subarray(0, classes), errors[0]!)
      steps -= LADDER_STEPS
    }
    let more = ladder ? ladder(turn, kept, errors[depth]!) : Infinity
    const isOutAt = (atMost: number): boolean => !mayWin(has + atMost + financedBy(turn, depth, atMost), depth + 1)
    const isOut = (): boolean => isOutAt(more)
    if (isOut()) return true
    const look = (there: Standing): number => {
      steps -= lookSteps[turn]!
      return reachFrom(turn, there)
    }
    more = Math.min(more, look(standing))
    if (isOut()) return true
    // Of what a coupon on the sketch took, units know nothing: priced exactly, it leaves the claims behind it less.
    if (isFresh && claims && exact.length < depth && !settle()) return true
    const isKnown = isFresh && lookAgain(turn)
    if (isKnown) more = Math.min(more, look(standing))
    if (claims) {
      if (isOut()) return true
      const beside = { ...standing, claims: claimed, claimsAt: depth * (count + 1) }
      more = Math.min(more, look(beside))
      if (isKnown && !isOut() && lookAtThresholds(turn)) more = Math.min(more, look(beside))
      if (layers && !isOut()) {
        steps -= LOOKS_OF_LAYERS * lookSteps[turn]!
        more = Math.min(more, layers.reach(turn, depth, { ...beside, claims: besides }, isOutAt))
      }
    }
    const reach = has + more + financedBy(turn, depth, more)
    if (!mayWin(reach, depth + 1)) return true
    // Where nothing can give more, only fewer coupons can be better, so what is missing must come from few.
    if (isTie(reach) && depth + fewestFrom(turn, standing, best().gives - has - financedBy(count, depth, 0)) > best().chosen.length) return true
    if (steps > 0) return false
    givenUp = Math.max(givenUp, Math.floor(Math.min(reach, ceiling)))
    return true
  }

  // By depth: the turn that is looked at, the first of them, and how many there was room for beside the coupon taken there.
  const turnAt = new Int32Array(count + 2)
  const firstAt = new Int32Array(count + 2)
  const roomAt = new Float64Array(count + 1)
  let isAsBefore = false

  /** Goes on with the search, until so few steps are left. False: there is more to look at. */
  const goOn = (untilSteps: number): boolean => {
    while (steps > untilSteps) {
      const depth = path.length
      const turn = turnAt[depth]!
      if (turn >= count || (!isAsBefore && isHopeless(turn, turn === firstAt[depth]))) {
        if (depth === 0) return true
        leave()
        continue
      }
      turnAt[depth] = turn + 1
      const form = forms[turn]!
      const { candidate, clique } = form
      // No bound counts a coupon whose group is full, so to leave it changes none.
      isAsBefore = room[clique]! <= 0
      if (isAsBefore || (mixes[turn] && conflictOf(candidate, beside))) continue
      if (!step(form)) continue
      isTaken[turn] = 1
      roomAt[depth] = room[clique]!
      turnAt[depth + 1] = firstAt[depth + 1] = turn + 1
      const stands = !mayWin(given(depth + 1) + errors[depth + 1]! + financedBy(count, depth + 1, 0), depth + 1) || tryPath()
      room[clique] = Math.min(roomAt[depth]!, mostTogether(candidate) - membersOf(clique)) - 1
      beside.push(candidate)
      if (!stands) leave()
    }
    return false
  }
  /** Lays the coupon that was taken last aside. */
  const leave = (): void => {
    const { candidate, clique } = path.pop()!
    beside.pop()
    room[clique] = roomAt[path.length]!
    isTaken[turnAt[path.length]! - 1] = 0
    if (exact.length > path.length) exact.length = path.length
    isAsBefore = false
  }

  const membersOf = (clique: number): number => {
    let members = 0
    for (let i = 0; i < path.length - 1; i++) if (path[i]!.clique === clique) members += 1
    return members
  }

  /** Offers what is taken, priced exactly. False: it does not stand, and nothing does that has it in it. */
  const tryPath = (): boolean => {
    if (!settle()) return false
    const taken = path.map(({ candidate }, i): Provisional => ({ candidate, effect: exact[i]!.effect }))
    const priced = withFinance(taken, exact.at(-1)?.cart ?? untouched)
    if (priced.outcome === "whole") offer(foundOf(priced.taken, spare))
    return true
  }

  while (!goOn(steps - STEPS_BETWEEN_RESTS)) yield
  return givenUp
}

const NO_ONE: readonly Candidate[] = []

/** What no set gives more than: what the coupons can reach has above its floors, and what they give without taking it, as far as there is money. */
export function ceilingOf(sheet: Sheet, open: readonly Candidate[]): number {
  let ceiling = 0
  for (const place of new Set(open.flatMap(({ targets }) => targets))) ceiling += roomOf(sheet.untouched, place)
  for (const candidate of open) if (candidate.terms.kind.takes_nothing) ceiling += mostOf(candidate, sheet)
  return Math.min(ceiling, moneyFor(sheet, open))
}

/** All that the budgets of some coupons have; without end where one of them pays from another purse too. */
function moneyFor({ funds }: Sheet, open: readonly Candidate[]): number {
  const budgets = new Map<string, number>()
  for (const { coupon, terms } of open) {
    if (!funds || coupon.is_paid || terms.funding.length === 0) return Infinity
    for (const { budget_id } of terms.funding) budgets.set(budget_id, Math.max(0, funds.get(budget_id) ?? Infinity))
  }
  let money = 0
  for (const available of budgets.values()) money += available
  return money
}

/** How many of its group, or of its campaign, a coupon may stand among. */
const mostTogether = ({ terms }: Candidate): number => (terms.group !== undefined ? terms.groupMax : terms.perOrder)

function sumAt(left: Float64Array, from: number, classes: readonly number[]): number {
  let all = 0
  for (let k = 0; k < classes.length; k++) all += left[from + classes[k]!]!
  return all
}

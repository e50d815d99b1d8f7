// How much the coupons to come can add at most: the bound that lets the search leave a branch.
//
// Two bounds on what is taken off, whichever is lower:
// - Class by class: whatever is chosen, a class keeps at least what it would keep if of every group the strongest that
//   may stand together were all taken. An amount is strongest where least is left, so it is weighed against that.
// - In all: a coupon with a threshold is only taken where what was taken before it left the threshold standing, so what
//   is taken by its turn is at most that much and what it gives itself. Where that does not do, the sets are told apart by
//   the last coupon they take whose threshold could fall: those behind it are left, and before it there is what it allows.
// What only exact pricing knows is added on top, each coupon with the most that it can give at all: to take away as much
// from any cart never makes the others give more than as much less.
// What must stay true: the bound is never below what a set can give, on any cart within the sketch's error; it may be
// far above it.

import type { Form, Sketch } from "../sketch.ts"
import type { Outline } from "../types.ts"

/** Where a search stands on the sketch. */
export type Standing = {
  /** What is left of each class, `at` being the first one's place in it. */
  readonly left: Float64Array
  readonly at: number
  /** How far that may be off, summed over all classes. */
  readonly error: number
  /** How many more of each clique may be taken. */
  readonly room: Float64Array
  /** The most that each coupon can give from here on where only exact pricing knows more, `mostsAt` being the first one's place in it. */
  readonly mosts: Float64Array
  readonly mostsAt: number
  /** Where classes are layers of units (layers.ts): how much less than so is left. */
  readonly missingMinor?: number
  /** By turn: the most that all claims from there on give together (claims.ts), `claimsAt` being the first one's place in it. */
  readonly claims?: Float64Array
  readonly claimsAt?: number
}

/** Is so much no use to a search? Then it is not looked at any closer. */
export type IsOut = (moreMinor: number) => boolean

/** A bound on what coupons from `turn` on can add; it looks closer at thresholds that bar each other where it is told what for. */
export type Reach = (turn: number, standing: Standing, isOut?: IsOut) => number

/** So many thresholds in each other's way are looked at one by one; each costs a look at all coupons. */
const BARRED_MAX = 8

/**
 * A function that bounds what coupons from `turn` on can add. It keeps its arrays, so it is made once for each search. Where
 * it is told what all claims from there on give together, it leaves those `claimed` out and adds that.
 */
export function reachOn({ forms, classes, cliques }: Sketch, claimed?: Uint8Array): Reach {
  const low = new Float64Array(classes)
  const strongest = new Float64Array(cliques * classes)
  const second = new Float64Array(cliques * classes)
  const alone = new Float64Array(cliques)
  const slackFrom = new Float64Array(forms.length + 1)
  for (let i = forms.length - 1; i >= 0; i--) slackFrom[i] = slackFrom[i + 1]! + forms[i]!.slack
  const sizes = new Float64Array(cliques)
  for (const { clique } of forms) sizes[clique]! += 1
  // What stands for a clique is taken out of a class's product and put in again, so there it must stay one.
  const areAlone = sizes.every((size) => size <= 1)
  const countsTargets = forms.map(({ counts, targets }) => areSame(counts, targets))
  const rising = forms.map(({ fractions }) => (fractions ? fractions.map((_, k) => k).sort((a, b) => fractions[a]! - fractions[b]!) : NO_TURNS))
  const reachesTargets = forms.map(({ reaches, targets }) => reaches !== undefined && areSame(reaches, targets))

  // By turn: who comes before it, takes what only exact pricing knows, and may take it outside of what the threshold counts.
  const opaques = forms.flatMap((form, i) => (isOpaque(form) ? [i] : []))
  const outsides = forms.map(({ thresholdMinor, counts }, i) =>
    thresholdMinor === 0 || counts.length === classes ? NO_TURNS : opaques.filter((j) => j < i && forms[j]!.targets !== counts && !forms[j]!.targets.every((c) => counts.includes(c))))
  const added = new Float64Array(forms.length)
  // Does a threshold count all that claims can take?
  const countsClaims = forms.map(({ counts }) => claimed === undefined || forms.every(({ targets }, j) => claimed[j] === 0 || targets.every((c) => counts.includes(c))))
  const isPushed = forms.map((_, i) => isPushedAt(forms, i))

  // Of the last look: the coupons whose thresholds would fall by what others can take before them, and what may be taken there.
  const barred = new Int32Array(forms.length)
  const allows = new Float64Array(forms.length)
  let barredCount = 0
  const isLeft = new Uint8Array(forms.length)

  /** The most of all sets that leave what `isLeft` says; of those that take a coupon `last`, whose threshold is to stand, where there is one. */
  const look = (turn: number, { left, at, error, room, mosts, mostsAt, missingMinor, claims, claimsAt = 0 }: Standing, last: number): number => {
    const isKnown = claims !== undefined
    const claimedMinor = isKnown ? claims[claimsAt + turn]! : 0
    let claimedAfter = claimedMinor
    let all = 0
    for (let c = 0; c < classes; c++) all += low[c] = left[at + c]!
    strongest.fill(0)
    second.fill(0)
    alone.fill(0)
    let kept = all
    let off = 0
    let opaque = 0
    let given = 0
    let elsewhere = 0
    added.fill(0, 0, turn)
    for (let i = turn; i < forms.length; i++) {
      const form = forms[i]!
      const free = room[form.clique]!
      // What finance coupons give is known when all discounts are.
      added[i] = 0
      if (free <= 0 || isLeft[i] === 1 || form.rate !== undefined) continue
      const isClaimed = isKnown && claimed![i] === 1
      const { targets, counts, thresholdMinor } = form
      if (isClaimed && thresholdMinor === 0) continue
      const shape = form.outline ?? form.loose
      let before = off + opaque
      if (thresholdMinor > 0) {
        let counted = error
        for (let k = 0; k < counts.length; k++) counted += left[at + counts[k]!]!
        if (counted < thresholdMinor) continue
        // What lies outside of its sum may be gone before it, as far as those classes can lose it.
        let lost = 0
        for (let k = 0; k < counts.length; k++) lost += left[at + counts[k]!]! - low[counts[k]!]!
        let outside = elsewhere
        // So may what is taken there and is not known of the classes.
        for (let k = 0; k < outsides[i]!.length; k++) outside += added[outsides[i]![k]!]!
        const allowed = counted - thresholdMinor + error + Math.max(0, all - kept - lost) + outside
        if (i === last) {
          // What is taken before it, the claims among it, is at most what it allows.
          elsewhere += opaque + claimedMinor
          off = countsClaims[i] ? Math.min(off + opaque + claimedMinor, allowed) : Math.min(off + opaque, allowed) + claimedMinor
          opaque = 0
          before = off
          if (isKnown && !isPushed[i]) claimedAfter = claims[claimsAt + i]!
        } else {
          if (last === ANY_TURN && allowed < before + (countsClaims[i] ? claimedMinor : 0)) {
            barred[barredCount] = i
            allows[barredCount++] = allowed
          }
          before = Math.min(before, allowed)
        }
      }
      if (isClaimed) continue
      const { fractions } = form
      let most = 0
      let lowest = 0
      let above = 0
      for (let k = 0; k < targets.length; k++) {
        most += left[at + targets[k]!]!
        lowest += low[targets[k]!]!
        if (!fractions) continue
        above += left[at + targets[k]!]! * form.rests![k]!
      }
      // What takes from single units leaves a line's amount to the others.
      const least = missingMinor === undefined ? lowest : lowest - (missingMinor + claimedMinor + opaque + elsewhere)
      // What comes off beyond what is said of the classes may come off any of them.
      const loose = elsewhere + opaque + error + slackFrom[turn]! + (missingMinor ?? 0)
      const others = opaque
      opaque += above
      added[i] = above
      if (form.amounts && sizes[form.clique]! <= free) {
        let gain = 0
        for (let k = 0; k < targets.length; k++) gain += form.amounts[k]!
        off = Math.max(off, before + Math.min(gain, mosts[mostsAt + i]!) - opaque)
        for (let k = 0; k < targets.length; k++) {
          const c = targets[k]!
          const now = Math.max(0, low[c]! - form.amounts[k]!)
          // What is not there may come off others.
          elsewhere += Math.max(0, form.amounts[k]! - low[c]!)
          kept += now - low[c]!
          low[c] = now
        }
        if (off > all - kept + elsewhere) off = all - kept + elsewhere
        continue
      }
      if (!shape) {
        const { takes_nothing } = form.candidate.terms.kind
        let adds = takes_nothing ? form.mostMinor : Math.min(mosts[mostsAt + i]!, most + error)
        added[i] = adds
        if (free === 1) {
          const better = Math.max(alone[form.clique]!, adds)
          adds = better - alone[form.clique]!
          alone[form.clique] = better
        }
        if (takes_nothing) given += adds
        else opaque += adds
        continue
      }

      let reached = form.reachedMinor
      let fallen = reached
      if (form.reaches) {
        reached = error
        for (let k = 0; k < form.reaches.length; k++) reached += left[at + form.reaches[k]!]!
        // No more than what can be off by then can be missing from it.
        fallen = reached - 2 * error - before - claimedMinor - (missingMinor ?? 0)
      }
      const { tiers, capMinor, repeat } = shape
      let part = 0
      let after = 0
      for (let t = 0; t < tiers.length; t++) {
        const { from, fraction, amountMinor } = tiers[t]!
        if (from > reached) break
        const until = t + 1 < tiers.length ? tiers[t + 1]!.from : Infinity
        if (until <= fallen) continue
        // Where the tier holds, so much is still there.
        const by = form.reaches ? Math.min(before, all - from + error) : before
        // What was taken before it and cannot have come off others came off these.
        let there = Math.min(most, all - by, lowest + all - kept + loose - by)
        let weighed = Math.max(0, least)
        if (countsTargets[i]) weighed = Math.max(weighed, thresholdMinor - error)
        if (reachesTargets[i]) {
          weighed = Math.max(weighed, from - error)
          there = Math.min(there, until + error)
        }
        let gain: number
        if (fraction > 0) {
          gain = Math.min(capMinor, fraction * there)
          if (fractions) {
            // At best it came off what the tier takes least of.
            let over = by - loose - (all - kept) + most - lowest
            let gives = 0
            for (const k of rising[i]!) {
              const l = left[at + targets[k]!]!
              const gone = Math.max(0, Math.min(over, l - low[targets[k]!]!))
              over -= gone
              gives += fractions[k]! * (l - gone)
            }
            gain = Math.min(gain, gives)
          }
          part = Math.max(part, weighed > 0 && form.outline ? Math.min(fraction, capMinor / weighed) : fraction)
        } else {
          const amount = Math.min(capMinor, repeat ? amountMinor * Math.floor(reached / from) : amountMinor)
          gain = Math.min(amount, there)
          part = Math.max(part, amount >= weighed ? 1 : amount / weighed)
        }
        after = Math.max(after, by + gain - others)
      }
      if (part <= 0) continue
      if (form.loose && !form.isLocal) {
        // Where it falls is not known, so no class keeps less for it; what it takes may come on top of what they lose.
        off = Math.max(off, after)
        elsewhere += Math.min(mosts[mostsAt + i]!, gainAt(shape, most + error, reached))
        if (off > all - kept + elsewhere) off = all - kept + elsewhere
        continue
      }

      // The strongest of a clique stand for it; one that has them beside it, or none to contend with, counts itself.
      const contends = free < 3 && sizes[form.clique]! > free
      const row = form.clique * classes
      for (let k = 0; k < targets.length; k++) {
        const c = targets[k]!
        const was = low[c]!
        if (was === 0) continue
        if (fractions) part = fractions[k]!
        let now: number
        if (!contends) {
          // It is only taken where its threshold stands, so a class that has fallen below that falls no lower by it.
          const stood = missingMinor === undefined && areAlone && countsTargets[i] && targets.length === 1 ? Math.max(was, thresholdMinor - error) : was
          now = Math.min(was, stood * (1 - part))
        } else {
          const weakest = free === 1 ? strongest[row + c]! : second[row + c]!
          if (part <= weakest) continue
          now = (was / (1 - weakest)) * (1 - part)
          if (free === 1 || part <= strongest[row + c]!) free === 1 ? (strongest[row + c] = part) : (second[row + c] = part)
          else {
            second[row + c] = strongest[row + c]!
            strongest[row + c] = part
          }
        }
        kept += now - was
        low[c] = now
      }
      off = Math.max(off, after)
      if (off > all - kept + elsewhere) off = all - kept + elsewhere
    }
    return off + opaque + given + claimedAfter + error + slackFrom[turn]!
  }

  return (turn, standing, isOut) => {
    barredCount = 0
    const most = look(turn, standing, ANY_TURN)
    if (!isOut || barredCount === 0 || isOut(most)) return most
    // A set leaves all coupons that are barred, or takes one of them last: it finds what it allows, and those after it are left.
    // More of them than can be looked at are taken for granted, those that allow most.
    const turns = Array.from({ length: barredCount }, (_, k) => k).sort((a, b) => allows[a]! - allows[b]!).slice(0, BARRED_MAX).map((k) => barred[k]!).sort((a, b) => a - b)
    for (const i of turns) isLeft[i] = 1
    let highest = look(turn, standing, NO_TURN)
    for (let k = 0; k < turns.length && isOut(highest); k++) {
      isLeft[turns[k]!] = 0
      highest = Math.max(highest, look(turn, standing, turns[k]!))
    }
    isLeft.fill(0)
    return isOut(highest) ? Math.min(most, highest) : most
  }
}

/** Any coupon may be the last whose threshold bars it; or none is. */
const ANY_TURN = -1
const NO_TURN = -2

const NO_TURNS: readonly number[] = []

/** May coupons before a turn take units away, so that those from it on find dearer ones? What claims give from there on is not said for that. */
export function isPushedAt(forms: readonly Form[], turn: number): boolean {
  const takesAway = ({ candidate: { terms } }: Form): boolean => terms.kind.name === "buy_x_get_y" || terms.kind.name === "bundle"
  return forms.slice(0, turn).some(takesAway) && forms.slice(turn).some(takesAway)
}

const isOpaque = ({ outline, loose, rests, candidate }: Form): boolean => rests !== undefined || (!outline && !loose && !candidate.terms.kind.takes_nothing)

/**
 * At least how many coupons from `turn` on it takes to add so much: the ones that can give most first, each what it can give
 * at most now. Infinity where all of them together cannot.
 */
export function fewestOn({ forms }: Sketch): (turn: number, standing: Standing, missingMinor: number) => number {
  const gains = new Float64Array(forms.length)
  return (turn, { left, at, error, room, mosts, mostsAt }, missingMinor) => {
    let count = 0
    for (let i = turn; i < forms.length; i++) {
      const { outline, loose, targets, reaches, reachedMinor, mostMinor, candidate, slack, clique } = forms[i]!
      const shape = outline ?? loose
      if (room[clique]! <= 0) continue
      let there = error
      for (let k = 0; k < targets.length; k++) there += left[at + targets[k]!]!
      if (!shape) {
        gains[count++] = candidate.terms.kind.takes_nothing ? mostMinor : Math.min(mosts[mostsAt + i]!, there)
        continue
      }
      let reached = reachedMinor
      if (reaches) {
        reached = error
        for (let k = 0; k < reaches.length; k++) reached += left[at + reaches[k]!]!
      }
      gains[count++] = gainAt(shape, there, reached) + slack
    }
    const sorted = gains.subarray(0, count).sort()
    let missing = missingMinor - error
    let taken = 0
    while (missing > 0 && taken < count) missing -= sorted[count - ++taken]!
    return missing > 0 ? Infinity : taken
  }
}

/** The most that a coupon takes where at most so much is there and so much is reached. */
function gainAt({ tiers, repeat, capMinor }: Outline, there: number, reached: number): number {
  let gain = 0
  for (let t = 0; t < tiers.length; t++) {
    const { from, fraction, amountMinor } = tiers[t]!
    if (from > reached) break
    const off = fraction > 0 ? fraction * there : repeat ? amountMinor * Math.floor(reached / from) : amountMinor
    gain = Math.max(gain, Math.min(off, capMinor, there))
  }
  return gain
}

const areSame = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((one) => b.includes(one))

// How much the coupons to come can add at most: the bound that lets the search leave a branch.
//
// Two bounds on what is taken off, whichever is lower:
// - Class by class: whatever is chosen, a class keeps at least what it would keep if of every group the strongest that
//   may stand together were all taken. An amount is strongest where least is left, so it is weighed against that.
// - In all: a coupon with a threshold is only taken where what was taken before it left the threshold standing, so what
//   is taken by its turn is at most that much and what it gives itself.
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
}

/**
 * A function that bounds what coupons from `turn` on can add. It keeps its arrays, so it is made once for each search. Told
 * what all claims from there on give together (claims.ts), it leaves those `claimed` out and adds that.
 */
export function reachOn({ forms, classes, cliques }: Sketch, claimed?: Uint8Array): (turn: number, standing: Standing, claimedMinor?: number) => number {
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
  const reachesTargets = forms.map(({ reaches, targets }) => reaches !== undefined && areSame(reaches, targets))

  // By turn: who comes before it, takes what only exact pricing knows, and may take it outside of what the threshold counts.
  const opaques = forms.flatMap((form, i) => (isOpaque(form) ? [i] : []))
  const outsides = forms.map(({ thresholdMinor, counts }, i) =>
    thresholdMinor === 0 || counts.length === classes ? NO_TURNS : opaques.filter((j) => j < i && forms[j]!.targets !== counts && !forms[j]!.targets.every((c) => counts.includes(c))))
  const added = new Float64Array(forms.length)

  return (turn, { left, at, error, room, mosts, mostsAt, missingMinor }, claimedMinor) => {
    const isKnown = claimedMinor !== undefined
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
      if (free <= 0 || form.rate !== undefined || (isKnown && claimed![i] === 1)) continue
      const { targets, counts, thresholdMinor } = form
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
        before = Math.min(before, counted - thresholdMinor + error + Math.max(0, all - kept - lost) + outside)
      }
      const { fractions } = form
      let most = 0
      // What takes from single units leaves a line's amount to the others.
      let least = missingMinor === undefined ? 0 : -(missingMinor + (claimedMinor ?? 0) + opaque + elsewhere)
      let gives = 0
      let above = 0
      for (let k = 0; k < targets.length; k++) {
        most += left[at + targets[k]!]!
        least += low[targets[k]!]!
        if (!fractions) continue
        gives += left[at + targets[k]!]! * fractions[k]!
        above += left[at + targets[k]!]! * form.rests![k]!
      }
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
        fallen = reached - 2 * error - before - (claimedMinor ?? 0) - (missingMinor ?? 0)
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
        let there = Math.min(most, all - by)
        let weighed = Math.max(0, least)
        if (countsTargets[i]) weighed = Math.max(weighed, thresholdMinor - error)
        if (reachesTargets[i]) {
          weighed = Math.max(weighed, from - error)
          there = Math.min(there, until + error)
        }
        let gain: number
        if (fraction > 0) {
          gain = Math.min(capMinor, fraction * there, fractions ? gives : Infinity)
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
    return off + opaque + given + (claimedMinor ?? 0) + error + slackFrom[turn]!
  }
}

const NO_TURNS: readonly number[] = []

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

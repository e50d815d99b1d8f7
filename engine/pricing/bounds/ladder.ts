// A second bound for the search of the best set: from every sum that may be left, how little the coupons to come can leave.
//
// Why it exists: coupons whose thresholds bar each other make a knapsack. The bound on classes (reach.ts) takes each coupon
// at its best place, so it lets the search fill every gap below a threshold; here gaps stay gaps. The sum that is left is
// cut into rungs, and from the last coupon back to the first each rung learns the lowest end that it can come to.
// What must stay true: every sum that a set can leave lies on a rung that this has looked at. So what is not known of a
// cart (how its sum lies on the classes, which group is full, where odd units went) is taken both at its most and at its least.

import type { Form, Sketch } from "../sketch.ts"
import type { Outline } from "../types.ts"

/** How finely sums are told apart. On the bench's hardest instances 1,000 leave twice the branches of 4,000, and 16,000 three quarters of them (2026-11-22). */
const RUNGS = 2_048

/** What a class, or several together, can be of all that is left. */
type Part = { readonly least: number; readonly most: number; readonly worth: number }

/** A bound on what coupons from `turn` on can add where so much is left, give or take an error. */
export type Ladder = (turn: number, leftMinor: number, error: number) => number

/** Builds the ladder below a cart of classes. There is something left of it. */
export function ladderOn(sketch: Sketch, left: Float64Array, error: number): Ladder {
  const { forms } = sketch
  let whole = 0
  for (const each of left) whole += each
  const rung = whole / RUNGS
  // What the picture of the classes may be off by at a coupon's turn, and as much again of their sum.
  let blur = 2 * forms.reduce((all, { slack }) => all + slack, error)
  const partOf = partsOn(sketch, left, error)

  const ends = new Array<Float64Array>(forms.length + 1)
  ends[forms.length] = Float64Array.from({ length: RUNGS + 1 }, (_, r) => r * rung)
  for (let turn = forms.length - 1; turn >= 0; turn--) {
    blur -= 2 * forms[turn]!.slack
    ends[turn] = endsBefore(forms[turn]!, ends[turn + 1]!, rung, blur, partOf)
  }

  return (turn, leftMinor, off) => {
    const from = ends[turn]!
    const last = Math.min(RUNGS, Math.floor((leftMinor + off) / rung))
    let end = Infinity
    for (let r = Math.max(0, Math.floor((leftMinor - off) / rung)); r <= last; r++) end = Math.min(end, from[r]!)
    return leftMinor - end + off
  }
}

const NO_SHAPE: Pick<Outline, "tiers" | "repeat" | "capMinor"> = { tiers: [{ from: 0, fraction: 0, amountMinor: Infinity }], repeat: false, capMinor: Infinity }

/** The lowest ends before a coupon's turn: it is left, or it is taken wherever it can stand. */
function endsBefore(form: Form, next: Float64Array, rung: number, blur: number, partOf: (classes: readonly number[]) => Part): Float64Array {
  const { outline, loose, thresholdMinor, reaches, reachedMinor, mostMinor, slack } = form
  const shape = outline ?? loose
  const ends = next.slice()
  if (form.rate !== undefined) return ends
  if (!shape && form.candidate.terms.kind.takes_nothing) {
    for (let r = 0; r < ends.length; r++) ends[r]! -= mostMinor
    return ends
  }

  const { tiers, repeat, capMinor } = shape ?? NO_SHAPE
  const cap = shape ? capMinor : mostMinor
  const target = partOf(form.targets)
  const counted = partOf(form.counts)
  const reach = reaches && partOf(reaches)
  let standing = 0
  let stays = 0
  if (thresholdMinor > 0) {
    if (counted.worth + blur < thresholdMinor) return ends
    if (thresholdMinor > blur) standing = (thresholdMinor - blur) / counted.most
    if (areSame(form.counts, form.targets)) stays = thresholdMinor - blur
  }

  for (let t = 0; t < tiers.length; t++) {
    const { from, fraction, amountMinor } = tiers[t]!
    const until = t + 1 < tiers.length ? tiers[t + 1]!.from : Infinity
    // The sums at which the tier may hold.
    let bottom = standing
    let top = Infinity
    if (reach) {
      if (reach.worth + blur < from) continue
      if (from > blur) bottom = Math.max(bottom, (from - blur) / reach.most)
      if (reach.least > 0) top = (until + blur) / reach.least
    } else if (reachedMinor < from || reachedMinor >= until) continue

    for (let r = Math.max(0, Math.floor(bottom / rung)); r < ends.length; r++) {
      const low = Math.max(r * rung, bottom)
      const high = Math.min((r + 1) * rung, top)
      if (low >= high) break
      const mostThere = Math.min(target.worth, low * target.most) + blur
      const leastThere = Math.max(stays, high * target.least - blur)
      let most: number
      let least: number
      if (fraction > 0) {
        most = fraction * mostThere
        least = fraction * leastThere
      } else if (repeat) {
        most = Math.min(mostThere, amountMinor * Math.floor(((reach ? high * reach.most : reachedMinor) + blur) / from))
        least = Math.min(leastThere, amountMinor * Math.floor(Math.max(0, (reach ? low * reach.least : reachedMinor) - blur) / from))
      } else {
        most = Math.min(mostThere, amountMinor)
        least = Math.min(leastThere, amountMinor)
      }
      // A share of more is more, but what is left after it is more too, so the ends of a rung stay its ends.
      const down = Math.max(0, Math.floor((low - Math.min(cap, most) - slack) / rung))
      const up = Math.min(ends.length - 1, Math.floor((high - (outline ? Math.min(cap, least) : 0) + slack) / rung))
      let end = ends[r]!
      for (let to = down; to <= up; to++) if (next[to]! < end) end = next[to]!
      ends[r] = end
    }
  }
  return ends
}

/** How much of the sum the classes can come to hold, and how little, whatever coupons are taken. */
function partsOn({ forms, classes }: Sketch, left: Float64Array, error: number): (classes: readonly number[]) => Part {
  // keeps[d][c]: at least so much of d is left for each of c, against how it was: what takes from d alone takes its most.
  const keeps = Array.from({ length: classes }, () => new Float64Array(classes).fill(1))
  const low = left.slice()
  for (const form of forms) {
    if (form.candidate.terms.kind.takes_nothing) continue
    const inside = new Uint8Array(classes)
    let there = 0
    for (const c of form.targets) {
      inside[c] = 1
      there += low[c]!
    }
    if (areSame(form.counts, form.targets)) there = Math.max(there, form.thresholdMinor - error)
    const stays = 1 - mostPartOf(form, there)
    for (const c of form.targets) low[c]! *= stays
    // Where it is not known where a coupon's discount falls, it may all fall on one of its classes.
    for (const d of form.targets) for (let c = 0; c < classes; c++) if (c !== d && (inside[c] === 0 || !form.outline)) keeps[d]![c]! *= stays
  }
  const least = new Float64Array(classes)
  const most = new Float64Array(classes)
  for (let c = 0; c < classes; c++) {
    if (left[c] === 0) continue
    let others = 0
    let othersMost = 0
    for (let d = 0; d < classes; d++) {
      if (d === c) continue
      others += (left[d]! / left[c]!) * keeps[d]![c]!
      if (left[d]! > 0) othersMost += left[d]! / left[c]! / keeps[c]![d]!
    }
    most[c] = 1 / (1 + others)
    least[c] = 1 / (1 + othersMost)
  }
  return (wanted) => {
    const inside = new Uint8Array(classes)
    for (const c of wanted) inside[c] = 1
    const part = { least: 0, most: 0, worth: 0 }
    let othersLeast = 0
    let othersMost = 0
    for (let c = 0; c < classes; c++) {
      if (inside[c] === 1) {
        part.least += least[c]!
        part.most += most[c]!
        part.worth += left[c]!
      } else {
        othersLeast += least[c]!
        othersMost += most[c]!
      }
    }
    return { least: Math.max(part.least, 1 - othersMost), most: Math.min(part.most, 1 - othersLeast), worth: part.worth }
  }
}

/** The most that a coupon can take of what is there, as a fraction, where at least so much is there. */
function mostPartOf({ outline }: Form, there: number): number {
  if (!outline) return 1
  let part = 0
  for (const { fraction, amountMinor } of outline.tiers) {
    const amount = outline.repeat ? Infinity : Math.min(outline.capMinor, amountMinor)
    part = Math.max(part, fraction > 0 ? fraction : amount < there ? amount / there : 1)
  }
  return part
}

const areSame = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((one) => b.includes(one))

// The search's rough picture of an order: lines that no coupon tells apart are one class, and a class is one number.
//
// Why it exists: pricing one coupon on 200 lines costs microseconds, and a search looks at very many sets. On classes
// the same step costs nanoseconds. The picture is drawn in fractions of a minor unit and forgets which line got the odd
// one, so it carries how far it may be off.
// What must stay true: whatever exact pricing says of the same coupons differs, summed over all classes, by at most the
// slacks of those coupons. That holds because no step below spreads a difference: each keeps what is more above what is
// less, and takes no more from what is more than the difference.

import type { Candidate } from "./candidate.ts"
import { aloneOf, isTurn } from "./turn.ts"
import { effectOn } from "./candidate.ts"
import { roomOf } from "./cart.ts"
import type { Outline, Sheet } from "./types.ts"

/** One coupon on the classes. */
export type Form = {
  readonly candidate: Candidate
  /** What it does on classes; undefined: only exact pricing knows that. */
  readonly outline: Outline | undefined
  /** Never less than what it does, where only exact pricing knows how much that is and where it falls. */
  readonly loose: Outline | undefined
  /** The classes it takes from. */
  readonly targets: readonly number[]
  /** The classes its running threshold counts, and what it asks of them; 0: none. */
  readonly counts: readonly number[]
  readonly thresholdMinor: number
  /** The classes its running tiers count; undefined: what is reached never changes, and is this. */
  readonly reaches: readonly number[] | undefined
  readonly reachedMinor: number
  /** The most that it gives on any cart that the others can leave it, where neither says more. */
  readonly mostMinor: number
  /** How far exact pricing may differ from the picture when it is taken. */
  readonly slack: number
  /** Its group or campaign, where only one or two of it may stand together: a number from 0, or -1. */
  readonly clique: number
}

export type Sketch = {
  readonly classes: number
  /** The class of each place, the shipping's included. */
  readonly classOf: readonly number[]
  readonly forms: readonly Form[]
  readonly cliques: number
}

/** Draws the picture for coupons in their order of application. */
export function sketchOf(sheet: Sheet, open: readonly Candidate[]): Sketch {
  const classOf = classesOf(sheet, open)
  const classes = Math.max(...classOf) + 1
  const cliques = new Map<string, number>()
  // Most coupons speak of all lines, so what is known of a list of places is found again by the list itself.
  const known = new Map<readonly number[], readonly number[]>()
  const seen = (places: readonly number[]): readonly number[] => {
    const found = known.get(places) ?? classesAt(classOf, classes, places)
    known.set(places, found)
    return found
  }
  const forms = open.map((candidate): Form => {
    const { terms, lines, targets } = candidate
    const shape = shapeOf(candidate, sheet)
    const outline = shape && isClear(candidate, sheet) ? shape : undefined
    const places = terms.thresholdOf === "order" ? sheet.all : lines
    const runs = terms.thresholdMinor > 0 && candidate.thresholdSees === "running"
    const sees = shape?.by === "amount" && (shape.tiers.length > 1 || shape.repeat || shape.tiers[0]!.from > 0) && candidate.thresholdSees === "running"
    return {
      candidate,
      outline,
      loose: outline ? undefined : shape,
      targets: seen(targets),
      counts: runs ? seen(places) : NO_CLASSES,
      thresholdMinor: runs ? terms.thresholdMinor : 0,
      reaches: sees ? seen(lines) : undefined,
      reachedMinor: !shape ? 0 : shape.by === "quantity" ? sum(sheet.quantities, lines) : sum(sheet.amounts, lines),
      mostMinor: shape ? 0 : mostOf(candidate, sheet),
      slack: shape ? slackOf(candidate, shape, sheet, seen(targets).length) : 0,
      clique: cliqueOf(candidate, cliques),
    }
  })
  return { classes, classOf, forms, cliques: cliques.size }
}

const NO_CLASSES: readonly number[] = []

/** What each place is to the coupons: lines that are targets and eligible alike are one class. */
function classesOf(sheet: Sheet, open: readonly Candidate[]): number[] {
  const count = sheet.shipping + 1
  let classOf = new Array<number>(count).fill(0)
  classOf[sheet.shipping] = 1
  let classes = 2
  for (const { lines, targets } of open) {
    // Coupons on all lines tell none apart.
    for (const places of lines === targets ? [lines] : [lines, targets]) {
      if (places.length >= sheet.shipping) continue
      const isInside = new Uint8Array(count)
      for (const place of places) isInside[place] = 1
      const names = new Int32Array(classes * 2).fill(-1)
      let next = 0
      classOf = classOf.map((before, place) => {
        const key = before * 2 + isInside[place]!
        if (names[key] === -1) names[key] = next++
        return names[key]!
      })
      classes = next
    }
  }
  return classOf
}

function classesAt(classOf: readonly number[], classes: number, places: readonly number[]): number[] {
  const isThere = new Uint8Array(classes)
  for (const place of places) isThere[classOf[place]!] = 1
  const there: number[] = []
  for (let c = 0; c < classes; c++) if (isThere[c] === 1) there.push(c)
  return there
}

function sum(amounts: readonly number[], places: readonly number[]): number {
  let all = 0
  for (const place of places) all += amounts[place]!
  return all
}

/** What the kind says of itself. */
function shapeOf(candidate: Candidate, sheet: Sheet): Outline | undefined {
  const { terms, targets, policy } = candidate
  const outline = terms.outline?.(policy)
  if (!outline) return undefined
  const capMinor = Math.min(outline.capMinor, terms.maxMinor)
  if (policy.percent_base === "running") return { ...outline, capMinor }
  // Of what its level began with, which is at most what there was: an amount, whatever the others leave.
  const worth = sum(sheet.amounts, targets)
  return { ...outline, capMinor, tiers: outline.tiers.map(({ from, fraction, amountMinor }) => ({ from, fraction: 0, amountMinor: fraction > 0 ? fraction * worth + 1 : amountMinor })) }
}

/** Is that all there is to say on this order, by this policy? */
function isClear(candidate: Candidate, sheet: Sheet): boolean {
  const { terms, targets, policy, coupon } = candidate
  if (policy.percent_base === "original" && terms.outline!(policy).tiers.some(({ fraction }) => fraction > 0)) return false
  // A floor makes a line give less than its part and the others more; short money makes a coupon give less than its terms.
  if (targets.some((place) => sheet.floors[place]! > 0)) return false
  return !sheet.funds || coupon.is_paid === true || terms.funding.every(({ budget_id }) => !sheet.funds!.has(budget_id))
}

/** The most that a coupon gives on any cart: carts only lose, so of most kinds what it gives alone. */
function mostOf(candidate: Candidate, sheet: Sheet): number {
  const untouched = sheet.untouched
  const { terms, targets } = candidate
  if (terms.kind.unbounded_by_alone || terms.kind.rises) {
    const room = targets.reduce((all, place) => all + roomOf(untouched, place), 0)
    return Math.min(terms.maxMinor, room)
  }
  const alone = aloneOf(candidate, sheet)
  // Alone it may be refused for its budget and, beside others, cost less.
  const effect = isTurn(alone) && !sheet.funds ? alone.effect : effectOn(candidate, untouched, untouched, terms.maxMinor)
  return effect ? effect.totalMinor + effect.benefitMinor : 0
}

/** Odd minor units: one for each amount that is rounded, and what their places move between classes. */
function slackOf({ targets, policy }: Candidate, outline: Outline, sheet: Sheet, classes: number): number {
  const lines = targets.length
  const moved = classes > 1 ? lines * (policy.remainder === "largest" ? 0.5 : 1) : 0
  if (outline.tiers.every(({ fraction }) => fraction === 0)) return moved
  if (outline.per === "order") return 1 + moved
  return (outline.per === "line" ? lines : sum(sheet.quantities, targets)) + lines
}

function cliqueOf({ terms }: Candidate, cliques: Map<string, number>): number {
  const name = terms.group !== undefined ? `group ${terms.group}` : `campaign ${terms.campaign_id}`
  const number = cliques.get(name) ?? cliques.size
  cliques.set(name, number)
  return number
}

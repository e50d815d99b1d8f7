// The search's rough picture of an order: lines that no coupon tells apart are one class, and a class is one number.
//
// Why it exists: pricing one coupon on 200 lines costs microseconds, and a search looks at very many sets. On classes
// the same step costs nanoseconds. The picture is drawn in fractions of a minor unit and forgets which line got the odd
// one, so it carries how far it may be off.
// What must stay true: whatever exact pricing says of the same coupons differs, summed over all classes, by at most the
// slacks of those coupons. That holds because no step below spreads a difference: each keeps what is more above what is
// less, and takes no more from what is more than the difference.

import { effectOn, sceneOf, type Candidate } from "./candidate.ts"
import { aloneOf, isTurn } from "./turn.ts"
import { roomOf } from "./cart.ts"
import { chosenUnits } from "./field.ts"
import type { Cart, Outline, Rate, Sheet } from "./types.ts"

/** One coupon on the classes. */
export type Form = {
  readonly candidate: Candidate
  /** What it does on classes; undefined: only exact pricing knows that. */
  readonly outline: Outline | undefined
  /** Never less than what it does, where only exact pricing knows how much that is and where it falls. */
  readonly loose: Outline | undefined
  /** Of the latter: no class gives a larger part than the outline says. */
  readonly isLocal: boolean
  /** Of a tier that is bounded layer by layer (bounds/layers.ts): its fraction of each class that it takes from. */
  readonly fractions?: readonly number[]
  /** What it takes more of them than that. */
  readonly rests?: readonly number[]
  /** Of a coupon that takes so much off each line or unit: the most that it takes of each class there. */
  readonly amounts?: readonly number[]
  /** Of a finance kind: the most that it gives of what is left at the end. */
  readonly rate: Rate | undefined
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
  const taken = open.map((candidate) => takenFrom(candidate, sheet))
  const classOf = classesOf(sheet, open, taken)
  const classes = Math.max(...classOf) + 1
  const cliques = new Map<string, number>()
  // Most coupons speak of all lines, so what is known of a list of places is found again by the list itself.
  const known = new Map<readonly number[], readonly number[]>()
  const seen = (places: readonly number[]): readonly number[] => {
    const found = known.get(places) ?? classesAt(classOf, classes, places)
    known.set(places, found)
    return found
  }
  const forms = open.map((candidate, i): Form => {
    const { terms, lines } = candidate
    const { places: targets, areWhole } = taken[i]!
    const shape = shapeOf(candidate, sheet)
    const outline = shape && areWhole && isClear(candidate, sheet) ? shape : undefined
    const places = terms.thresholdOf === "order" ? sheet.all : lines
    const runs = terms.thresholdMinor > 0 && candidate.thresholdSees === "running"
    const sees = shape?.by === "amount" && (shape.tiers.length > 1 || shape.repeat || shape.tiers[0]!.from > 0) && candidate.thresholdSees === "running"
    return {
      candidate,
      outline,
      loose: outline ? undefined : shape && held(shape, candidate, sheet),
      isLocal: candidate.policy.percent_base === "running" && hasNoFloor(candidate, sheet) && shape !== undefined && shape.tiers.every(({ fraction }) => fraction > 0),
      rate: terms.rate,
      targets: seen(targets),
      counts: runs ? seen(places) : NO_CLASSES,
      thresholdMinor: runs ? terms.thresholdMinor : 0,
      reaches: sees ? seen(lines) : undefined,
      reachedMinor: !shape ? 0 : shape.by === "quantity" ? sum(sheet.quantities, lines) : sum(sheet.amounts, lines),
      mostMinor: shape ? 0 : mostOf(candidate, sheet),
      slack: shape ? slackOf(candidate, targets, shape, sheet, seen(targets).length) : 0,
      clique: cliqueOf(candidate, cliques),
    }
  })
  return { classes, classOf, forms, cliques: cliques.size }
}

const NO_CLASSES: readonly number[] = []

/** What each place is to the coupons: lines that are targets and eligible alike are one class. */
function classesOf(sheet: Sheet, open: readonly Candidate[], taken: readonly Taking[]): number[] {
  const count = sheet.shipping + 1
  let classOf = new Array<number>(count).fill(0)
  classOf[sheet.shipping] = 1
  let classes = 2
  for (let i = 0; i < open.length; i++) {
    const { lines } = open[i]!
    const targets = taken[i]!.places
    for (const places of lines === targets ? [lines] : [lines, targets]) {
      const isInside = new Uint8Array(count)
      for (const place of places) isInside[place] = 1
      // Coupons on all lines tell none apart, and the shipping is a class of its own.
      if (places.length - isInside[sheet.shipping]! === sheet.shipping) continue
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

/** The lines that a coupon takes from, and whether it chooses none of their units: what does, is a claim on units (bounds/claims.ts). */
type Taking = { readonly places: readonly number[]; readonly areWhole: boolean }

/** Which units are chosen goes by their prices, so it is the same on every cart. */
function takenFrom({ terms, targets, policy }: Candidate, sheet: Sheet): Taking {
  const choice = terms.outline?.(policy)?.choice
  const units = choice && chosenUnits(sheet.untouched, targets, choice, "cheapest")
  if (!units) return { places: targets, areWhole: true }
  return { places: targets.filter((_, k) => units[k]! > 0), areWhole: targets.every((place, k) => units[k] === sheet.quantities[place]) }
}

/** An outline that is only a bound, held to what the coupon gives alone where less is never more. */
function held(shape: Outline, candidate: Candidate, sheet: Sheet): Outline {
  return candidate.terms.rises ? shape : { ...shape, capMinor: Math.min(shape.capMinor, mostOf(candidate, sheet)) }
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
  const { terms, policy, coupon } = candidate
  if (policy.percent_base === "original" && terms.outline!(policy).tiers.some(({ fraction }) => fraction > 0)) return false
  // A floor makes a line give less than its part and the others more; short money makes a coupon give less than its terms.
  if (!hasNoFloor(candidate, sheet)) return false
  return !sheet.funds || coupon.is_paid === true || terms.funding.every(({ budget_id }) => !sheet.funds!.has(budget_id))
}

const hasNoFloor = ({ targets }: Candidate, sheet: Sheet): boolean => targets.every((place) => sheet.floors[place] === 0)

/** The most that a coupon gives on any cart that others can leave of this one: carts only lose, so of most kinds what it gives there. */
export function mostOn(candidate: Candidate, cart: Cart): number {
  const { terms, targets } = candidate
  const { untouched } = cart.sheet
  if (terms.most) {
    const room = targets.reduce((all, place) => all + roomOf(cart, place), 0)
    return Math.min(terms.maxMinor, room, Math.floor(terms.most(sceneOf(candidate, cart, untouched, terms.maxMinor))))
  }
  const effect = effectOn(candidate, cart, untouched, terms.maxMinor)
  return effect ? effect.totalMinor + effect.benefitMinor : 0
}

/** The same of the untouched order. */
export function mostOf(candidate: Candidate, sheet: Sheet): number {
  // Alone it may be refused for its budget and, beside others, cost less.
  if (candidate.terms.most || sheet.funds) return mostOn(candidate, sheet.untouched)
  const alone = aloneOf(candidate, sheet)
  return isTurn(alone) ? alone.effect.totalMinor + alone.effect.benefitMinor : 0
}

/** Odd minor units: one for each amount that is rounded, and what their places move between classes. */
function slackOf({ policy }: Candidate, targets: readonly number[], outline: Outline, sheet: Sheet, classes: number): number {
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

/** What a coupon takes off on the sketch; undefined where the sketch cannot tell which tier holds. */
export function gainOf({ outline, reaches }: Form, there: number, reached: number, error: number): number | undefined {
  const { tiers, repeat, capMinor } = outline!
  const unsure = reaches ? error : 0
  let tier: (typeof tiers)[number] | undefined
  for (let t = 0; t < tiers.length; t++) {
    const { from } = tiers[t]!
    if (unsure > 0 && Math.abs(from - reached) <= unsure) return undefined
    if (from <= reached) tier = tiers[t]
  }
  if (!tier) return 0
  if (tier.fraction > 0) return Math.min(capMinor, tier.fraction * there)
  if (!repeat) return Math.min(capMinor, tier.amountMinor, there)
  const times = Math.floor((reached + unsure) / tier.from)
  if (times !== Math.floor((reached - unsure) / tier.from)) return undefined
  return Math.min(capMinor, tier.amountMinor * times, there)
}

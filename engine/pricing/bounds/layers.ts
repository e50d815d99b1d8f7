// What tiers unit by unit and coupons on whole lines give together: percentages leave less for tiers, and tiers for percentages.
//
// Why it exists: the bound on claims (claims.ts) and the one on classes (reach.ts) know nothing of each other, so where much is taken by
// both, their sum stood 12 % above the best set. Here the classes of reach.ts are cut into layers, units that no tier tells apart, and a
// tier is a coupon that takes another fraction of each of them.
// A percentage falls on the units of a line alike, on the cheaper ones harder than its fraction. Where tiers rise from unit to unit and no
// unit is worth less than one behind it, that only takes from what later tiers take most of. So each unit is said to be worth as much as
// the dearest from it on.
// What must stay true: tiers rise, and lines have no floors; what else takes from units takes from what is said here too.

import type { Candidate } from "../candidate.ts"
import type { Form, Sketch } from "../sketch.ts"
import type { Cart, Claim, Sheet } from "../types.ts"
import { aloneOf, isTurn } from "../turn.ts"
import { reachOn, type IsOut, type Standing } from "./reach.ts"

/** Units in a row of one line that are of one layer. */
type Stretch = { readonly until: number; readonly layer: number }

/** The stretches of a line, and in which order they keep less and less. */
type Row = { readonly stretches: readonly Stretch[]; readonly order: readonly number[] }

export type Layers = {
  /** By turn: 1 where the coupon is a tier that is bounded here. */
  readonly holds: Uint8Array
  /** Looks at the cart that so many coupons have left. */
  readonly look: (depth: number, cart: Cart) => void
  /** The bound below that cart, as that of reach.ts: the standing's `claims` are those that are not bounded here. */
  readonly reach: (turn: number, depth: number, standing: Standing, isOut?: IsOut) => number
}

/** Undefined where there is nothing to be bounded together. */
export function layersOn(sheet: Sheet, sketch: Sketch, claimed: Uint8Array): Layers | undefined {
  const { forms, classOf, classes, cliques } = sketch
  const holds = Uint8Array.from(forms, ({ candidate }, i) => (claimed[i] === 1 && isTier(candidate, sheet) ? 1 : 0))
  if (!holds.includes(1) || !forms.some(isWhole)) return undefined
  const tiers = forms.flatMap(({ candidate }, turn) => (holds[turn] === 1 ? [{ turn, steps: stepsOf(candidate), inside: new Set(candidate.targets) }] : []))

  const names = new Map<string, number>()
  const layersOf: number[][] = Array.from({ length: classes }, () => [])
  const columns: { readonly rising: readonly number[]; readonly above: readonly number[] }[] = []
  const rowOf = (place: number): Row => {
    const quantity = sheet.quantities[place]!
    const here = tiers.map(({ steps, inside }) => (inside.has(place) ? steps : NO_STEPS))
    const cuts = new Set([quantity, ...here.flatMap((steps) => steps.flatMap(({ from }) => (from > 1 && from <= quantity ? [from - 1] : [])))])
    let began = 0
    const cut = [...cuts].sort((a, b) => a - b).map((until) => {
      const taken = here.map((steps) => fractionAt(steps, began + 1))
      began = until
      return { until, taken, keeps: taken.reduce((all, fraction) => all * (1 - fraction), 1) }
    })
    // Those that keep least come last; of a tier that gives less there than before, what it gives more before is counted for itself.
    const order = cut.map((_, s) => s).sort((a, b) => cut[b]!.keeps - cut[a]!.keeps || a - b)
    const least = tiers.map(() => Infinity)
    const layerOf = new Array<number>(cut.length)
    for (const s of order.toReversed()) {
      const { taken } = cut[s]!
      taken.forEach((fraction, t) => (least[t] = Math.min(least[t]!, fraction)))
      const name = `${classOf[place]} ${least.join()} ${taken.join()}`
      let layer = names.get(name)
      if (layer === undefined) {
        names.set(name, (layer = columns.push({ rising: least.slice(), above: taken.map((fraction, t) => fraction - least[t]!) }) - 1))
        layersOf[classOf[place]!]!.push(layer)
      }
      layerOf[s] = layer
    }
    return { stretches: cut.map(({ until }, s) => ({ until, layer: layerOf[s]! })), order }
  }
  // Lines of a class have the same tiers, so one of so many units is like another.
  const known = new Map<number, Row>()
  const rows = Array.from({ length: sheet.shipping + 1 }, (_, place): Row => {
    const name = sheet.quantities[place]! * classes + classOf[place]!
    const row = known.get(name) ?? rowOf(place)
    known.set(name, row)
    return row
  })
  const amountsOf = (candidate: Candidate, layersHere: readonly number[]): number[] => {
    const alone = aloneOf(candidate, sheet)
    const amounts = new Float64Array(columns.length)
    if (isTurn(alone)) for (const place of candidate.targets) {
      const { stretches, order } = rows[place]!
      // What a unit does not have any more comes off the other units of its line, at worst off those that keep most.
      if (candidate.terms.each === "line") {
        amounts[stretches[order[0]!]!.layer]! += alone.effect.off[place]!
        continue
      }
      let began = 0
      for (const { until, layer } of stretches) {
        amounts[layer]! += (alone.effect.off[place]! * (until - began)) / sheet.quantities[place]!
        began = until
      }
    }
    return layersHere.map((layer) => amounts[layer]!)
  }
  const laid = (some: readonly number[]): number[] => some.flatMap((c) => layersOf[c]!)
  // Odd minor units of a line do not lie on its units as its fraction says.
  const odd = (candidate: Candidate): number => candidate.targets.reduce((all, place) => all + (rows[place]!.order.length > 1 ? sheet.quantities[place]! - 1 : 0), 0)
  const layered = forms.map((form, turn): Form => {
    const { candidate, targets, counts, reaches, slack } = form
    const layersHere = laid(targets)
    const there = { ...form, isLocal: isWhole(form), targets: layersHere, counts: laid(counts), reaches: reaches && laid(reaches) }
    if (isEach(candidate, sheet)) return { ...there, amounts: amountsOf(candidate, layersHere), slack: odd(candidate) }
    if (holds[turn] === 0) return { ...there, slack: slack + (candidate.terms.kind.takes_nothing ? 0 : odd(candidate)) }
    const at = tiers.findIndex((tier) => tier.turn === turn)
    const fractions = layersHere.map((layer) => columns[layer]!.rising[at]!)
    const rests = layersHere.map((layer) => columns[layer]!.above[at]!)
    const units = candidate.targets.reduce((all, place) => all + sheet.quantities[place]!, 0)
    return {
      ...there, fractions, rests, isLocal: true, slack: units + candidate.targets.length + 1,
      loose: { by: "quantity", tiers: [{ from: 0, fraction: Math.max(...fractions), amountMinor: 0 }], repeat: false, capMinor: Infinity, per: "line" },
    }
  })

  const count = columns.length
  const lefts = Array.from({ length: forms.length + 1 }, () => new Float64Array(count))
  const raised = new Float64Array(forms.length + 1)
  const reachFrom = reachOn({ forms: layered, classes: count, classOf, cliques }, claimed.map((one, i) => one - holds[i]!))
  return {
    holds,
    look: (depth, cart) => {
      lefts[depth]!.fill(0)
      raised[depth] = rows.reduce((all, row, place) => all + weighRow(cart, place, row, lefts[depth]!), 0)
    },
    reach: (turn, depth, standing, isOut) => reachFrom(turn, { ...standing, left: lefts[depth]!, at: 0, missingMinor: raised[depth]! }, isOut),
  }
}

/** Does it take no more of any line than alone? */
const isEach = ({ terms, policy }: Candidate, { funds }: Sheet): boolean =>
  terms.each !== undefined && terms.maxMinor === Infinity && !(funds && policy.budget_short === "partial" && terms.funding.length > 0)

type Steps = Extract<Claim, { takes: "share" }>["steps"]

const stepsOf = ({ terms: { claim } }: Candidate): Steps => (claim as Extract<Claim, { takes: "share" }>).steps

const NO_STEPS: Steps = []

const fractionAt = (steps: Steps, unit: number): number => steps.findLast(({ from }) => from <= unit)?.fraction ?? 0

/** Is it a tier unit by unit on all units of its lines, which may give all that they are worth? */
const isTier = ({ terms: { claim }, targets }: Candidate, { floors }: Sheet): boolean =>
  claim?.takes === "share" && claim.falls === "by_step" && claim.choice.max_units === undefined && targets.every((place) => floors[place] === 0)

/** Does it take the same part of each unit of its lines, as far as units are alike? */
const isWhole = ({ candidate, outline, loose, isLocal }: Form): boolean => outline !== undefined || (loose !== undefined && isLocal && candidate.terms.claim === undefined)

/** Adds what a line's layers are worth, each unit as dear as the dearest that keeps less; answers how much that adds. */
function weighRow(cart: Cart, place: number, { stretches, order }: Row, into: Float64Array): number {
  const runs = cart.runs[place]
  const left = cart.left[place]!
  if (!runs) {
    const each = left / cart.sheet.quantities[place]!
    let began = 0
    for (const { until, layer } of stretches) {
      into[layer]! += each * (until - began)
      began = until
    }
    return 0
  }
  let dearest = 0
  let all = 0
  for (let k = order.length - 1; k >= 0; k--) {
    const s = order[k]!
    const { until, layer } = stretches[s]!
    const from = s > 0 ? stretches[s - 1]!.until : 0
    const below = dearest
    let began = 0
    for (let r = 0; began < until; r++) {
      const { quantity, leftMinor } = runs[r]!
      const units = Math.min(until, began + quantity) - Math.max(from, began)
      began += quantity
      if (units <= 0) continue
      const each = leftMinor / quantity
      if (each > dearest) dearest = each
      into[layer]! += Math.max(below, each) * units
      all += Math.max(below, each) * units
    }
  }
  return all - left
}

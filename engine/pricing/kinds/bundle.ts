// bundle: a set of things together for a price, for an amount less, or for a share less.
//
// As many sets are made as fit; the entries are served in the order given, each from the dearest units on (or the
// cheapest, by `pick`). Each set is priced by itself, so the first set holds the first units of every entry.
// What must stay true: alike sets are priced once and counted, so that a million sets cost what one costs; a set that
// would save nothing takes no units; units that one coupon has taken are gone for the next.

import { Type, type Static } from "typebox"
import { lineTest } from "../applies_to.ts"
import { runsOf, splitRun } from "../cart.ts"
import { byPrice, byPriceOf, fieldOfSlices, sliceOf, takeCut, type Slice } from "../field.ts"
import { kind } from "../kind.ts"
import { MONEY_MAX, mulDiv, share } from "../money.ts"
import type { Cart, Effect, LineTest, Run, Scene } from "../types.ts"
import { freeAt, freeUnits, takeUnits } from "../units.ts"
import { Amount, AmountOrZero, AppliesToSchema, PercentBp, Pick, Units } from "./terms.ts"

/** The most entries of one bundle: a set has one part of each. */
export const SETS_MAX = 20

const Terms = Type.Object(
  {
    sets: Type.Array(
      Type.Object({ quantity: Units, applies_to: Type.Optional(AppliesToSchema) }, { additionalProperties: false }),
      { minItems: 1, maxItems: SETS_MAX },
    ),
    price_minor: Type.Optional(Type.Integer({ ...AmountOrZero, description: "exactly one of price_minor, amount_minor and percent_bp" })),
    amount_minor: Type.Optional(Amount),
    percent_bp: Type.Optional(PercentBp),
    times: Type.Optional(Units),
    pick: Type.Optional(Pick),
  },
  { additionalProperties: false },
)
type Terms = Static<typeof Terms>

export const bundle = kind({
  name: "bundle",
  items_only: true,
  // 1.5 to 3 times on 200 lines (2026-11-22).
  weight: 3,
  terms: Terms,
  faults: ({ price_minor, amount_minor, percent_bp }) =>
    [price_minor, amount_minor, percent_bp].filter((one) => one !== undefined).length === 1
      ? []
      : [{ field: "price_minor", says: "stands for one of price_minor, amount_minor and percent_bp: exactly one is needed" }],
  boundMinor: ({ amount_minor, times }) =>
    amount_minor === undefined || times === undefined || amount_minor * times > MONEY_MAX ? undefined : amount_minor * times,
  lacks: (terms) => {
    const tests = terms.sets.map(({ applies_to }) => lineTest(applies_to))
    return ({ cart, lines }) => {
      const left = freeUnits(cart, lines)
      const orders = turnsOf(cart, lines, terms, tests)
      return { units: terms.sets.map(({ quantity, applies_to }, e) => ({ quantity: takeUnits(left, orders[e]!, quantity).missing, applies_to })) }
    }
  },
  most: (terms) => {
    const tests = terms.sets.map(({ applies_to }) => lineTest(applies_to))
    return (scene) => mostOf(scene, terms, tests, setsThatFit(scene, terms, tests))
  },
  claim: ({ sets, price_minor, amount_minor, percent_bp = 0, times = Infinity, pick = "dearest" }) => ({
    takes: "sets", times, pick,
    portions: sets.map(({ quantity, applies_to }) => ({ quantity, test: lineTest(applies_to) })),
    ...(price_minor !== undefined ? { gives: "above_price", of: price_minor } : amount_minor !== undefined ? { gives: "amount", of: amount_minor } : { gives: "fraction", of: percent_bp / 10000 }),
  }),
  act: (terms) => {
    const tests = terms.sets.map(({ applies_to }) => lineTest(applies_to))
    return (scene) => {
      const sets = setsThatFit(scene, terms, tests)
      return sets === 0 ? undefined : takeSets(scene, terms, tests, sets)
    }
  },
})

/** How many sets fit; what fits n times fits n - 1 times too, so halving finds it. */
function setsThatFit({ cart, lines }: Scene, terms: Terms, tests: readonly (LineTest | undefined)[]): number {
  const orders = turnsOf(cart, lines, terms, tests)
  const free = new Array<number>(lines.length).fill(NOT_COUNTED)
  let high = terms.times ?? Infinity
  let areApart = true
  for (let e = 0; e < orders.length; e++) {
    let units = 0
    for (const k of orders[e]!) {
      if (free[k] === NOT_COUNTED) free[k] = freeAt(cart, lines[k]!)
      else areApart = false
      units += free[k]!
    }
    high = Math.min(high, Math.floor(units / terms.sets[e]!.quantity))
  }
  // Entries that share no line take nothing from each other.
  if (areApart || high === 0) return high
  const fit = (sets: number): boolean => {
    const left = free.slice()
    return terms.sets.every(({ quantity }, e) => takeUnits(left, orders[e]!, quantity * sets).missing === 0)
  }
  let low = 0
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2)
    if (fit(middle)) low = middle
    else high = middle - 1
  }
  return low
}

/** No line has fewer units than none. */
const NOT_COUNTED = -1

/** What so many sets save at most where fewer units, and cheaper ones, may be left: as if each entry had the dearest units for itself. */
function mostOf({ cart, lines }: Scene, terms: Terms, tests: readonly (LineTest | undefined)[], sets: number): number {
  const { price_minor = 0, amount_minor, percent_bp } = terms
  const { order, prices, quantities } = cart.sheet
  const dearest = byPrice(cart, lines, "dearest").map((k) => lines[k]!)
  const worthOf = (wanted: number): number => {
    let worth = 0
    terms.sets.forEach(({ quantity }, e) => {
      let missing = quantity * wanted
      for (const place of dearest) {
        if (missing === 0) break
        if (tests[e] && !tests[e](order.lines[place]!)) continue
        const units = Math.min(missing, quantities[place]!)
        worth += prices[place]! * units
        missing -= units
      }
    })
    return worth
  }
  if (percent_bp !== undefined) return (worthOf(sets) * percent_bp) / 10000 + sets
  if (amount_minor !== undefined) return Math.min(amount_minor * sets, worthOf(sets))
  // Each set more is worth less, so halving finds the last one that is worth more than its price.
  let low = 0
  let high = sets
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2)
    if (worthOf(middle) - worthOf(middle - 1) > price_minor) low = middle
    else high = middle - 1
  }
  return worthOf(low) - price_minor * low
}

/** The lines each entry may take from, in its turn. */
const turnsOf = (cart: Cart, lines: readonly number[], { pick = "dearest" }: Terms, tests: readonly (LineTest | undefined)[]): (readonly number[])[] =>
  tests.map((test) => byPriceOf(cart, lines, pick, test))

/** Free units of one line that cost exactly alike; what sets take of them is written down in their order. */
type Shelf = { readonly unit: number; readonly room: number; left: number; readonly takings: Taking[] }
type Taking = { readonly quantity: number; readonly offMinor: number; readonly spent: boolean }

/** A stretch of a shelf that an entry has been given. */
type Portion = { readonly shelf: Shelf; quantity: number }

function takeSets(scene: Scene, terms: Terms, tests: readonly (LineTest | undefined)[], sets: number): Effect | undefined {
  const { cart, lines } = scene
  // Only of lines that some entry comes to.
  const shelves = new Array<readonly Shelf[] | undefined>(lines.length).fill(undefined)
  const shelvesAt = (k: number): readonly Shelf[] => (shelves[k] ??= shelvesOf(cart, lines[k]!))
  const queues = turnsOf(cart, lines, terms, tests).map((turns, e) => portions(shelvesAt, turns, terms.sets[e]!.quantity * sets))

  for (let left = sets; left > 0; ) {
    const next = queues.map((queue, e) => firstOf(queue, terms.sets[e]!.quantity))
    const alike = Math.min(left, ...next.map(({ alike }) => alike))
    const parts = next.flatMap(({ parts }) => parts)
    const offs = offSet(scene, terms, parts)
    const spent = offs.some((off) => off > 0)
    parts.forEach(({ shelf, quantity }, i) =>
      shelf.takings.push({ quantity: quantity * alike, offMinor: offs[i]! * alike, spent }),
    )
    queues.forEach((queue, e) => drop(queue, terms.sets[e]!.quantity * alike))
    left -= alike
  }
  return effectOfShelves(scene, shelves)
}

/** The free units of a line, cut so that all units of a shelf cost exactly alike. */
function shelvesOf(cart: Cart, place: number): Shelf[] {
  const floor = cart.sheet.floors[place]!
  return runsOf(cart, place).flatMap((run) =>
    run.spent ? [] : evenRuns(run).map(({ quantity, leftMinor }) => shelfOf(quantity, leftMinor / quantity, floor)),
  )
}

const shelfOf = (quantity: number, unit: number, floor: number): Shelf => ({
  unit,
  room: Math.max(0, unit - floor),
  left: quantity,
  takings: [],
})

function evenRuns(run: Run): Run[] {
  const dearer = run.leftMinor % run.quantity
  return dearer === 0 ? [run] : splitRun(run, run.quantity - dearer)
}

/** Gives an entry its units, shelf by shelf. */
function portions(shelvesAt: (k: number) => readonly Shelf[], turns: readonly number[], wanted: number): Portion[] {
  const given: Portion[] = []
  let missing = wanted
  for (const k of turns) {
    if (missing === 0) break
    for (const shelf of shelvesAt(k)) {
      const quantity = Math.min(shelf.left, missing)
      if (quantity === 0) continue
      given.push({ shelf, quantity })
      shelf.left -= quantity
      missing -= quantity
    }
  }
  return given
}

/** What the next set takes from an entry's units, and how many sets in a row would take just the same. */
function firstOf(queue: readonly Portion[], quantity: number): { parts: Portion[]; alike: number } {
  const first = queue[0]!
  if (first.quantity >= quantity) return { parts: [{ shelf: first.shelf, quantity }], alike: Math.floor(first.quantity / quantity) }
  const parts: Portion[] = []
  let missing = quantity
  for (const portion of queue) {
    if (missing === 0) break
    const units = Math.min(portion.quantity, missing)
    parts.push({ shelf: portion.shelf, quantity: units })
    missing -= units
  }
  return { parts, alike: 1 }
}

function drop(queue: Portion[], quantity: number): void {
  let left = quantity
  while (left > 0) {
    const first = queue[0]!
    const units = Math.min(first.quantity, left)
    first.quantity -= units
    left -= units
    if (first.quantity === 0) queue.shift()
  }
}

/** What one set saves, shared over its units by what they cost. */
function offSet({ policy }: Scene, { price_minor, amount_minor, percent_bp }: Terms, parts: readonly Portion[]): number[] {
  const worths = parts.map(({ shelf, quantity }) => shelf.unit * quantity)
  const rooms = parts.map(({ shelf, quantity }) => shelf.room * quantity)
  const worth = worths.reduce((sum, one) => sum + one, 0)
  const off =
    price_minor !== undefined
      ? Math.max(0, worth - price_minor)
      : amount_minor !== undefined
        ? Math.min(worth, amount_minor)
        : mulDiv(worth, percent_bp!, 10000, policy.rounding)
  return share(off, worths, rooms, policy.remainder)
}

function effectOfShelves(scene: Scene, shelves: readonly (readonly Shelf[] | undefined)[]): Effect | undefined {
  const { cart, lines } = scene
  const touched: number[] = []
  for (let k = 0; k < shelves.length; k++) if (shelves[k]?.some(({ takings }) => takings.some(({ spent }) => spent))) touched.push(k)
  const offs: number[][] = []
  const slices = touched.map((k) => {
    const cut = cutByTakings(cart, lines[k]!, shelves[k]!)
    offs.push(cut.map(({ off }) => off))
    return cut.map(({ slice }) => slice)
  })
  const places = touched.map((k) => lines[k]!)
  return takeCut(scene, fieldOfSlices(cart, places, slices), offs)
}

/** The line's units in order again: what was spent before, what the sets took, and what no set wanted. */
function cutByTakings(cart: Cart, place: number, shelves: readonly Shelf[]): { slice: Slice; off: number }[] {
  const cut: { slice: Slice; off: number }[] = []
  let turn = 0
  for (const run of runsOf(cart, place)) {
    if (run.spent) {
      cut.push({ slice: sliceOf(run, false), off: 0 })
      continue
    }
    for (const _ of evenRuns(run)) {
      const { unit, left, takings } = shelves[turn++]!
      for (const { quantity, offMinor, spent } of takings)
        cut.push({ slice: { quantity, leftMinor: unit * quantity, spent, chosen: spent }, off: offMinor })
      if (left > 0) cut.push({ slice: { quantity: left, leftMinor: unit * left, spent: false, chosen: false }, off: 0 })
    }
  }
  return cut
}

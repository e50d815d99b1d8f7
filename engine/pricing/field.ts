// The field of a kind: the part of the cart it acts on, and the few ways of taking money off it.
//
// A field is the target lines with what their units are worth now, and, where only some units are meant, the cut of
// each line into chosen and other units. All kinds take money off through the functions below, so the rules of the
// house hold for each of them: floors, caps, the remainder policy, units alike.
// What must stay true: nothing is taken below a unit's floor, and an effect's pieces sum to its lines, its lines to
// its total.

import { roomOf, roomOfRun, runsOf, splitRun } from "./cart.ts"
import { mulDiv, share } from "./money.ts"
import type { Cart, Choice, Effect, LineTest, Piece, Run, Scene } from "./types.ts"

/** Units in a row that a choice has or has not taken. */
export type Slice = Run & { readonly chosen: boolean }

/** A run as a slice; what the last coupon took off it is left away. */
export const sliceOf = ({ quantity, leftMinor, spent }: Run, chosen: boolean): Slice => ({ quantity, leftMinor, spent, chosen })

/** Target lines side by side; index k of every array speaks of the line at places[k]. */
export type Field = {
  readonly cart: Cart
  readonly places: readonly number[]
  /** What the chosen units are worth now. */
  readonly amounts: readonly number[]
  /** How far they may fall together. */
  readonly rooms: readonly number[]
  /** The line's units in order, where they are not all alike or not all chosen. */
  readonly slices?: readonly (readonly Slice[] | undefined)[] | undefined
}

/** The field of all units of some lines. */
export function fieldOf(cart: Cart, places: readonly number[]): Field {
  const count = places.length
  const amounts = new Array<number>(count)
  const rooms = new Array<number>(count)
  let slices: (readonly Slice[] | undefined)[] | undefined
  for (let k = 0; k < count; k++) {
    const place = places[k]!
    amounts[k] = cart.left[place]!
    rooms[k] = roomOf(cart, place)
    const runs = cart.runs[place]
    if (!runs) continue
    slices ??= new Array<readonly Slice[] | undefined>(count).fill(undefined)
    slices[k] = runs.map((run) => sliceOf(run, true))
  }
  return { cart, places, amounts, rooms, slices }
}

/** The field of chosen units: the cheapest or dearest lines first, ties to the earlier, in each line its first units. */
export function chosenField(cart: Cart, places: readonly number[], choice: Choice, pick: "cheapest" | "dearest"): Field {
  const units = chosenUnits(cart, places, choice, pick)
  if (!units) return fieldOf(cart, places)
  // Lines of which nothing is chosen are not in it: a few units of 200 lines cost what a few units cost.
  const chosen = places.filter((_, k) => units[k]! > 0)
  const wanted = units.filter((each) => each > 0)
  return fieldOfSlices(
    cart,
    chosen,
    chosen.map((place, k) => firstUnits(runsOf(cart, place), wanted[k]!)),
  )
}

/** How many units of each line a choice takes; undefined where it takes all. The shipping is no unit that is counted, and always taken. */
export function chosenUnits(cart: Cart, places: readonly number[], choice: Choice, pick: "cheapest" | "dearest"): number[] | undefined {
  if (choice.max_units === undefined && choice.max_units_per_line === undefined) return undefined
  const { quantities, shipping } = cart.sheet
  const perLine = choice.max_units_per_line ?? Infinity
  let left = choice.max_units ?? Infinity
  const units = new Array<number>(places.length).fill(0)
  for (const k of byPrice(cart, places, choice.pick ?? pick)) {
    if (places[k] === shipping) {
      units[k] = 1
      continue
    }
    units[k] = Math.min(left, perLine, quantities[places[k]!]!)
    left -= units[k]!
  }
  return units
}

/** The field of given slices. */
export function fieldOfSlices(cart: Cart, places: readonly number[], slices: readonly (readonly Slice[])[]): Field {
  const amounts = slices.map((line) => line.reduce((sum, slice) => sum + (slice.chosen ? slice.leftMinor : 0), 0))
  const rooms = slices.map((line, k) => {
    const floor = cart.sheet.floors[places[k]!]!
    return line.reduce((sum, slice) => sum + (slice.chosen ? roomOfRun(slice, floor) : 0), 0)
  })
  return { cart, places, amounts, rooms, slices }
}

/** Positions in `places`, by unit price, ties to the earlier line. */
export function byPrice({ sheet }: Cart, places: readonly number[], pick: "cheapest" | "dearest"): readonly number[] {
  const known = sheet.sorted[pick].get(places)
  if (known) return known
  const { prices } = sheet
  const sign = pick === "cheapest" ? 1 : -1
  const sorted = places
    .map((_, k) => k)
    .sort((a, b) => sign * (prices[places[a]!]! - prices[places[b]!]!) || a - b)
  sheet.sorted[pick].set(places, sorted)
  return sorted
}

/** Which of some lines pass a test; undefined where there is none, so that all do. */
export function passing({ sheet }: Cart, places: readonly number[], test: LineTest | undefined): readonly boolean[] | undefined {
  if (!test) return undefined
  let byPlaces = sheet.passing.get(test)
  if (!byPlaces) sheet.passing.set(test, (byPlaces = new Map()))
  let passes = byPlaces.get(places)
  if (!passes) byPlaces.set(places, (passes = places.map((place) => test(sheet.order.lines[place]!))))
  return passes
}

/** Positions in `places` of the lines that pass a test, by unit price. */
export function byPriceOf(cart: Cart, places: readonly number[], pick: "cheapest" | "dearest", test: LineTest | undefined): readonly number[] {
  const passes = passing(cart, places, test)
  if (!passes) return byPrice(cart, places, pick)
  const known = cart.sheet.sorted[pick].get(passes)
  if (known) return known
  const sorted = byPrice(cart, places, pick).filter((k) => passes[k])
  cart.sheet.sorted[pick].set(passes, sorted)
  return sorted
}

function firstUnits(runs: readonly Run[], units: number): Slice[] {
  const slices: Slice[] = []
  let left = units
  for (const run of runs) {
    if (left >= run.quantity || left === 0) slices.push(sliceOf(run, left > 0))
    else {
      const [taken, rest] = splitRun(run, left)
      slices.push(sliceOf(taken, true), sliceOf(rest, false))
    }
    left = Math.max(0, left - run.quantity)
  }
  return slices
}

/** What a field is worth. */
export function worthOf(field: Field): number {
  let sum = 0
  for (const amount of field.amounts) sum += amount
  return sum
}

/** One amount over the whole field, in proportion to what the lines are worth, each down to its floor at most. */
export function takeAcross(scene: Scene, field: Field, amountMinor: number): Effect | undefined {
  let room = 0
  for (const each of field.rooms) room += each
  const amount = Math.min(amountMinor, scene.maxMinor, room)
  if (amount <= 0) return undefined
  return effectOf(field, share(amount, field.amounts, field.rooms, scene.policy.remainder))
}

/** An amount of its own for each line, cut at the floor. */
export function takePerLine(scene: Scene, field: Field, wanted: readonly number[]): Effect | undefined {
  return effectOf(field, heldTo(scene, wanted.map((amount, k) => Math.min(amount, field.rooms[k]!))))
}

/** An amount of its own for each unit, from what the unit is worth now, cut at the floor. */
export function takePerUnit(scene: Scene, field: Field, offUnit: (unitMinor: number) => number): Effect | undefined {
  const { cart, places, amounts, slices } = field
  const { quantities, floors } = cart.sheet
  const offs = new Array<number>(places.length).fill(0)
  const cuts = slices && new Array<Piece[] | undefined>(places.length).fill(undefined)
  for (let k = 0; k < places.length; k++) {
    const floor = floors[places[k]!]!
    const line = slices?.[k]
    if (!line) {
      offs[k] = offRun(quantities[places[k]!]!, amounts[k]!, floor, offUnit)
      continue
    }
    cuts![k] = line.map((slice) => pieceOf(slice, slice.chosen ? offRun(slice.quantity, slice.leftMinor, floor, offUnit) : 0))
    offs[k] = cuts![k]!.reduce((sum, piece) => sum + piece.offMinor, 0)
  }
  const held = heldTo(scene, offs)
  // The cap takes from lines, so the units share what is left of their line alike.
  return effectOf(field, held, held === offs ? cuts : undefined)
}

/** What a run gives when each of its units gives for itself: its last units may be one minor unit dearer. */
export function offRun(quantity: number, leftMinor: number, floor: number, offUnit: (unitMinor: number) => number): number {
  const each = Math.floor(leftMinor / quantity)
  const dearer = leftMinor - each * quantity
  const off = (unit: number) => Math.min(offUnit(unit), Math.max(0, unit - floor))
  return (quantity - dearer) * off(each) + (dearer > 0 ? dearer * off(each + 1) : 0)
}

/** A run with so much taken off. */
export const pieceOf = ({ quantity, leftMinor, spent }: Run, offMinor: number): Piece => ({ quantity, leftMinor: leftMinor - offMinor, spent, offMinor })

/** Amounts that a kind has settled slice by slice, already within what each slice can give. */
export function takeCut(scene: Scene, field: Field, offs: readonly (readonly number[])[]): Effect | undefined {
  const lines = offs.map((line) => line.reduce((sum, off) => sum + off, 0))
  const held = heldTo(scene, lines)
  if (held !== lines) return effectOf(field, held)
  const cuts = field.slices?.map((line, k) => line?.map((slice, i) => pieceOf(slice, offs[k]![i]!)))
  return effectOf(field, lines, cuts)
}

/** Runs of units that a kind has settled in every line, each within what it can give. */
export function takePieces(scene: Scene, places: readonly number[], cuts: readonly (readonly Piece[])[]): Effect | undefined {
  const { cart, maxMinor } = scene
  const off = new Array<number>(cart.left.length).fill(0)
  const pieces = new Array<readonly Piece[] | undefined>(cart.left.length).fill(undefined)
  let totalMinor = 0
  for (let k = 0; k < places.length; k++) {
    const cut = cuts[k]!
    let sum = 0
    for (let i = 0; i < cut.length; i++) sum += cut[i]!.offMinor
    off[places[k]!] = sum
    pieces[places[k]!] = cut
    totalMinor += sum
  }
  if (totalMinor === 0) return undefined
  if (totalMinor <= maxMinor) return { off, totalMinor, benefitMinor: 0, costMinor: totalMinor, pieces }
  // The cap takes from lines, so the units that gave share what is left of their line alike.
  const slices = cuts.map((line) => line.map(({ quantity, leftMinor, spent, offMinor }) => ({ quantity, leftMinor: leftMinor + offMinor, spent, chosen: offMinor > 0 })))
  return effectOf(fieldOfSlices(cart, places, slices), heldTo(scene, places.map((place) => off[place]!)))
}

/** A percentage of the field, rounded once for the order, for each line or for each unit. */
export function takePercent(
  scene: Scene,
  field: Field,
  base: Field,
  percentBp: number,
  per: "order" | "line" | "unit",
): Effect | undefined {
  const { rounding } = scene.policy
  if (per === "order") return takeAcross(scene, field, mulDiv(worthOf(base), percentBp, 10000, rounding))
  if (per === "line")
    return takePerLine(
      scene,
      field,
      base.amounts.map((amount) => mulDiv(amount, percentBp, 10000, rounding)),
    )
  const offUnit = (unit: number) => mulDiv(unit, percentBp, 10000, rounding)
  if (base === field) return takePerUnit(scene, field, offUnit)
  // The units of the base are cut otherwise than those of the field, so they meet by line.
  const wanted = base.places.map((place, k) => {
    const line = base.slices?.[k]
    if (!line) return offRun(base.cart.sheet.quantities[place]!, base.amounts[k]!, 0, offUnit)
    return line.reduce(
      (sum, slice) => sum + (slice.chosen ? offRun(slice.quantity, slice.leftMinor, 0, offUnit) : 0),
      0,
    )
  })
  return takePerLine(scene, field, wanted)
}

/** Lines held to the campaign's `max_minor`, in proportion; the same array where it does not bind. */
function heldTo(scene: Scene, offs: number[]): number[] {
  let sum = 0
  for (const off of offs) sum += off
  return sum > scene.maxMinor ? share(scene.maxMinor, offs, offs, scene.policy.remainder) : offs
}

/** The effect of amounts by line; `cuts` where a kind has settled the units itself, else they fare alike. */
export function effectOf(
  field: Field,
  offs: readonly number[],
  cuts?: readonly (readonly Piece[] | undefined)[],
): Effect | undefined {
  const { cart, places, slices } = field
  let totalMinor = 0
  const off = new Array<number>(cart.left.length).fill(0)
  for (let k = 0; k < places.length; k++) {
    off[places[k]!] = offs[k]!
    totalMinor += offs[k]!
  }
  if (totalMinor === 0) return undefined
  const effect = { off, totalMinor, benefitMinor: 0, costMinor: totalMinor }
  if (!slices) return effect
  const pieces = new Array<readonly Piece[] | undefined>(cart.left.length).fill(undefined)
  for (let k = 0; k < places.length; k++) {
    const line = slices[k]
    if (line) pieces[places[k]!] = cuts?.[k] ?? alike(line, offs[k]!, cart.sheet.floors[places[k]!]!)
  }
  return { ...effect, pieces }
}

/** A line's discount on its chosen units alike: the first carry what is left over, a unit gives only what it has. */
function alike(slices: readonly Slice[], offMinor: number, floor: number): Piece[] {
  const offs = new Array<number>(slices.length).fill(0)
  const rooms = slices.map((slice) => (slice.chosen ? roomOfRun(slice, floor) : 0))
  let left = offMinor
  // Each round but the last fills at least one slice.
  while (left > 0) {
    let units = 0
    slices.forEach((slice, i) => (units += rooms[i]! > 0 ? slice.quantity : 0))
    const each = Math.floor(left / units)
    let leftover = left - each * units
    slices.forEach((slice, i) => {
      if (rooms[i] === 0) return
      const first = Math.min(leftover, slice.quantity)
      const off = Math.min(each * slice.quantity + first, rooms[i]!)
      leftover -= first
      offs[i]! += off
      rooms[i]! -= off
      left -= off
    })
  }
  return slices.map((slice, i) => pieceOf(slice, offs[i]!))
}

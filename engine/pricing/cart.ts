// What is left to pay, line by line, while coupons are applied.
//
// A line is kept as runs of units (quantity, amount left), never as single units, so that a line of a million units
// costs what a line of one costs. The shipping is a line of its own at the last place.
// What must stay true: a cart is never changed, applying an effect makes the next one; the runs of a line always sum
// to what is left of it; nothing falls below 0.

import type { Cart, Effect, Funds, Order, Run, Sheet } from "./types.ts"

/** Lays an order out for pricing, of which turns are taken once, or again and again. */
export function sheetOf(order: Order, nowMs: number, funds?: Funds, turns: "once" | "again" = "once"): Sheet {
  const count = order.lines.length
  const all = new Array<number>(count)
  const prices = new Array<number>(count + 1)
  const quantities = new Array<number>(count + 1)
  const floors = new Array<number>(count + 1)
  const amounts = new Array<number>(count + 1)
  for (let i = 0; i < count; i++) {
    const line = order.lines[i]!
    all[i] = i
    prices[i] = line.unit_price_minor
    quantities[i] = line.quantity
    // A floor above the price only says that nothing may be taken off.
    floors[i] = Math.min(line.floor_minor ?? 0, line.unit_price_minor)
    amounts[i] = line.unit_price_minor * line.quantity
  }
  prices[count] = amounts[count] = order.shipping_minor ?? 0
  quantities[count] = 1
  floors[count] = 0
  const sorted = { cheapest: new Map(), dearest: new Map() }
  const sheet = { order, nowMs, funds, shipping: count, all, prices, quantities, floors, amounts, sorted, passing: new Map() } as Omit<Sheet, "untouched"> as { -readonly [Key in keyof Sheet]: Sheet[Key] }
  sheet.untouched = { sheet, left: amounts, runs: NO_RUNS, funds, turns: turns === "again" ? new Map() : undefined }
  return sheet
}

/** Shared by all carts whose units are all alike: reading past its end is undefined, which says just that. */
const NO_RUNS: readonly undefined[] = []

/** The units of a line in order. */
export function runsOf(cart: Cart, place: number): readonly Run[] {
  return cart.runs[place] ?? [{ quantity: cart.sheet.quantities[place]!, leftMinor: cart.left[place]!, spent: false }]
}

/** How much can still be taken off a line before its units stand at their floor. */
export function roomOf(cart: Cart, place: number): number {
  const floor = cart.sheet.floors[place]!
  const runs = cart.runs[place]
  if (!runs) return Math.max(0, cart.left[place]! - floor * cart.sheet.quantities[place]!)
  let room = 0
  for (const run of runs) room += roomOfRun(run, floor)
  return room
}

/** The same of a run. */
export const roomOfRun = (run: Run, floor: number): number => Math.max(0, run.leftMinor - floor * run.quantity)

/** What the first so many of units alike have left together: the first carry what of a discount does not divide, so the last have one minor unit more. */
export function firstOf(quantity: number, leftMinor: number, units: number): number {
  const each = Math.floor(leftMinor / quantity)
  const dearer = leftMinor - each * quantity
  return each * units + Math.max(0, units - (quantity - dearer))
}

/** Cuts a run behind its first units. */
export function splitRun(run: Run, units: number): [Run, Run] {
  const leftMinor = firstOf(run.quantity, run.leftMinor, units)
  return [
    { quantity: units, leftMinor, spent: run.spent },
    { quantity: run.quantity - units, leftMinor: run.leftMinor - leftMinor, spent: run.spent },
  ]
}

/** The cart after a coupon, with the money that is left. */
export function cartAfter(cart: Cart, effect: Effect, funds: Funds | undefined): Cart {
  const left = cart.left.slice()
  for (let i = 0; i < left.length; i++) left[i]! -= effect.off[i]!
  const turns = cart.turns && new Map()
  if (!effect.pieces) return { sheet: cart.sheet, left, runs: cart.runs, funds, turns }
  const runs = cart.runs.slice()
  for (let i = 0; i < left.length; i++) {
    const pieces = effect.pieces[i]
    if (pieces) runs[i] = pieces
  }
  return { sheet: cart.sheet, left, runs, funds, turns }
}

/** A sum over places. */
export function sumAt(amounts: readonly number[], places: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < places.length; i++) sum += amounts[places[i]!]!
  return sum
}

// Taking units out of lines, for the kinds that count them: buy x get y, and bundles.
//
// What must stay true: units that such a kind has taken are spent and are not taken again; units are counted, never
// listed one by one; inside a line the first free units go first.

import { runsOf, splitRun } from "./cart.ts"
import type { Cart, Run } from "./types.ts"
import { sliceOf, type Slice } from "./field.ts"

/** How many units of each line no such kind has taken yet, by position in `places`. */
export function freeUnits(cart: Cart, places: readonly number[]): number[] {
  const free = new Array<number>(places.length)
  for (let k = 0; k < places.length; k++) free[k] = freeAt(cart, places[k]!)
  return free
}

/** The same of one line. */
export function freeAt(cart: Cart, place: number): number {
  const runs = cart.runs[place]
  if (!runs) return cart.sheet.quantities[place]!
  let units = 0
  for (let r = 0; r < runs.length; r++) if (!runs[r]!.spent) units += runs[r]!.quantity
  return units
}

/** Takes units from lines in the given order, as many as each has left; writes what is taken off `free`. */
export function takeUnits(free: number[], inOrder: readonly number[], wanted: number): { taken: number[]; missing: number } {
  const taken = new Array<number>(free.length).fill(0)
  let missing = wanted
  for (const k of inOrder) {
    if (missing === 0) break
    const units = Math.min(free[k]!, missing)
    taken[k] = units
    free[k]! -= units
    missing -= units
  }
  return { taken, missing }
}

/** A stretch of a line's free units in a row. */
export type Stretch = { readonly quantity: number; readonly spent: boolean; readonly chosen: boolean }

/** Cuts a line into slices: its free units in the given stretches, what was spent before as it is, the rest untouched. */
export function cutFree(cart: Cart, place: number, stretches: readonly Stretch[]): Slice[] {
  const slices: Slice[] = []
  let turn = 0
  let used = 0
  for (const whole of runsOf(cart, place)) {
    if (whole.spent) {
      slices.push(sliceOf(whole, false))
      continue
    }
    let run: Run | undefined = whole
    while (run) {
      while (turn < stretches.length && stretches[turn]!.quantity === used) {
        turn += 1
        used = 0
      }
      const stretch = stretches[turn]
      if (!stretch) {
        slices.push(sliceOf(run, false))
        break
      }
      const units: number = Math.min(run.quantity, stretch.quantity - used)
      const [taken, rest]: [Run, Run | undefined] = units < run.quantity ? splitRun(run, units) : [run, undefined]
      slices.push({ ...taken, spent: stretch.spent, chosen: stretch.chosen })
      used += units
      run = rest
    }
  }
  return slices
}

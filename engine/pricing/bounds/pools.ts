// Pools: the lines that a portion of a claim may take from, in the order in which it takes them, and what their units are worth.
//
// What must stay true: what the first so many units of a pool are said to be worth is never less than what so many of them
// are worth that a coupon finds there, whichever others took before it.

import { byPrice } from "../field.ts"
import type { Candidate } from "../candidate.ts"
import type { Cart, Portion, Run, Sheet } from "../types.ts"

export type Pool = {
  /** In the order in which their units are taken. */
  readonly places: readonly number[]
  /** By place: 1 inside. */
  readonly inside: Uint8Array
  /** Units of the untouched order. */
  readonly units: number
}

/** The lines of a portion: those that its coupon speaks of and its test passes. */
export function poolOf(sheet: Sheet, { lines }: Candidate, { test }: Portion, pick: "cheapest" | "dearest"): Pool {
  const places = byPrice(sheet.untouched, lines, pick).map((k) => lines[k]!).filter((place) => !test || test(sheet.order.lines[place]!))
  const inside = new Uint8Array(sheet.shipping + 1)
  let units = 0
  for (const place of places) {
    inside[place] = 1
    units += sheet.quantities[place]!
  }
  return { places, inside, units }
}

/** The same, each portion's found once: who takes from one pool is asked for every other, and 100 coupons on 500 lines asked some 600 times. */
export function poolsOn(sheet: Sheet): (candidate: Candidate, portion: Portion, pick: "cheapest" | "dearest") => Pool {
  const known = new Map<Portion, Pool>()
  return (candidate, portion, pick) => {
    const found = known.get(portion) ?? poolOf(sheet, candidate, portion, pick)
    known.set(portion, found)
    return found
  }
}

export const overlap = (a: Pool, b: Pool): boolean => a.places.some((place) => b.inside[place] === 1)

/** Is each line of the second one of the first's too? */
export const covers = (a: Pool, b: Pool): boolean => b.places.every((place) => a.inside[place] === 1)

/**
 * Sums of what the first free units of a pool are worth, at most so many, into `sums`; answers how many there are.
 * `from`: each unit as dear as the dearest from it on, for what is taken first. `up_to`: as the dearest up to it, for what
 * is pushed on; there all units of a line are as dear as its dearest, since those that take the last line take its first units.
 */
export function worthsOf(cart: Cart, { places }: Pool, most: number, as: "up_to" | "from", sums: Float64Array): number {
  if (as === "up_to") return worthsUpTo(cart, places, most, sums)
  let units = 0
  let beyond = 0
  const { quantities } = cart.sheet
  for (const place of places) {
    const runs = cart.runs[place]
    if (!runs) {
      const quantity = quantities[place]!
      const worth = Math.ceil(cart.left[place]! / quantity)
      const until = Math.min(most, units + quantity)
      while (units < until) sums[++units] = worth
      if (units === most && worth > beyond) beyond = worth
      continue
    }
    for (const run of runs) {
      if (run.spent) continue
      const worth = worthOf(run)
      const until = Math.min(most, units + run.quantity)
      while (units < until) sums[++units] = worth
      if (units === most) beyond = Math.max(beyond, worth)
    }
  }
  sums[0] = 0
  // Backwards each unit becomes as dear as the dearest from it on, then they are summed.
  for (let u = units; u > 0; u--) sums[u] = beyond = Math.max(beyond, sums[u]!)
  for (let u = 1; u <= units; u++) sums[u]! += sums[u - 1]!
  return units
}

/** Units of one price are as dear as the dearest of them: what takes the last lines takes of equal prices the first. */
function worthsUpTo({ left, runs, sheet: { prices, quantities } }: Cart, places: readonly number[], most: number, sums: Float64Array): number {
  sums[0] = 0
  let units = 0
  let dearest = 0
  for (let p = 0; p < places.length && units < most; ) {
    const price = prices[places[p]!]!
    let free = 0
    for (; p < places.length && prices[places[p]!] === price; p++) {
      const place = places[p]!
      for (const run of runs[place] ?? [{ quantity: quantities[place]!, leftMinor: left[place]!, spent: false }]) {
        if (run.spent) continue
        free += run.quantity
        dearest = Math.max(dearest, worthOf(run))
      }
    }
    for (const until = Math.min(most, units + free); units < until; units++) sums[units + 1] = sums[units]! + dearest
  }
  return units
}

/** What a unit of a run is worth; the first ones carry what does not divide evenly. */
const worthOf = ({ quantity, leftMinor }: Run): number => Math.ceil(leftMinor / quantity)

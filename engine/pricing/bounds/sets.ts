// What bundles can give together: they contend for the same units, mostly the dearest.
//
// Each pool of units is looked at for itself: from the last coupon back to the first, for every number of units that may
// be gone, the most that the coupons to come can give there, each in its turn. A bundle that takes from several pools
// is taken in each of them or not; what a set costs is parted among its pools by prices that are tuned once, at the
// beginning, until the pools agree (a Lagrangian relaxation), and so is what a coupon of a full group has to pay.
// What must stay true: the parts of a price sum to it, so the sum over pools is never below what bundles give, however
// the prices are tuned.

import type { Cart, Claim, Sheet } from "../types.ts"
import { UNITS_MAX, type Claimant, type Held } from "./claimant.ts"
import { poolOf, worthsOf, type Pool } from "./pools.ts"

type Sets = Claimant<Extract<Claim, { takes: "sets" }>>

/** A bundle in one pool. */
type Part = {
  readonly turn: number
  readonly clique: number
  /** Units of a set, and how many sets at most. */
  readonly quantity: number
  readonly sets: number
  /** What a set gives of what its units are worth. */
  readonly fraction: number
  /** What a set costs here, and what it costs here to stand at all. */
  eachMinor: number
  onceMinor: number
  /** How many sets the last look took. */
  taken: number
}

type Shelf = { readonly pool: Pool; most: number; readonly parts: Part[]; readonly choices: Uint16Array[] }

/** Rounds of tuning, and how much lower than it stands the bound is hoped to fall at first. */
const TUNINGS = 80
const HOPE = 0.1

export function setsOn(sheet: Sheet, claimants: readonly Sets[], cliques: number, roomAtFirst: Float64Array): Held {
  const byName = new Map<string, Shelf>()
  const held: { readonly turn: number; readonly clique: number; readonly mostMinor: number; readonly oddMinor: number; readonly parts: readonly Part[] }[] = []
  for (const one of claimants) {
    const { claim, turn, clique, mostMinor } = one
    const laid = layOut(sheet, one, byName)
    const sets = Math.min(claim.times, ...laid.map(({ shelf, quantity }) => Math.floor(shelf.pool.units / quantity)))
    if (sets === 0 || laid.some(({ shelf, quantity }) => shelf.most + quantity * sets > UNITS_MAX)) continue
    const parts = laid.map(({ name, shelf, quantity }): Part => {
      const part: Part = {
        turn, clique, quantity, sets, onceMinor: 0, taken: 0,
        fraction: claim.gives === "above_price" ? 1 : claim.gives === "fraction" ? claim.of : 0,
        eachMinor: claim.gives === "fraction" ? 0 : (claim.gives === "amount" ? -claim.of : claim.of) / laid.length,
      }
      byName.set(name, shelf)
      shelf.most += quantity * sets
      // From the last turn on, as the shelf is gone down.
      shelf.parts.unshift(part)
      shelf.choices.push(new Uint16Array(UNITS_MAX + 1))
      return part
    })
    held.push({ turn, clique, mostMinor, oddMinor: claim.gives === "fraction" ? sets : 0, parts })
  }
  const shelves = [...byName.values()]
  const fulls = new Float64Array(cliques)
  if (held.length > 1) tune()

  /** The most that the shelves and the full groups give from each turn on, at the prices as they are. */
  function look(cart: Cart, first: number, room: Float64Array, open: Uint8Array, gives: Float64Array): void {
    gives.fill(0)
    for (const shelf of shelves) goDown(shelf, cart, first, room, open, gives)
    const members = new Float64Array(cliques)
    let paid = 0
    for (let h = held.length - 1, turn = gives.length - 1; turn >= first; turn--) {
      for (; h >= 0 && held[h]!.turn >= turn; h--) {
        const { clique, turn: mine } = held[h]!
        if (open[mine] === 1 && members[clique]! < room[clique]!) paid += fulls[clique]!
        members[clique]! += open[mine]!
      }
      gives[turn]! += paid
    }
  }

  /** Moves prices until the pools agree on what is taken, and groups are not overfull. */
  function tune(): void {
    const gives = new Float64Array(Math.max(...held.map(({ turn }) => turn)) + 1)
    const allOpen = new Uint8Array(gives.length).fill(1)
    let hope = HOPE
    let lowest = Infinity
    let kept: (() => void) | undefined
    let idle = 0
    for (let round = 0; round < TUNINGS; round++) {
      look(sheet.untouched, 0, roomAtFirst, allOpen, gives)
      const now = gives[0]!
      if (now < lowest) {
        lowest = now
        kept = keep()
        idle = 0
      } else if (++idle === 4) {
        idle = 0
        hope /= 2
      }
      for (const shelf of shelves) walkDown(shelf)
      // How far each part differs from the mean of its coupon's, and each group from its room.
      const over = roomAtFirst.map((room) => -room)
      let size = 0
      for (const { parts, clique } of held) {
        const sets = meanOf(parts, ({ taken }) => taken)
        const stands = meanOf(parts, ({ taken }) => Math.min(1, taken))
        over[clique]! += stands
        for (const { taken } of parts) size += (taken - sets) ** 2 + (Math.min(1, taken) - stands) ** 2
      }
      over.forEach((by, clique) => (size += by > 0 || fulls[clique]! > 0 ? by ** 2 : 0))
      if (size === 0) break
      const step = (hope * now) / size
      const raised = fulls.map((full, clique) => Math.max(0, full + step * over[clique]!) - full)
      for (const { parts, clique } of held) {
        const sets = meanOf(parts, ({ taken }) => taken)
        const stands = meanOf(parts, ({ taken }) => Math.min(1, taken))
        for (const part of parts) {
          part.eachMinor += step * (part.taken - sets)
          part.onceMinor += step * (Math.min(1, part.taken) - stands) + raised[clique]! / parts.length
        }
      }
      raised.forEach((by, clique) => (fulls[clique]! += by))
    }
    kept?.()
  }

  /** Puts the prices back as they are now. */
  function keep(): () => void {
    const prices = held.flatMap(({ parts }) => parts.map((part) => ({ part, eachMinor: part.eachMinor, onceMinor: part.onceMinor })))
    const full = fulls.slice()
    return () => {
      for (const { part, eachMinor, onceMinor } of prices) Object.assign(part, { eachMinor, onceMinor })
      fulls.set(full)
    }
  }

  return {
    turns: held.map(({ turn }) => turn),
    together: (cart, first, room, open, sums) => {
      const gives = new Float64Array(sums.length)
      look(cart, first, room, open, gives)
      let apart = 0
      let odd = 0
      for (let h = held.length - 1, turn = sums.length - 1; turn >= first; turn--) {
        for (; h >= 0 && held[h]!.turn >= turn; h--) {
          if (room[held[h]!.clique]! <= 0 || open[held[h]!.turn] === 0) continue
          apart += held[h]!.mostMinor
          // Each set may be rounded for itself.
          odd += held[h]!.oddMinor
        }
        sums[turn]! += Math.min(apart, gives[turn]! + odd)
      }
    },
  }
}

const meanOf = (parts: readonly Part[], of: (part: Part) => number): number => parts.reduce((sum, part) => sum + of(part), 0) / parts.length

/** The shelves that a bundle takes from, each once; portions of the same units are one. */
function layOut(sheet: Sheet, { candidate, claim }: Sets, byName: ReadonlyMap<string, Shelf>): { name: string; shelf: Shelf; quantity: number }[] {
  const laid = new Map<string, { name: string; shelf: Shelf; quantity: number }>()
  for (const portion of claim.portions) {
    const pool = poolOf(sheet, candidate, portion, claim.pick)
    const name = `${claim.pick} ${pool.places.join()}`
    const shelf = laid.get(name)?.shelf ?? byName.get(name) ?? { pool, most: 0, parts: [], choices: [] }
    laid.set(name, { name, shelf, quantity: (laid.get(name)?.quantity ?? 0) + portion.quantity })
  }
  return [...laid.values()]
}

const worths = new Float64Array(UNITS_MAX + 1)
const ends = new Float64Array(UNITS_MAX + 1)

/** Adds to `gives[turn]`, for each turn from `first` on, the most that the parts of a shelf from that turn on give. */
function goDown({ pool, most, parts, choices }: Shelf, cart: Cart, first: number, room: Float64Array, open: Uint8Array, gives: Float64Array): void {
  const units = worthsOf(cart, pool, most, "from", worths)
  ends.fill(0, 0, units + 1)
  let before = 0
  for (const { turn, quantity, sets } of parts) if (turn >= first) before += quantity * sets
  let turn = gives.length - 1
  for (let p = 0; p < parts.length && parts[p]!.turn >= first; p++) {
    const { quantity, sets, fraction, eachMinor, onceMinor, clique, ...part } = parts[p]!
    for (; turn > part.turn; turn--) gives[turn]! += ends[0]!
    before -= quantity * sets
    const chosen = choices[p]!
    const places = room[clique]! > 0 && open[part.turn] === 1 ? sets : 0
    // Units that are still there now end up behind, where nothing has been written yet in this turn.
    for (let gone = Math.min(units, before); gone >= 0; gone--) chosen[gone] = 0
    for (let gone = 0; gone <= Math.min(units, before); gone++) {
      let end = ends[gone]!
      for (let set = 1, to = gone + quantity; set <= places && to <= units; set++, to += quantity) {
        const give = fraction * (worths[to]! - worths[gone]!) - eachMinor * set - onceMinor + ends[to]!
        if (give > end) {
          end = give
          chosen[gone] = set
        }
      }
      ends[gone] = end
    }
  }
  for (; turn >= first; turn--) gives[turn]! += ends[0]!
}

/** Writes down what the last look took, from the first part on. */
function walkDown({ parts, choices }: Shelf): void {
  let gone = 0
  for (let p = parts.length - 1; p >= 0; p--) {
    parts[p]!.taken = choices[p]![gone]!
    gone += parts[p]!.taken * parts[p]!.quantity
  }
}

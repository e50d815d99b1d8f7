/**
 * Choices from a seed: the same seed chooses the same things in the same order, whoever else is choosing meanwhile.
 *
 * Each actor takes a fork of its own, so that what one draws does not depend on how often another has drawn.
 */

export interface Chance {
  /** A number in [0, 1). */
  (): number
  /** A whole number in [0, below). */
  below(below: number): number
  pick<T>(among: readonly T[]): T
  /** True with this likelihood. */
  happens(likelihood: number): boolean
  /** A stream of its own for an actor of this name. */
  fork(name: string): Chance
}

/** Choices from this seed: mulberry32, whose whole state is one 32 bit number. */
export const chanceFrom = (seed: number): Chance => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return Object.assign(next, {
    below,
    pick: <T>(among: readonly T[]): T => {
      if (among.length === 0) throw new Error("there is nothing to pick from")
      return among[below(among.length)]!
    },
    happens: (likelihood: number): boolean => next() < likelihood,
    fork: (name: string): Chance => chanceFrom(Number(BigInt.asUintN(32, BigInt(Bun.hash(name, BigInt(seed)))))),
  })
}

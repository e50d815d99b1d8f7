// A coupon that chooses among units, as the bounds see it, and what each of those bounds is.

import type { Candidate } from "../candidate.ts"
import type { Cart, Claim } from "../types.ts"

/** Units of one line list that a bound looks at one by one; claims on more are bounded coupon by coupon. */
export const UNITS_MAX = 1_024

/** A claim with the coupon that makes it. */
export type Claimant<Made extends Claim = Claim> = {
  /** Its place in the order of application. */
  readonly turn: number
  readonly candidate: Candidate
  readonly claim: Made
  readonly clique: number
  /** The most that it gives, whatever the others do. */
  readonly mostMinor: number
}

/**
 * Adds to `sums[turn]`, for each turn from `first` on, the most that the claimants from that turn on give together on
 * what is left of a cart; `room`: how many more of each clique may be taken; `open`, by turn: 1 where a coupon may still
 * stand on that cart.
 */
export type Together = (cart: Cart, first: number, room: Float64Array, open: Uint8Array, sums: Float64Array) => void

/** The claimants of one way that a bound can hold, by their turns, and the bound. */
export type Held = { readonly turns: readonly number[]; readonly together: Together }

// The effect of a kind that gives something and takes nothing off the order: a gift, interest, money later.
//
// What must stay true: what it gives is what it costs its budgets, and the order's total stays as it was.

import type { Cart, Effect, Gift, Instalment } from "./types.ts"

/** A benefit; undefined where it would be nothing. */
export function benefit(
  cart: Cart,
  amountMinor: number,
  given: { readonly gifts?: readonly Gift[]; readonly schedule?: readonly Instalment[] } = {},
): Effect | undefined {
  if (amountMinor === 0) return undefined
  const off = new Array<number>(cart.left.length).fill(0)
  return { off, totalMinor: 0, benefitMinor: amountMinor, costMinor: amountMinor, ...given }
}

/**
 * The replay's own arithmetic. It is written from the contract and shares no line with the engine, or it would prove nothing.
 */

/** Split a total by weights so that the parts sum to it: floors, then one each to the largest fractions, ties to the earlier. */
export const split = (total: number, weights: readonly number[]): number[] => {
  const whole = weights.reduce((sum, weight) => sum + weight, 0)
  if (whole === 0) return weights.map(() => 0)
  const exact = weights.map((weight) => BigInt(total) * BigInt(weight))
  const parts = exact.map((product) => Number(product / BigInt(whole)))
  const byFraction = exact
    .map((product, i) => ({ i, rest: product % BigInt(whole) }))
    .sort((a, b) => (a.rest === b.rest ? a.i - b.i : a.rest > b.rest ? -1 : 1))
  const left = total - parts.reduce((sum, part) => sum + part, 0)
  for (const { i } of byFraction.slice(0, left)) parts[i]! += 1
  return parts
}

/** A share of an amount in basis points, a half rounded up. */
export const shareBp = (amount_minor: number, bp: number): number => Number((BigInt(amount_minor) * BigInt(bp) * 2n + 10_000n) / 20_000n)

/** What of a discount on a line goes back with its last units: it lies evenly on the units, and the first ones carry the leftover. */
export const lastUnits = (discount_minor: number, quantity: number, returned: number): number => {
  const each = Math.floor(discount_minor / quantity)
  const leftover = discount_minor - each * quantity
  const kept = quantity - returned
  return discount_minor - (each * kept + Math.min(kept, leftover))
}

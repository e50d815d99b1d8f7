/**
 * What coupons take off an order, and what a refund of it gives back, by the contract's rules and the replay's own arithmetic.
 *
 * Coupons apply in the order in which they are named, each to the lines it covers and to what those before it have left; the
 * amount is spread over the lines by what is left of each.
 */
import { takes, type Terms } from "./rules.ts"
import { lastUnits, split } from "./shares.ts"

export interface Priced { readonly unit_price_minor: number; readonly quantity: number }
export interface Applied<Line> { readonly promise: Terms; readonly covers: (line: Line) => boolean }

/** For each coupon what it takes off each line. */
export const discountsOf = <Line extends Priced>(lines: readonly Line[], coupons: readonly Applied<Line>[]): number[][] => {
  const running = lines.map(({ unit_price_minor, quantity }) => unit_price_minor * quantity)
  return coupons.map(({ promise, covers }) => {
    const weights = lines.map((line, i) => (covers(line) ? running[i]! : 0))
    const parts = split(takes(promise, sum(weights)), weights)
    parts.forEach((part, i) => { running[i]! -= part })
    return parts
  })
}

/** What each coupon gives back when these units of each line return. */
export const givenBack = (lines: readonly Priced[], discounts: readonly (readonly number[])[], returned: readonly number[]): number[] =>
  discounts.map((parts) => sum(parts.map((part, i) => lastUnits(part, lines[i]!.quantity, returned[i]!))))

export const sum = (amounts: readonly number[]): number => amounts.reduce((total, amount) => total + amount, 0)

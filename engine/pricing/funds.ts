// The money there is for discounts, as far as a quote knows it.
//
// What must stay true: a coupon is paid by its budgets' shares or not at all; two coupons never spend the same cent.
// The sums are a look, not a hold: only the reserve decides. Where nothing is said of a budget it has enough.

import { splitFunding } from "./funding.ts"
import { mulDiv } from "./money.ts"
import type { Funds, Terms } from "./types.ts"

/** What is left after a payment, or the first budget that has too little and how much could have been paid. */
export type Paid = { readonly left: Funds } | { readonly short: string; readonly payableMinor: number }

/** Pays an amount out of a campaign's budgets. */
export function pay(funds: Funds, { funding }: Terms, amountMinor: number): Paid {
  const amounts = splitFunding(amountMinor, funding)
  const left = new Map(funds)
  for (let i = 0; i < funding.length; i++) {
    const { budget_id } = funding[i]!
    const available = left.get(budget_id)
    if (available === undefined) continue
    if (amounts[i]! > available) return { short: budget_id, payableMinor: payable(funds, funding, amountMinor) }
    left.set(budget_id, available - amounts[i]!)
  }
  return { left }
}

/** The most that all budgets together can pay in their shares. */
function payable(funds: Funds, funding: Terms["funding"], wantedMinor: number): number {
  let most = wantedMinor
  for (const { budget_id, share_bp } of funding) {
    const available = funds.get(budget_id)
    if (available !== undefined && share_bp > 0) most = Math.min(most, mulDiv(Math.max(0, available), 10000, share_bp, "down"))
  }
  return most
}

// Who pays for a discount: its amount split over the budgets of a campaign.
//
// What must stay true: the parts sum to the amount, so that no cent is held twice or by nobody, and the same amount
// always splits the same way, so that what is given back is what was held.

import { share } from "./money.ts"

/** One payer's part of a campaign: the shares of a campaign sum to 10000. */
export type FundingShare = { readonly share_bp: number }

/** Splits an amount over the shares by largest remainder, ties to the earlier. */
export function splitFunding(amount_minor: number, funding: readonly FundingShare[]): number[] {
  return share(
    amount_minor,
    funding.map((part) => part.share_bp),
  )
}

/**
 * Which coupons of a quote no budget could pay now, by sums that are at most a second old. Not binding: the hold decides.
 */
import { splitFunding } from "../pricing/funding.ts"
import type { Quote } from "../pricing/price.ts"
import type { Parts } from "../parts.ts"
import { budgetSums } from "../quota/sums.ts"
import type { Choice, Left } from "./choose.ts"

/** The coupons that cannot be paid, in the order of application: each takes what is left after those before it. */
export const budgetsShort = async (parts: Parts, quote: Quote, choices: readonly Choice[], now_ms: number): Promise<Left[]> => {
  const short: Left[] = []
  const taken = new Map<number, number>()
  for (const { coupon_id, cost_minor } of quote.applied) {
    const { campaign } = choices.find((choice) => choice.coupon_id === coupon_id)!
    if (campaign.body.hold_at === "issue") continue
    const left = (no: Left["no"]) => short.push({ coupon_id, campaign_id: campaign.campaign_id, no })
    const funding = await parts.catalogue.fundingAt(campaign, now_ms)
    if ("missing" in funding) { left({ outcome: "budget_not_open", budget_id: funding.missing }); continue }
    const amounts = splitFunding(cost_minor, funding)
    for (const [i, { budget }] of funding.entries()) {
      const wanted = (taken.get(budget.budget_no) ?? 0) + amounts[i]!
      const { available_minor } = await budgetSums(parts, budget.budget_no, now_ms)
      if (now_ms < budget.opens_ms || now_ms >= budget.closes_ms) { left({ outcome: "budget_not_open", budget_id: budget.budget_id }); break }
      if (wanted > available_minor) { left({ outcome: "budget_exhausted", budget_id: budget.budget_id }); break }
      taken.set(budget.budget_no, wanted)
    }
  }
  return short
}

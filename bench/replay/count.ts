/**
 * The replay's own count: what must stand in every budget, campaign and redemption at a moment of the plan.
 *
 * What must stay true: it asks nobody. It walks the plan and adds.
 */
import type { Funding, Plan, PlannedCampaign } from "./plan.ts"

/** A moment between two acts: before this day nothing is left open; of the day itself what is named has happened. */
export interface Moment { readonly day: string; readonly of_day: "reserved" | "everything" }

export interface BudgetCount { readonly limit_minor: number; readonly held_minor: number; readonly spent_minor: number }
export interface CampaignCount { readonly issued: number; readonly reserved: number; readonly redeemed: number }
export interface RedemptionCount { readonly state: string; readonly discount_minor: number; readonly refunded_minor: number }

export interface Count {
  readonly budgets: ReadonlyMap<string, BudgetCount>
  readonly campaigns: ReadonlyMap<string, CampaignCount>
  /** By order_id. */
  readonly redemptions: ReadonlyMap<string, RedemptionCount>
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** What must be there at this moment. */
export const countAt = (plan: Plan, { day: now, of_day }: Moment): Count => {
  const budgets = new Map<string, Writable<BudgetCount>>()
  for (const { budget_id, body } of plan.budgets) budgets.set(budget_id, { limit_minor: body.limit_minor, held_minor: 0, spent_minor: 0 })
  const hold = (funding: readonly Funding[], times: number) => { for (const { budget_id, amount_minor } of funding) budgets.get(budget_id)!.held_minor += times * amount_minor }
  const spend = (funding: readonly Funding[], times: number) => { for (const { budget_id, amount_minor } of funding) budgets.get(budget_id)!.spent_minor += times * amount_minor }
  const isOver = (campaign: PlannedCampaign) => lastDay.get(campaign.mailing)! < now
  const lastDay = new Map(plan.launches.map(({ mailing }) => [mailing.campaign, mailing.last_day]))

  const campaigns = new Map<string, Writable<CampaignCount>>()
  for (const launch of plan.launches) {
    if (launch.mailing.first_day > now) continue
    for (const { campaign_id } of launch.campaigns) campaigns.set(campaign_id, { issued: 0, reserved: 0, redeemed: 0 })
    const byId = new Map(launch.campaigns.map((campaign) => [campaign.campaign_id, campaign]))
    for (const { campaign_id } of launch.issues) {
      campaigns.get(campaign_id)!.issued += 1
      // A coupon that holds money holds it until its end; whoever uses it is counted below.
      const campaign = byId.get(campaign_id)!
      if (!isOver(campaign)) hold(campaign.held_at_issue, 1)
    }
  }

  const redemptions = new Map<string, Writable<RedemptionCount>>()
  for (const { order_id, day, uses, ending, discount_minor, refund } of plan.orders) {
    if (day > now) continue
    const isOpen = day === now && of_day === "reserved"
    const state = isOpen ? "reserved" : ending === "cancelled" ? "cancelled" : "confirmed"
    redemptions.set(order_id, { state, discount_minor, refunded_minor: 0 })
    if (state === "cancelled") continue
    for (const { campaign, spent } of uses) {
      campaigns.get(campaign.campaign_id)![isOpen ? "reserved" : "redeemed"] += 1
      if (isOpen) {
        if (campaign.hold_at === "reserve") hold(spent, 1)
        continue
      }
      spend(spent, 1)
      if (!isOver(campaign)) hold(campaign.held_at_issue, -1)
    }
    if (!refund || isOpen || refund.day > now || (refund.day === now && of_day === "reserved")) continue
    redemptions.set(order_id, { state: refund.state, discount_minor, refunded_minor: refund.discount_minor })
    refund.backs.forEach(({ spent, is_whole }, i) => {
      spend(spent, -1)
      const { campaign } = uses[i]!
      if (is_whole && campaign.on_refund === "return") campaigns.get(campaign.campaign_id)!.redeemed -= 1
    })
  }
  return { budgets, campaigns, redemptions }
}

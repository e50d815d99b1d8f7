/**
 * Who pays for coupons that are priced, and what those budgets have.
 *
 * What must stay true: a campaign's budgets are those of the month of the pricing's instant, so that two campaigns that name one budget
 * differently never spend the same cent twice in a quote. What budgets have is a look at sums of at most a second; the hold decides.
 */
import type { Draft } from "../contract/campaigns.ts"
import { monthAt } from "../months.ts"
import type { Budget, Campaign } from "../operate/catalogue.ts"
import { isInMonth } from "../operate/not_open.ts"
import type { Parts } from "../parts.ts"
import type { Funds, HeldCoupon, Terms } from "../pricing/types.ts"
import { budgetSums } from "../quota/sums.ts"

/** A coupon that is priced: of a campaign, or of a draft. */
export type Priced = { readonly held: HeldCoupon } & ({ readonly campaign: Campaign } | { readonly draft: Draft })

/** The coupons with the budgets that pay for them now. */
export interface Payers {
  readonly held: readonly HeldCoupon[]
  /** By budget_id, where there is such a budget. */
  readonly budgets: ReadonlyMap<string, Budget>
  /** Budgets that pay nothing now: not there for the campaign, or of another month. */
  readonly shut: ReadonlySet<string>
  /** The line of each budget, also of those that a draft only speaks of. */
  readonly lines: ReadonlyMap<string, string>
}

/** A draft that names no budget is its line's to pay. No budget has this id: it is not printable. */
const payerOf = (line: string): string => `\0${line}`

const resolved = new WeakMap<Terms, Terms>()

/** The same terms paid by these budgets; made once a month for each campaign. */
const paidBy = (held: HeldCoupon, funding: Terms["funding"]): HeldCoupon => {
  const known = resolved.get(held.terms) ?? held.terms
  const isSame = known.funding.length === funding.length && known.funding.every(({ budget_id }, i) => budget_id === funding[i]!.budget_id)
  const terms = isSame ? known : { ...held.terms, funding }
  if (!isSame) resolved.set(held.terms, terms)
  return terms === held.terms ? held : { ...held, terms }
}

/** Find who pays for each coupon at an instant. */
export const payersOf = async (parts: Parts, priced: readonly Priced[], at_ms: number): Promise<Payers> => {
  const budgets = new Map<string, Budget>(), shut = new Set<string>(), lines = new Map<string, string>()
  const learn = (budget: Budget): void => {
    budgets.set(budget.budget_id, budget)
    lines.set(budget.budget_id, budget.line)
    if (!isInMonth(budget, at_ms)) shut.add(budget.budget_id)
  }
  const ofCampaign = async (held: HeldCoupon, campaign: Campaign): Promise<HeldCoupon> => {
    const funding = await parts.catalogue.fundingAt(campaign, at_ms)
    const is_paid = campaign.body.hold_at === "issue"
    if ("missing" in funding) {
      if (is_paid) return { ...held, is_paid }
      shut.add(funding.missing)
      return paidBy(held, [{ budget_id: funding.missing, share_bp: 10_000 }])
    }
    for (const { budget } of funding) learn(budget)
    const paid = paidBy(held, funding.map(({ budget, share_bp }) => ({ budget_id: budget.budget_id, share_bp })))
    return is_paid ? { ...paid, is_paid } : paid
  }
  const ofDraft = async (held: HeldCoupon, { line = "", funding }: Draft): Promise<HeldCoupon> => {
    const { month } = monthAt(at_ms, parts.zone)
    const named = (funding ?? [{ budget_id: payerOf(line), share_bp: 10_000 }]).map(({ budget_id, share_bp }) => ({ budget_id: budget_id.replaceAll("{month}", month), share_bp }))
    for (const { budget_id } of named) {
      // A budget need not be there before the campaign is: then it has enough.
      const budget = funding && await parts.catalogue.budgetById(budget_id)
      if (budget) learn(budget)
      else lines.set(budget_id, line)
    }
    return paidBy(held, named)
  }
  const held: HeldCoupon[] = []
  for (const each of priced) held.push("campaign" in each ? await ofCampaign(each.held, each.campaign) : await ofDraft(each.held, each.draft))
  return { held, budgets, shut, lines }
}

/** What the budgets have, minor units, by sums of at most a second. */
export const fundsOf = async (parts: Parts, { budgets, shut }: Payers, now_ms: number): Promise<Funds> => {
  const funds = new Map<string, number>([...shut].map((budget_id) => [budget_id, 0]))
  await Promise.all([...budgets.values()].map(async ({ budget_id, budget_no }) => {
    if (!shut.has(budget_id)) funds.set(budget_id, (await budgetSums(parts, budget_no, now_ms)).available_minor)
  }))
  return funds
}

/** The budgets of a line. */
export const budgetsOf = ({ lines }: Payers, line: string): ReadonlySet<string> =>
  new Set([...lines].filter(([, its]) => its === line).map(([budget_id]) => budget_id))

/**
 * The plan: everything the replay will do, with what each act should answer, worked out before the first call.
 *
 * What must stay true: it is pure, and what it expects comes from the data, the rules and the replay's own arithmetic alone. Days are
 * in order; within a day mailings are launched first, then orders stand by their instants, and refunds of older orders after them.
 */
import { chance } from "./chance.ts"
import type { Data, Mailing, PrintedCoupon, SampledLine } from "./data.ts"
import { daysLater, instant, monthOf, monthsFrom } from "./days.ts"
import { type Applied, discountsOf, givenBack, sum } from "./discounts.ts"
import {
  boughtOf, boundOf, BUSINESS_LINES, CURRENCY, type BusinessLine, type Ending, endingOf, type HoldAt, issuedTo, madeFor, mannersOf, type OnRefund, PARTIES,
  type Party, type Scope, scopeOf, takes, type Terms, worthOf, type Worth,
} from "./rules.ts"
import { split } from "./shares.ts"

const OPENS_S = 8 * 3_600
const CLOSES_S = 22 * 3_600
/** A mailing is set up in the first hour of its first day. */
const LAUNCH_S = 1_800
const CONFIRM_AFTER_MS = 120_000
/** A hold outlasts its day, so that the orders of one day may be played side by side in any order of their instants. */
export const HOLD_S = 86_400
const REFUND_DAYS_MIN = 3
const REFUND_DAYS = 12
const BUDGET_STEP_MINOR = 10_000

export interface PlannedBudget {
  readonly budget_id: string
  readonly body: { readonly line: BusinessLine; readonly month: string; readonly currency: string; readonly limit_minor: number; readonly party: Party }
}

export interface PlannedCampaign {
  readonly campaign_id: string
  readonly mailing: number
  readonly hold_at: HoldAt
  readonly on_refund: OnRefund
  /** What one coupon holds at its issue, by budget; empty where money is held at the reserve. */
  readonly held_at_issue: readonly Funding[]
  readonly body: object
}

export interface PlannedIssue { readonly request_id: string; readonly campaign_id: string; readonly user_id: string; readonly channel: string }

export interface PlannedLaunch {
  readonly mailing: Mailing
  readonly at_ms: number
  readonly campaigns: readonly PlannedCampaign[]
  readonly issues: readonly PlannedIssue[]
}

export interface Funding { readonly budget_id: string; readonly amount_minor: number }

export interface PlannedUse {
  /** The request_id of its coupon's issue. */
  readonly issue: string
  readonly campaign: PlannedCampaign
  readonly discount_minor: number
  readonly spent: readonly Funding[]
}

export interface OrderLine {
  readonly line_id: string
  readonly sku: string
  readonly category: string
  readonly merchant_id: string
  readonly unit_price_minor: number
  readonly quantity: number
}

export interface PlannedRefund {
  readonly refund_id: string
  readonly day: string
  readonly at_ms: number
  readonly lines: "all" | readonly { readonly line_id: string; readonly quantity: number }[]
  readonly discount_minor: number
  /** By coupon: what goes back to its budgets, and whether all of it is back. */
  readonly backs: readonly { readonly spent: readonly Funding[]; readonly is_whole: boolean }[]
  readonly state: "refunded" | "partly_refunded"
}

export interface PlannedOrder {
  readonly order_id: string
  readonly user_id: string
  readonly day: string
  readonly at_ms: number
  readonly settle_ms: number
  readonly order: { readonly currency: string; readonly channel: string; readonly region?: string; readonly lines: readonly OrderLine[] }
  readonly uses: readonly PlannedUse[]
  readonly discount_minor: number
  readonly total_minor: number
  readonly ending: Ending
  readonly refund: PlannedRefund | undefined
}

export interface PlannedDay {
  readonly day: string
  readonly launches: readonly PlannedLaunch[]
  readonly orders: readonly PlannedOrder[]
  readonly refunds: readonly PlannedOrder[]
}

export interface Plan {
  readonly budgets: readonly PlannedBudget[]
  readonly launches: readonly PlannedLaunch[]
  readonly orders: readonly PlannedOrder[]
  readonly days: readonly PlannedDay[]
  /** The last day on which an order is made. */
  readonly last_order_day: string
  /** A day after every window and every refund. */
  readonly after_all: string
  readonly counts: { readonly uses: number; readonly sampled_lines: number; readonly made_lines: number; readonly other_lines: number }
}

const budgetId = (line: BusinessLine, party: Party, month: string): string => `${line}-${party}-${month}`
const userId = (household: number): string => `household-${household}`
const campaignId = (campaign: number, upc: string): string => `${campaign}-${upc}`

/** A printed coupon with everything that is worked out of it. */
interface Known {
  readonly printed: PrintedCoupon
  readonly mailing: Mailing
  readonly worth: Worth
  readonly scope: Scope
}

const fundingOf = ({ line, shares }: Worth, month: string, amount_minor: number): Funding[] => {
  const parts = split(amount_minor, shares.map(({ share_bp }) => share_bp))
  return shares.map(({ party }, i) => ({ budget_id: budgetId(line, party, month), amount_minor: parts[i]! }))
}

const campaignOf = ({ printed, mailing, worth, scope }: Known, stock: number, per_user: number): PlannedCampaign => {
  const { hold_at, on_refund } = mannersOf(mailing.type)
  return {
    campaign_id: campaignId(mailing.campaign, printed.upc), mailing: mailing.campaign, hold_at, on_refund,
    held_at_issue: hold_at === "issue" ? fundingOf(worth, monthOf(mailing.first_day), boundOf(worth)) : [],
    body: {
      line: worth.line, name: `Coupon ${printed.upc} of campaign ${mailing.campaign} (${mailing.type})`, currency: CURRENCY, ...worth.promise,
      applies_to: scope.applies_to, starts_at: new Date(instant(mailing.first_day)).toISOString(), ends_at: new Date(instant(daysLater(mailing.last_day, 1))).toISOString(),
      stock, per_user, hold_at, on_refund,
      funding: worth.shares.map(({ party, share_bp }) => ({ budget_id: budgetId(worth.line, party, "{month}"), share_bp })),
    },
  }
}

type MadeLine = OrderLine & { readonly product: number }

/** The lines of an order: the day's sampled ones, and what its coupons lack. */
const basketOf = (data: Data, household: number, sampled: readonly SampledLine[], coupons: readonly Known[]): MadeLine[] => {
  const lines: MadeLine[] = []
  const add = (line_id: string, { product, ...bought }: ReturnType<typeof boughtOf>) => {
    lines.push({ line_id, sku: String(product), merchant_id: `manufacturer-${data.products.get(product)?.manufacturer ?? 0}`, product, ...bought })
  }
  sampled.forEach((line, i) => add(`${line.basket}-${i + 1}`, boughtOf(data, line)))
  const claimed = new Set<string>()
  const make = (coupon: Known, number: number) => {
    const line_id = `made-${campaignId(coupon.mailing.campaign, coupon.printed.upc)}-${number}`
    add(line_id, madeFor(data, coupon.printed, household, coupon.worth.promise))
    claimed.add(line_id)
  }
  for (const coupon of coupons) {
    const found = lines.find((line) => !claimed.has(line.line_id) && coupon.scope.covers(line) && takes(coupon.worth.promise, line.unit_price_minor * line.quantity) > 0)
    if (found) claimed.add(found.line_id)
    else make(coupon, 1)
  }
  // A coupon that covers much may take all that another one's line has left: then that one gets a line more. Each round is for one
  // coupon more than the round before at the least, because a line that is added only adds.
  for (let number = 2; number <= coupons.length + 1; number++) {
    const empty = emptyOnes(lines, coupons)
    if (empty.length === 0) return lines
    for (const coupon of empty) make(coupon, number)
  }
  throw new Error(`the order of household ${household} has a coupon with nothing to discount`)
}

const appliedOf = ({ worth, scope }: Known): Applied<MadeLine> => ({ promise: worth.promise, covers: scope.covers })
const emptyOnes = (lines: readonly MadeLine[], coupons: readonly Known[]): Known[] => {
  const discounts = discountsOf(lines, coupons.map(appliedOf))
  return coupons.filter((_, i) => sum(discounts[i]!) === 0)
}

const refundOf = (order_id: string, day: string, lines: readonly MadeLine[], discounts: readonly number[][], uses: readonly PlannedUse[]): PlannedRefund => {
  const later = daysLater(day, REFUND_DAYS_MIN + chance(`refund day of ${order_id}`, REFUND_DAYS))
  const isAll = chance(`refund lines of ${order_id}`, 2) === 0
  const discounted = lines.findIndex((_, i) => discounts.some((parts) => parts[i]! > 0))
  const returned = lines.map(({ quantity }, i) => (isAll ? quantity : i === discounted ? Math.ceil(quantity / 2) : 0))
  const backs = givenBack(lines, discounts, returned)
  return {
    refund_id: `return-${order_id}`, day: later, at_ms: instant(later, OPENS_S + chance(`refund hour of ${order_id}`, CLOSES_S - OPENS_S)),
    lines: isAll ? "all" : [{ line_id: lines[discounted]!.line_id, quantity: returned[discounted]! }],
    discount_minor: sum(backs),
    backs: uses.map(({ spent, discount_minor }, i) => {
      const parts = split(backs[i]!, spent.map(({ amount_minor }) => amount_minor))
      return { spent: spent.map(({ budget_id }, share) => ({ budget_id, amount_minor: parts[share]! })), is_whole: backs[i] === discount_minor }
    }),
    state: lines.every(({ quantity }, i) => returned[i] === quantity) ? "refunded" : "partly_refunded",
  }
}

const HIGHEST = (a: string, b: string): string => (a > b ? a : b)

/** Plan the replay of the first `limit` redemptions with their mailings and households, or of everything. */
export const planOf = (data: Data, limit?: number): Plan => {
  const real = limit === undefined ? data.uses : data.uses.slice(0, limit)
  const isPart = real.length < data.uses.length
  const users = new Set(real.map(({ household }) => household))
  const named = new Set(real.map(({ campaign }) => campaign))
  const mailings = data.mailings
    .filter(({ campaign }) => !isPart || named.has(campaign))
    .map((mailing) => (isPart ? { ...mailing, households: mailing.households.filter((household) => users.has(household)) } : mailing))

  const printed = Map.groupBy(data.coupons, ({ campaign }) => campaign)
  const known = new Map<string, Known>()
  for (const mailing of mailings) {
    for (const coupon of printed.get(mailing.campaign) ?? []) {
      known.set(campaignId(mailing.campaign, coupon.upc), { printed: coupon, mailing, worth: worthOf(data, mailing, coupon), scope: scopeOf(data, coupon) })
    }
  }

  // Coupons are issued to all who got the mailing; who used one twice has two, told apart by a number.
  const usedBy = Map.groupBy(real, ({ campaign, household }) => `${campaign} ${household}`)
  const campaigns = new Map<string, PlannedCampaign>()
  const launches = mailings.map((mailing): PlannedLaunch => {
    const upcs = (printed.get(mailing.campaign) ?? []).map(({ upc }) => upc)
    const issues: PlannedIssue[] = []
    const stock = new Map<string, number>(), per_user = new Map<string, number>()
    for (const household of mailing.households) {
      const had = new Map<string, number>()
      for (const upc of issuedTo(mailing, household, upcs, (usedBy.get(`${mailing.campaign} ${household}`) ?? []).map((use) => use.upc))) {
        const number = (had.get(upc) ?? 0) + 1
        had.set(upc, number)
        per_user.set(upc, Math.max(per_user.get(upc) ?? 1, number))
        stock.set(upc, (stock.get(upc) ?? 0) + 1)
        issues.push({ request_id: `${mailing.campaign}-${upc}-${household}-${number}`, campaign_id: campaignId(mailing.campaign, upc), user_id: userId(household), channel: "mail" })
      }
    }
    const ours = upcs.filter((upc) => !isPart || stock.has(upc))
      .map((upc) => campaignOf(known.get(campaignId(mailing.campaign, upc))!, stock.get(upc) ?? 0, per_user.get(upc) ?? 1))
    for (const campaign of ours) campaigns.set(campaign.campaign_id, campaign)
    return { mailing, at_ms: instant(mailing.first_day, LAUNCH_S), campaigns: ours, issues }
  })

  const sampledOn = Map.groupBy(data.lines, ({ household, day }) => `${household} ${day}`)
  const usedTimes = new Map<string, number>()
  let sampled_lines = 0, made_lines = 0, other_lines = 0
  const orders = [...Map.groupBy(real, ({ household, day }) => `${household} ${day}`).entries()].map(([place, ofDay]): PlannedOrder => {
    const { household, day } = ofDay[0]!
    const coupons = ofDay.map(({ campaign, upc }) => known.get(campaignId(campaign, upc))!)
    const sampled = sampledOn.get(place) ?? []
    const lines = basketOf(data, household, sampled, coupons)
    const discounts = discountsOf(lines, coupons.map(appliedOf))
    const covered = lines.slice(0, sampled.length).filter((line) => coupons.some(({ scope }) => scope.covers(line))).length
    sampled_lines += covered
    other_lines += sampled.length - covered
    made_lines += lines.length - sampled.length

    const uses = ofDay.map(({ campaign: mailing, upc }, i): PlannedUse => {
      const campaign = campaigns.get(campaignId(mailing, upc))!
      const key = `${mailing}-${upc}-${household}`
      const number = (usedTimes.get(key) ?? 0) + 1
      usedTimes.set(key, number)
      const discount_minor = sum(discounts[i]!)
      const month = campaign.hold_at === "issue" ? monthOf(coupons[i]!.mailing.first_day) : monthOf(day)
      return { issue: `${key}-${number}`, campaign, discount_minor, spent: fundingOf(coupons[i]!.worth, month, discount_minor) }
    })
    const order_id = `${household}-${day}`
    const at_ms = instant(day, sampled[0]?.second ?? OPENS_S + chance(`hour of ${order_id}`, CLOSES_S - OPENS_S))
    const ending = endingOf(order_id)
    const discount_minor = sum(uses.map((use) => use.discount_minor))
    return {
      order_id, user_id: userId(household), day, at_ms, settle_ms: at_ms + CONFIRM_AFTER_MS,
      order: {
        currency: CURRENCY, channel: "store", ...(sampled[0] ? { region: `store-${sampled[0].store}` } : {}),
        lines: lines.map(({ product: _, ...line }) => line),
      },
      uses, discount_minor, total_minor: sum(lines.map(({ unit_price_minor, quantity }) => unit_price_minor * quantity)) - discount_minor,
      ending, refund: ending === "refunded" ? refundOf(order_id, day, lines, discounts, uses) : undefined,
    }
  }).sort((a, b) => a.at_ms - b.at_ms || (a.order_id < b.order_id ? -1 : 1))

  const launchesOn = Map.groupBy(launches, ({ mailing }) => mailing.first_day)
  const ordersOn = Map.groupBy(orders, ({ day }) => day)
  const refundsOn = Map.groupBy(orders.filter(({ refund }) => refund), ({ refund }) => refund!.day)
  const days = [...new Set([...launchesOn.keys(), ...ordersOn.keys(), ...refundsOn.keys()])].sort().map((day): PlannedDay => ({
    day, launches: launchesOn.get(day) ?? [], orders: ordersOn.get(day) ?? [],
    refunds: (refundsOn.get(day) ?? []).sort((a, b) => a.refund!.at_ms - b.refund!.at_ms),
  }))
  const last = [...mailings.map(({ last_day }) => last_day), ...days.map(({ day }) => day)].reduce(HIGHEST)
  return {
    budgets: budgetsOf(mailings, orders, launches, campaigns), launches, orders, days,
    last_order_day: orders.map(({ day }) => day).reduce(HIGHEST), after_all: daysLater(last, 4),
    counts: { uses: real.length, sampled_lines, made_lines, other_lines },
  }
}

/** A budget for each business line, party and month, of what the month will hold. */
const budgetsOf = (mailings: readonly Mailing[], orders: readonly PlannedOrder[], launches: readonly PlannedLaunch[], campaigns: ReadonlyMap<string, PlannedCampaign>): PlannedBudget[] => {
  const held = new Map<string, number>()
  const hold = (funding: readonly Funding[]) => {
    for (const { budget_id, amount_minor } of funding) held.set(budget_id, (held.get(budget_id) ?? 0) + amount_minor)
  }
  for (const { issues } of launches) for (const { campaign_id } of issues) hold(campaigns.get(campaign_id)!.held_at_issue)
  for (const { uses } of orders) for (const { campaign, spent } of uses) if (campaign.hold_at === "reserve") hold(spent)
  const first = mailings.map(({ first_day }) => first_day).reduce((a, b) => (a < b ? a : b))
  const last = mailings.map(({ last_day }) => last_day).reduce(HIGHEST)
  return monthsFrom(monthOf(first), monthOf(last)).flatMap((month) =>
    BUSINESS_LINES.flatMap((line) =>
      PARTIES.map((party): PlannedBudget => {
        const budget_id = budgetId(line, party, month)
        const limit_minor = Math.max(1, Math.ceil((held.get(budget_id) ?? 0) / BUDGET_STEP_MINOR)) * BUDGET_STEP_MINOR
        return { budget_id, body: { line, month, currency: CURRENCY, limit_minor, party } }
      })))
}

/**
 * What the contract says is true: budgets, campaigns, coupons and redemptions as plain Maps, and every act as a function on them.
 *
 * Written from the text of the contract, not from the engine. An act says what must be answered, and how the world changes once
 * that has been heard; nothing changes before. Where the contract leaves a choice (which of several bad coupons is named
 * first), every allowed word is listed.
 */
import {
  type Applied, type Candidate, type CampaignBody, type Order, orderTotal, plainly, priceBest, priceNamed, spread,
} from "./pricing.ts"

const DAY_MS = 86_400_000
/** The longest that a hold may be extended to, from its reserve. */
const HOLD_MS_MAX = 7 * DAY_MS
const HOLD_S_DEFAULT = 900

export interface BudgetBody { readonly line: string; readonly month: string; readonly currency: string; readonly limit_minor: number; readonly party?: string }
export interface Budget {
  readonly budget_id: string; readonly body: BudgetBody; readonly opens_ms: number; readonly closes_ms: number
  limit: number; held: number; spent: number; readonly additions: Map<string, number>
}
export interface Campaign { readonly campaign_id: string; body: CampaignBody; state: "draft" | "live" | "paused" | "stopped"; issued: number; revoked: number }
export type CouponState = "issued" | "reserved" | "redeemed" | "ended" | "revoked"
export interface Share { readonly budget_id: string; readonly minor: number }
export interface Coupon {
  readonly coupon_id: string; readonly campaign_id: string; readonly user_id: string; readonly ends_ms: number
  state: CouponState
  /** Money held for it since its issue. */
  holds: readonly Share[]
}
export interface Part { readonly coupon_id: string; readonly campaign_id: string; readonly discount_minor: number; readonly lines: Applied["lines"]; readonly at_issue: boolean; shares: { budget_id: string; held: number; spent: number; back: number }[] }
export type RedemptionState = "reserved" | "confirmed" | "partly_refunded" | "refunded" | "cancelled" | "expired"
export interface Redemption {
  readonly redemption_id: string; readonly user_id: string; readonly order_id: string; readonly request_id: string
  readonly sent: string; readonly answer: unknown
  readonly reserved_ms: number; expires_ms: number; state: RedemptionState
  readonly lines: { readonly line_id: string; readonly quantity: number; refunded: number }[]
  readonly parts: readonly Part[]; readonly discount_minor: number; readonly total_minor: number
  extended: boolean
  confirmed?: unknown; cancelled?: unknown
  readonly refunds: Map<string, { sent: string; answer: unknown }>
}

export interface World {
  now_ms: number
  readonly budgets: Map<string, Budget>
  readonly campaigns: Map<string, Campaign>
  readonly coupons: Map<string, Coupon>
  readonly issues: Map<string, { sent: string; answer: unknown }>
  readonly counts: Map<string, number>
  readonly redemptions: Map<string, Redemption>
}

export const emptyWorld = (now_ms: number): World => ({
  now_ms, budgets: new Map(), campaigns: new Map(), coupons: new Map(), issues: new Map(), counts: new Map(), redemptions: new Map(),
})

/** What must be answered, and what it changes. */
export interface Expected {
  readonly status: number
  /** The allowed words of a no. */
  readonly codes?: readonly string[]
  readonly hit?: boolean
  /** A repeat: the very same body. */
  readonly same?: unknown
  /** Fields that the body must have with these values. */
  readonly body?: object
  /** What else is wrong with the body. */
  readonly judge?: (body: any) => string | undefined
  readonly commit?: (body: any) => void
}

const no = (status: number, ...codes: string[]): Expected => ({ status, codes })

/** The instants of a month in UTC, half-open. */
export const monthOf = (at_ms: number): string => new Date(at_ms).toISOString().slice(0, 7)
export const monthStarts = (month: string): number => Date.parse(`${month}-01T00:00:00Z`)
export const nextMonth = (month: string): string => monthOf(monthStarts(month) + 32 * DAY_MS)

const available = ({ limit, held, spent }: Budget): number => limit - held - spent
const isOpen = ({ opens_ms, closes_ms }: Budget, now_ms: number): boolean => opens_ms <= now_ms && now_ms < closes_ms

const isOver = (world: World, { ends_ms, campaign_id }: Coupon): boolean => world.now_ms >= ends_ms || world.campaigns.get(campaign_id)!.state === "stopped"

const splitOver = (world: World, minor: number, { funding }: CampaignBody): Share[] => {
  const amounts = spread(BigInt(minor), funding.map(({ share_bp }) => BigInt(share_bp)))
  return funding.map(({ budget_id }, place) => ({ budget_id: budget_id.replaceAll("{month}", monthOf(world.now_ms)), minor: Number(amounts[place]) }))
}

/** Why this money cannot be held now; nothing when it can. `freed` is what another hold gives back in the same act. */
const whyNotPaid = (world: World, shares: readonly Share[], freed: ReadonlyMap<string, number> = new Map()): string[] => {
  const wanted = new Map<string, number>()
  for (const { budget_id, minor } of shares) wanted.set(budget_id, (wanted.get(budget_id) ?? 0) + minor)
  const codes = new Set<string>()
  for (const [budget_id, minor] of wanted) {
    const budget = world.budgets.get(budget_id)
    if (!budget || !isOpen(budget, world.now_ms)) codes.add("budget_not_open")
    else if (minor > available(budget) + (freed.get(budget_id) ?? 0)) codes.add("budget_exhausted")
  }
  return [...codes]
}

const move = (world: World, budget_id: string, held: number, spent: number): void => {
  const budget = world.budgets.get(budget_id)!
  budget.held += held
  budget.spent += spent
}

/** An unused coupon is over: what was held for it returns. */
const end = (world: World, coupon: Coupon): void => {
  for (const { budget_id, minor } of coupon.holds) move(world, budget_id, -minor, 0)
  coupon.holds = []
  coupon.state = "ended"
}

/** A coupon comes out of a hold: free again, unless its end has come. */
const free = (world: World, coupon: Coupon): void => {
  coupon.state = "issued"
  if (isOver(world, coupon)) end(world, coupon)
}

const giveBack = (world: World, redemption: Redemption, state: "cancelled" | "expired"): void => {
  for (const part of redemption.parts) {
    for (const share of part.shares) {
      if (!part.at_issue) move(world, share.budget_id, -share.held, 0)
      share.held = 0
    }
    free(world, world.coupons.get(part.coupon_id)!)
  }
  redemption.state = state
}

/** What has come by time alone: holds that ran out and unused coupons that ended. */
export const settle = (world: World): void => {
  for (const redemption of world.redemptions.values()) {
    if (redemption.state === "reserved" && world.now_ms >= redemption.expires_ms) giveBack(world, redemption, "expired")
  }
  for (const coupon of world.coupons.values()) if (coupon.state === "issued" && isOver(world, coupon)) end(world, coupon)
}

/** The state as it is true now, whether or not it was settled. */
export const stateNow = (world: World, { state, expires_ms }: Redemption): RedemptionState =>
  state === "reserved" && world.now_ms >= expires_ms ? "expired" : state

/** A coupon's state as it is true now. */
export const couponStateNow = (world: World, coupon: Coupon): CouponState => (coupon.state === "issued" && isOver(world, coupon) ? "ended" : coupon.state)

// ── Budgets and campaigns ────────────────────────────────────────────────────────────────────────────────────────

export const putBudget = (world: World, budget_id: string, body: BudgetBody): Expected => {
  const known = world.budgets.get(budget_id)
  if (known) {
    if (JSON.stringify(known.body) !== JSON.stringify(body)) return no(422, "request_conflict")
    return { status: 200, hit: true, body: { budget_id } }
  }
  return {
    status: 201, hit: false,
    body: { budget_id, ...body, party: body.party ?? body.line, held_minor: 0, spent_minor: 0, available_minor: body.limit_minor },
    commit: () => {
      world.budgets.set(budget_id, {
        budget_id, body, opens_ms: monthStarts(body.month), closes_ms: monthStarts(nextMonth(body.month)), limit: body.limit_minor, held: 0, spent: 0, additions: new Map(),
      })
    },
  }
}

export const addToBudget = (world: World, budget_id: string, addition_id: string, amount_minor: number): Expected => {
  const budget = world.budgets.get(budget_id)
  if (!budget) return no(404, "budget_unknown")
  const known = budget.additions.get(addition_id)
  if (known !== undefined) return known === amount_minor ? { status: 201, hit: true, body: { addition_id, amount_minor } } : no(422, "request_conflict")
  if (amount_minor < 0 && -amount_minor > available(budget)) return no(409, "budget_in_use")
  if (budget.limit + amount_minor > Number.MAX_SAFE_INTEGER) return no(409, "limit_too_large")
  return {
    status: 201, hit: false, body: { budget_id, addition_id, amount_minor },
    commit: () => { budget.additions.set(addition_id, amount_minor); budget.limit += amount_minor },
  }
}

export const getBudget = (world: World, budget_id: string): Expected => {
  const budget = world.budgets.get(budget_id)
  if (!budget) return no(404, "budget_unknown")
  const { limit, held, spent } = budget
  return { status: 200, body: { budget_id, limit_minor: limit, held_minor: held, spent_minor: spent, available_minor: limit - held - spent } }
}

const mayMove = (world: World, from: CampaignBody, to: CampaignBody): boolean => {
  const { name: _n, ends_at: _e, stock: _s, per_user: _p, ...fixedFrom } = from
  const { name: _nt, ends_at: _et, stock: _st, per_user: _pt, ...fixedTo } = to
  return JSON.stringify(fixedFrom) === JSON.stringify(fixedTo) && Date.parse(to.ends_at) >= Date.parse(from.ends_at) && to.stock >= from.stock && to.per_user >= from.per_user
}

export const putCampaign = (world: World, campaign_id: string, body: CampaignBody): Expected => {
  const known = world.campaigns.get(campaign_id)
  if (!known) {
    return { status: 201, hit: false, body: { campaign_id, state: "draft" }, commit: () => { world.campaigns.set(campaign_id, { campaign_id, body, state: "draft", issued: 0, revoked: 0 }) } }
  }
  if (JSON.stringify(known.body) === JSON.stringify(body)) return { status: 200, hit: true, body: { campaign_id, state: known.state } }
  if (known.state === "stopped") return no(409, "campaign_stopped", "campaign_live")
  if (known.state !== "draft") {
    if (!mayMove(world, known.body, body)) return no(409, "campaign_live")
    if (Date.parse(known.body.ends_at) <= world.now_ms && body.ends_at !== known.body.ends_at) return no(409, "campaign_ended")
  }
  return { status: 200, hit: false, body: { campaign_id, state: known.state, stock: body.stock, per_user: body.per_user }, commit: () => { known.body = body } }
}

export const moveCampaign = (world: World, campaign_id: string, verb: "activate" | "pause" | "stop"): Expected => {
  const campaign = world.campaigns.get(campaign_id)
  if (!campaign) return no(404, "campaign_unknown")
  const after = ({ activate: "live", pause: "paused", stop: "stopped" } as const)[verb]
  if (campaign.state === "stopped" && verb !== "stop") return no(409, "campaign_stopped")
  if (campaign.state === after) return { status: 200, hit: true, body: { campaign_id, state: after } }
  if (verb === "pause" && campaign.state === "draft") return no(409, "campaign_draft")
  if (verb === "activate" && Date.parse(campaign.body.ends_at) <= world.now_ms) return no(409, "campaign_ended")
  return {
    status: 200, hit: false, body: { campaign_id, state: after },
    commit: () => {
      campaign.state = after
      if (after === "stopped") for (const coupon of world.coupons.values()) if (coupon.campaign_id === campaign_id && coupon.state === "issued") end(world, coupon)
    },
  }
}

const countCoupons = (world: World, campaign_id: string, state: CouponState): number =>
  [...world.coupons.values()].filter((coupon) => coupon.campaign_id === campaign_id && coupon.state === state).length

export const getCampaign = (world: World, campaign_id: string): Expected => {
  const campaign = world.campaigns.get(campaign_id)
  if (!campaign) return no(404, "campaign_unknown")
  const { stock, per_user, name } = campaign.body
  return {
    status: 200,
    body: {
      campaign_id, state: campaign.state, stock, per_user, name,
      issued: campaign.issued, reserved: countCoupons(world, campaign_id, "reserved"), redeemed: countCoupons(world, campaign_id, "redeemed"),
    },
  }
}

// ── Coupons ──────────────────────────────────────────────────────────────────────────────────────────────────────

export interface IssueAsk { readonly request_id: string; readonly campaign_id: string; readonly user_id: string; readonly channel?: string }

/** The most that one coupon can cost. */
const boundOf = ({ kind, terms }: CampaignBody): number => (kind === "amount_off" ? terms.amount_minor! : terms.max_minor!)

export const issue = (world: World, ask: IssueAsk): Expected => {
  const { request_id, campaign_id, user_id } = ask
  const key = JSON.stringify([campaign_id, user_id, request_id])
  const earlier = world.issues.get(key)
  if (earlier) return earlier.sent === JSON.stringify(ask) ? { status: 201, hit: true, same: earlier.answer } : no(422, "request_conflict")
  const campaign = world.campaigns.get(campaign_id)
  if (!campaign) return no(404, "campaign_unknown")
  const { body } = campaign
  const [starts_ms, campaign_ends_ms] = [Date.parse(body.starts_at), Date.parse(body.ends_at)]
  if (campaign.state !== "live") return no(409, "campaign_not_live")
  if (world.now_ms < starts_ms) return no(409, "campaign_not_started")
  if (world.now_ms >= campaign_ends_ms) return no(409, "campaign_ended")
  const counted = JSON.stringify([campaign_id, user_id])
  const count = world.counts.get(counted) ?? 0
  if (count >= body.per_user) return no(409, "user_limit_reached")
  if (campaign.issued - campaign.revoked >= body.stock) return no(409, "stock_exhausted")
  const holds = body.hold_at === "issue" ? splitOver(world, boundOf(body), body) : []
  const unpaid = whyNotPaid(world, holds)
  if (unpaid.length > 0) return no(409, ...unpaid)
  if (body.holdout_bp === 10_000) return no(409, "held_out")
  const ends_ms = Math.min(campaign_ends_ms, body.coupon_valid_s === undefined ? Infinity : world.now_ms + body.coupon_valid_s * 1_000)
  return {
    status: 201, hit: false, body: { campaign_id, user_id, state: "issued", ends_at: new Date(ends_ms).toISOString() },
    judge: ({ coupon_id }) => (typeof coupon_id !== "string" || world.coupons.has(coupon_id) ? "coupon_id is not new" : undefined),
    commit: (answer) => {
      for (const { budget_id, minor } of holds) move(world, budget_id, minor, 0)
      world.coupons.set(answer.coupon_id, { coupon_id: answer.coupon_id, campaign_id, user_id, ends_ms, state: "issued", holds })
      world.issues.set(key, { sent: JSON.stringify(ask), answer })
      world.counts.set(counted, count + 1)
      campaign.issued += 1
    },
  }
}

export const revoke = (world: World, coupon_id: string): Expected => {
  const coupon = world.coupons.get(coupon_id)
  if (!coupon) return no(404, "coupon_unknown")
  const state = couponStateNow(world, coupon)
  if (state === "revoked") return { status: 200, hit: true, body: { state: "revoked" } }
  if (state !== "issued") return no(409, `coupon_${state}`)
  return {
    status: 200, hit: false, body: { state: "revoked" },
    commit: () => { end(world, coupon); coupon.state = "revoked"; world.campaigns.get(coupon.campaign_id)!.revoked += 1 },
  }
}

// ── Checkout ─────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ReserveAsk {
  readonly order_id: string; readonly user_id: string; readonly request_id?: string; readonly order: Order
  readonly coupons: "best" | readonly string[]; readonly hold_s?: number
}

const whyNotUsable = (world: World, coupon: Coupon): readonly string[] => {
  const { state } = world.campaigns.get(coupon.campaign_id)!
  if (coupon.state === "reserved" || coupon.state === "redeemed" || coupon.state === "revoked") return [`coupon_${coupon.state}`]
  if (world.now_ms >= coupon.ends_ms) return ["coupon_ended"]
  // A stop ends unused coupons: both words are true of one.
  if (state === "stopped") return ["campaign_stopped", "coupon_ended"]
  return state === "paused" ? ["campaign_paused"] : []
}

const candidateOf = (world: World, { coupon_id, campaign_id, ends_ms }: Coupon): Candidate =>
  ({ coupon_id, campaign_id, ends_ms, body: world.campaigns.get(campaign_id)!.body })

/** A part of what was held, by the same shares; nobody spends more than he holds, and what one cannot the others share. */
const splitWithin = (minor: number, { funding }: CampaignBody, holds: readonly Share[]): Share[] => {
  const weights = funding.map(({ share_bp }) => BigInt(share_bp))
  const settled = new Map<number, bigint>()
  for (;;) {
    const left = BigInt(minor) - [...settled.values()].reduce((sum, part) => sum + part, 0n)
    const parts = spread(left, weights.map((weight, place) => (settled.has(place) ? 0n : weight)))
    const over = parts.findIndex((part, place) => !settled.has(place) && part > BigInt(holds[place]!.minor))
    if (over < 0) return holds.map(({ budget_id }, place) => ({ budget_id, minor: Number(settled.get(place) ?? parts[place]) }))
    parts.forEach((part, place) => { if (!settled.has(place) && part > BigInt(holds[place]!.minor)) settled.set(place, BigInt(holds[place]!.minor)) })
  }
}

/** What each applied coupon costs whom. Money held at issue is there already. */
const sharesOf = (world: World, applied: readonly Applied[]): { part: Applied; at_issue: boolean; shares: Share[] }[] =>
  applied.map((part) => {
    const { body } = world.campaigns.get(part.campaign_id)!
    const { holds } = world.coupons.get(part.coupon_id)!
    const at_issue = body.hold_at === "issue"
    return { part, at_issue, shares: at_issue ? splitWithin(part.discount_minor, body, holds) : splitOver(world, part.discount_minor, body) }
  })

/** What each budget would pay if this coupon were used alone; nothing where its terms are not met. */
export const costOf = (world: World, order: Order, coupon: Coupon): Share[] =>
  sharesOf(world, priceNamed(order, [candidateOf(world, coupon)]).applied).flatMap(({ shares }) => shares)

/** What another redemption of the same order holds, while it is given back in the same act. */
const seenWithout = (world: World, live: Redemption | undefined, coupon: Coupon): Coupon =>
  live?.parts.some(({ coupon_id }) => coupon_id === coupon.coupon_id) ? { ...coupon, state: "issued" } : coupon

const freedBy = (live: Redemption | undefined): Map<string, number> => {
  const freed = new Map<string, number>()
  for (const { at_issue, shares } of live?.parts ?? []) if (!at_issue) for (const { budget_id, held } of shares) freed.set(budget_id, (freed.get(budget_id) ?? 0) + held)
  return freed
}

const reservedBody = (ask: ReserveAsk, applied: readonly Applied[], expires_ms: number) => {
  const discount_minor = applied.reduce((sum, part) => sum + part.discount_minor, 0)
  return {
    order_id: ask.order_id, user_id: ask.user_id, state: "reserved", discount_minor, total_minor: orderTotal(ask.order) - discount_minor,
    expires_at: new Date(expires_ms).toISOString(),
  }
}

const hold = (world: World, ask: ReserveAsk, live: Redemption | undefined, expires_ms: number) => (answer: any): void => {
  if (live) giveBack(world, live, world.now_ms >= live.expires_ms ? "expired" : "cancelled")
  const applied = plainly(answer.applied)
  const parts = sharesOf(world, applied).map(({ part, at_issue, shares }): Part => {
    const coupon = world.coupons.get(part.coupon_id)!
    coupon.state = "reserved"
    if (!at_issue) for (const { budget_id, minor } of shares) move(world, budget_id, minor, 0)
    return {
      coupon_id: part.coupon_id, campaign_id: part.campaign_id, discount_minor: part.discount_minor, lines: part.lines, at_issue,
      shares: shares.map(({ budget_id, minor }) => ({ budget_id, held: minor, spent: 0, back: 0 })),
    }
  })
  world.redemptions.set(answer.redemption_id, {
    redemption_id: answer.redemption_id, user_id: ask.user_id, order_id: ask.order_id, request_id: ask.request_id ?? ask.order_id,
    sent: JSON.stringify(ask), answer, reserved_ms: world.now_ms, expires_ms, state: "reserved", extended: false,
    lines: ask.order.lines.map(({ line_id, quantity }) => ({ line_id, quantity, refunded: 0 })),
    parts, discount_minor: answer.discount_minor, total_minor: answer.total_minor, refunds: new Map(),
  })
}

export const ordersOf = (world: World, user_id: string, order_id: string): Redemption[] =>
  [...world.redemptions.values()].filter((each) => each.user_id === user_id && each.order_id === order_id)

export const reserve = (world: World, ask: ReserveAsk): Expected => {
  const request_id = ask.request_id ?? ask.order_id
  const ofOrder = ordersOf(world, ask.user_id, ask.order_id)
  const earlier = ofOrder.find((each) => each.request_id === request_id)
  if (earlier) return earlier.sent === JSON.stringify(ask) ? { status: 201, hit: true, same: earlier.answer } : no(422, "request_conflict")
  if (ofOrder.some(({ state }) => state === "confirmed" || state === "refunded" || state === "partly_refunded")) return no(409, "redemption_confirmed")
  const live = ofOrder.find(({ state }) => state === "reserved")
  const freed = freedBy(live)
  const expires_ms = world.now_ms + (ask.hold_s ?? HOLD_S_DEFAULT) * 1_000
  const isNew = ({ redemption_id }: any) => (typeof redemption_id !== "string" || world.redemptions.has(redemption_id) ? "redemption_id is not new" : undefined)

  if (ask.coupons !== "best") {
    const codes = new Set<string>(), candidates: Candidate[] = []
    for (const coupon_id of ask.coupons) {
      const coupon = world.coupons.get(coupon_id)
      if (!coupon || coupon.user_id !== ask.user_id) { codes.add("coupon_unknown"); continue }
      const why = whyNotUsable(world, seenWithout(world, live, coupon))
      for (const code of why) codes.add(code)
      if (why.length === 0) candidates.push(candidateOf(world, coupon))
    }
    if (codes.size > 0) return no(codes.has("coupon_unknown") ? 0 : 409, ...codes)
    const { applied, rejected } = priceNamed(ask.order, candidates)
    if (rejected.size > 0) return no(409, ...new Set(rejected.values()))
    const unpaid = whyNotPaid(world, sharesOf(world, applied).flatMap(({ at_issue, shares }) => (at_issue ? [] : shares)), freed)
    if (unpaid.length > 0) return no(409, ...unpaid)
    return { status: 201, hit: false, body: reservedBody(ask, applied, expires_ms), judge: (body) => isNew(body) ?? isApplied(applied, body), commit: hold(world, ask, live, expires_ms) }
  }

  const candidates = [...world.coupons.values()]
    .filter((coupon) => coupon.user_id === ask.user_id && whyNotUsable(world, seenWithout(world, live, coupon)).length === 0)
    .map((coupon) => candidateOf(world, coupon))
  const best = priceBest(ask.order, candidates)
  const isPaid = (applied: readonly Applied[]) => whyNotPaid(world, sharesOf(world, applied).flatMap(({ at_issue, shares }) => (at_issue ? [] : shares)), freed).length === 0
  if (isPaid(best)) return { status: 201, hit: false, body: reservedBody(ask, best, expires_ms), judge: (body) => isNew(body) ?? isApplied(best, body), commit: hold(world, ask, live, expires_ms) }
  // Not all of the best can be paid. What is left out then is the engine's choice; what it takes must be right and paid.
  return {
    status: 201, hit: false,
    judge: (body) => isNew(body) ?? judgeApplied(ask, candidates, body) ?? (isPaid(plainly(body.applied)) ? undefined : "what was applied cannot be paid"),
    commit: hold(world, ask, live, expires_ms),
  }
}

const isApplied = (wanted: readonly Applied[], body: any): string | undefined =>
  JSON.stringify(plainly(body.applied)) === JSON.stringify(wanted) ? undefined : `must apply ${JSON.stringify(wanted)}`

/** Whether what was applied is what these coupons are worth together on this order. */
const judgeApplied = (ask: { order: Order }, candidates: readonly Candidate[], body: any): string | undefined => {
  const applied = plainly(body.applied)
  const chosen = applied.map(({ coupon_id }) => candidates.find((candidate) => candidate.coupon_id === coupon_id))
  if (chosen.some((candidate) => !candidate)) return "a coupon was applied that cannot be used"
  const again = priceBest(ask.order, chosen as Candidate[])
  const total = (list: readonly Applied[]) => list.reduce((sum, { discount_minor }) => sum + discount_minor, 0)
  if (JSON.stringify(again) !== JSON.stringify(applied)) return `the coupons are worth ${JSON.stringify(again)}`
  return body.discount_minor === total(again) && body.total_minor === orderTotal(ask.order) - total(again) ? undefined : "the sums are not those of the coupons"
}

export const quote = (world: World, ask: { user_id: string; order: Order; coupons: "best" | readonly string[] }): Expected => {
  const wanted = ask.coupons === "best" ? [...world.coupons.keys()] : ask.coupons
  const candidates: Candidate[] = [], unusable = new Set<string>()
  for (const coupon_id of wanted) {
    const coupon = world.coupons.get(coupon_id)
    if (coupon && coupon.user_id === ask.user_id && whyNotUsable(world, coupon).length === 0) candidates.push(candidateOf(world, coupon))
    else unusable.add(coupon_id)
  }
  const fits = (applied: readonly Applied[]) => whyNotPaid(world, sharesOf(world, applied).flatMap(({ at_issue, shares }) => (at_issue ? [] : shares))).length === 0
  const priced = ask.coupons === "best" ? priceBest(ask.order, candidates) : priceNamed(ask.order, candidates).applied
  const sure = fits(priced)
  const discount_minor = priced.reduce((sum, part) => sum + part.discount_minor, 0)
  return {
    status: 200,
    judge: (body) => {
      const seen = [...body.applied, ...body.rejected].map(({ coupon_id }: any) => coupon_id) as string[]
      if (new Set(seen).size !== seen.length) return "a coupon is both applied and rejected, or twice"
      if (ask.coupons !== "best" && wanted.some((coupon_id) => !seen.includes(coupon_id))) return "a named coupon is neither applied nor rejected"
      if (body.applied.some(({ coupon_id }: any) => unusable.has(coupon_id))) return "a coupon was applied that cannot be used"
      if (!sure) return undefined // What budgets have is counted with sums that may be a second old.
      if (JSON.stringify(plainly(body.applied)) === JSON.stringify(priced) && body.discount_minor === discount_minor && body.total_minor === orderTotal(ask.order) - discount_minor) return undefined
      return body.rejected.some(({ code }: any) => code === "budget_exhausted") ? undefined : `must apply ${JSON.stringify(priced)}`
    },
  }
}

export const confirm = (world: World, redemption_id: string, late: boolean): Expected => {
  const redemption = world.redemptions.get(redemption_id)
  if (!redemption) return no(404, "redemption_unknown")
  if (redemption.confirmed !== undefined) return { status: 200, hit: true, same: redemption.confirmed }
  const state = stateNow(world, redemption)
  if (state === "cancelled" || (state === "expired" && !late)) return no(409, `redemption_${state}`)
  const yes = (commit: (answer: unknown) => void): Expected => ({
    status: 200, hit: false, body: { redemption_id, state: "confirmed", discount_minor: redemption.discount_minor, total_minor: redemption.total_minor },
    commit: (answer) => { commit(answer); redemption.state = "confirmed"; redemption.confirmed = answer },
  })
  const spend = (part: Part): void => {
    const coupon = world.coupons.get(part.coupon_id)!
    coupon.state = "redeemed"
    if (part.at_issue) for (const { budget_id, minor } of coupon.holds) move(world, budget_id, -minor, 0)
    coupon.holds = []
    for (const share of part.shares) { move(world, share.budget_id, 0, share.held); share.spent = share.held; share.held = 0 }
  }
  if (redemption.state === "reserved") {
    return yes(() => {
      for (const part of redemption.parts) {
        if (!part.at_issue) for (const { budget_id, held } of part.shares) move(world, budget_id, -held, 0)
        spend(part)
      }
    })
  }
  // Late: the money is taken already. The coupons must be free, the budgets must have the money, and the order no other live redemption.
  const others = ordersOf(world, redemption.user_id, redemption.order_id).filter((each) => each !== redemption)
  if (others.some((each) => !["cancelled", "expired"].includes(stateNow(world, each)))) return no(409, "redemption_expired")
  if (redemption.parts.some(({ coupon_id }) => !["issued", "ended"].includes(world.coupons.get(coupon_id)!.state))) return no(409, "redemption_expired")
  const prices = redemption.parts.map((part) => {
    const amounts = spread(BigInt(part.discount_minor), world.campaigns.get(part.campaign_id)!.body.funding.map(({ share_bp }) => BigInt(share_bp)))
    return part.shares.map(({ budget_id }, place) => ({ budget_id, minor: Number(amounts[place]) }))
  })
  const wanted = new Map<string, number>()
  redemption.parts.forEach((part, place) => {
    const { holds } = world.coupons.get(part.coupon_id)!
    for (const { budget_id, minor } of prices[place]!) wanted.set(budget_id, (wanted.get(budget_id) ?? 0) + minor)
    for (const { budget_id, minor } of holds) wanted.set(budget_id, (wanted.get(budget_id) ?? 0) - minor)
  })
  for (const [budget_id, minor] of wanted) {
    const budget = world.budgets.get(budget_id)!
    if (minor > 0 && minor > available(budget)) return { ...no(409, "redemption_expired"), judge: ({ missing }) => (missing === undefined ? "`missing` is not said" : undefined) }
  }
  return yes(() => {
    redemption.parts.forEach((part, place) => {
      part.shares.forEach((share, i) => { share.held = prices[place]![i]!.minor })
      spend(part)
    })
  })
}

export const extend = (world: World, redemption_id: string, expires_ms: number): Expected => {
  const redemption = world.redemptions.get(redemption_id)
  if (!redemption) return no(404, "redemption_unknown")
  const state = stateNow(world, redemption)
  if (state !== "reserved") return no(409, `redemption_${state}`)
  const body = { redemption_id, state: "reserved", expires_at: new Date(expires_ms).toISOString() }
  if (expires_ms === redemption.expires_ms) return { status: 200, body }
  if (expires_ms < redemption.expires_ms) return no(409, "expires_too_early")
  if (expires_ms > redemption.reserved_ms + HOLD_MS_MAX) return no(409, "expires_too_late")
  return { status: 200, hit: false, body, commit: () => { redemption.expires_ms = expires_ms; redemption.extended = true } }
}

export const cancel = (world: World, redemption_id: string): Expected => {
  const redemption = world.redemptions.get(redemption_id)
  if (!redemption) return no(404, "redemption_unknown")
  if (redemption.cancelled !== undefined) return { status: 200, hit: true, same: redemption.cancelled }
  const state = stateNow(world, redemption)
  if (state === "cancelled") return { status: 200, body: { redemption_id, state: "cancelled" }, commit: (answer) => { redemption.cancelled = answer } }
  if (state !== "reserved") return no(409, `redemption_${state}`)
  return {
    status: 200, hit: false, body: { redemption_id, state: "cancelled" },
    commit: (answer) => { giveBack(world, redemption, "cancelled"); redemption.cancelled = answer },
  }
}

export type RefundLines = "all" | readonly { readonly line_id: string; readonly quantity: number }[]

/**
 * What of each coupon's discount lies on the first units of a line: evenly, the leftovers dealt out unit by unit, each coupon going on where
 * the one before it ended.
 */
const onFirst = (discounts: readonly number[], quantity: number, units: number): number[] => {
  let turn = 0
  return discounts.map((discount) => {
    const each = Math.floor(discount / quantity)
    let lies = each * units
    for (let over = discount - each * quantity; over > 0; over--, turn = (turn + 1) % quantity) if (turn < units) lies += 1
    return lies
  })
}

export const refund = (world: World, redemption_id: string, refund_id: string, lines: RefundLines): Expected => {
  const redemption = world.redemptions.get(redemption_id)
  if (!redemption) return no(404, "redemption_unknown")
  const sent = JSON.stringify(lines)
  const earlier = redemption.refunds.get(refund_id)
  if (earlier) return earlier.sent === sent ? { status: 201, hit: true, same: earlier.answer } : no(422, "request_conflict")
  const state = stateNow(world, redemption)
  if (state !== "confirmed" && state !== "partly_refunded") return no(409, `redemption_${state}`)
  const asked = lines === "all" ? redemption.lines.map(({ line_id, quantity, refunded }) => ({ line_id, quantity: quantity - refunded })) : lines
  for (const { line_id, quantity } of asked) {
    const line = redemption.lines.find((each) => each.line_id === line_id)
    if (!line || quantity > line.quantity - line.refunded) return { ...no(409, "refund_exceeds"), judge: (body) => (body.line_id === line_id || JSON.stringify(body).includes(JSON.stringify(line_id)) ? undefined : "the line is not named") }
  }
  const back = redemption.parts.map(() => 0)
  for (const { line_id, quantity } of asked) {
    const { quantity: bought, refunded } = redemption.lines.find((each) => each.line_id === line_id)!
    const discounts = redemption.parts.map((part) => part.lines.find((each) => each.line_id === line_id)?.discount_minor ?? 0)
    const kept = bought - refunded
    const [before, after] = [onFirst(discounts, bought, kept), onFirst(discounts, bought, kept - quantity)]
    back.forEach((_, place) => { back[place]! += before[place]! - after[place]! })
  }
  const isFull = redemption.lines.every(({ line_id, quantity, refunded }) => refunded + (asked.find((each) => each.line_id === line_id)?.quantity ?? 0) === quantity)
  const after = isFull ? "refunded" : "partly_refunded"
  return {
    status: 201, hit: false, body: { refund_id, state: after, discount_minor: back.reduce((sum, minor) => sum + minor, 0) },
    commit: (answer) => {
      for (const { line_id, quantity } of asked) redemption.lines.find((each) => each.line_id === line_id)!.refunded += quantity
      redemption.parts.forEach((part, place) => {
        const left = part.shares.map(({ spent, back: gone }) => BigInt(spent - gone))
        const amounts = spread(BigInt(back[place]!), left)
        part.shares.forEach((share, i) => { share.back += Number(amounts[i]); move(world, share.budget_id, 0, -Number(amounts[i])) })
        const allBack = part.shares.every(({ spent, back: gone }) => spent === gone)
        const coupon = world.coupons.get(part.coupon_id)!
        const isReturned = world.campaigns.get(part.campaign_id)!.body.on_refund === "return" && allBack && coupon.state === "redeemed" && (back[place]! > 0 || isFull)
        if (isReturned) free(world, coupon)
      })
      redemption.state = after
      redemption.refunds.set(refund_id, { sent, answer })
    },
  }
}

export const getRedemption = (world: World, redemption_id: string): Expected => {
  const redemption = world.redemptions.get(redemption_id)
  if (!redemption) return no(404, "redemption_unknown")
  const { order_id, user_id, discount_minor, total_minor } = redemption
  return {
    status: 200, body: { redemption_id, order_id, user_id, discount_minor, total_minor, state: stateNow(world, redemption) },
    judge: (body) => {
      if (redemption.confirmed === undefined && body.expires_at !== undefined && Date.parse(body.expires_at) !== redemption.expires_ms) return "expires_at is not the hold's end"
      return (body.refunds?.length ?? 0) === redemption.refunds.size ? undefined : `${redemption.refunds.size} refunds were made`
    },
  }
}

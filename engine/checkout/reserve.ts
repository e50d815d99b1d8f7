/**
 * Reserve: hold coupons and their money for an order, all or nothing.
 *
 * Pricing happens here and the decision in Redis: the act carries each discount with the campaign version it was priced from, and is
 * told when that has changed. No refusal, also none from pricing, is answered before Redis has looked for a replay.
 */
import type { ReplyOf } from "../../lua/declare.ts"
import { fingerprintOf, orderHash, redemptionHash, userHash } from "../../lua/keys.ts"
import { reserve } from "../../lua/reserve.ts"
import { COUPON_STATES } from "../../lua/records.ts"
import type { Answered, Caller, No } from "../answers.ts"
import { HOLD_DEFAULT_S } from "../contract/basics.ts"
import { type ReserveAsk, SEARCH_MS } from "../contract/checkout.ts"
import type { Order } from "../contract/order.ts"
import { readAgedCoupon } from "../journal/aged.ts"
import type { Budget, Funding } from "../operate/catalogue.ts"
import { budgetNotOpen, isInMonth } from "../operate/not_open.ts"
import type { Parts } from "../parts.ts"
import { splitFunding } from "../pricing/funding.ts"
import { share } from "../pricing/money.ts"
import { kindOrderOf, type Policy, policyOf } from "../pricing/policy.ts"
import type { Quote } from "../pricing/price.ts"
import { refillsOf } from "../quota/refill.ts"
import { shortagesOf, type Shortages } from "../quota/shortage.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { allocatedOf, encodeAllocation, type Allocation, type Remembered } from "./allocation.ts"
import { reservedAnswer } from "./answers.ts"
import { chooseAll, chooseNamed, quotedOf, readWallet, seenFrom, whyNotUsable, type Choice, type Left } from "./choose.ts"
import { findRedemption, isFound } from "./find.ts"
import { placesOf, type Places } from "./places.ts"
import { tooMuch } from "./say.ts"
import { budgetsOf, payersOf } from "./payers.ts"
import { priceBeside } from "./price_beside.ts"
import { withLevels } from "./shopper.ts"
import { readSigned, type Signed } from "./signed.ts"
import { rejectedOf, stepsOf } from "./quote.ts"

/** A reserve is priced anew when a campaign changed, a lease was short (twice for each budget that is gone) or a coupon of "best" was taken meanwhile: so many times. */
const TRIES_MAX = 24

/** What of a coupon's cost one budget pays. */
interface Payment extends Funding { readonly amount_minor: number }
/** The coupons that are applied, with who pays each, and whether out of money that was held at issue. */
interface Plan { readonly quote: Quote; readonly choices: Choice[]; readonly payments: Payment[][]; readonly at_issue: boolean[] }

/** A request to reserve: what it asks, and where in its user's cell it goes. */
interface Request {
  readonly ask: ReserveAsk
  /** The signed quote at whose price it is held. */
  readonly signed: Signed | undefined
  readonly request_id: string
  readonly user: string
  readonly order: string
  readonly redemption: string
  readonly redemption_id: string
  readonly fingerprint: string
  readonly places: Places
  readonly now_ms: number
}

/** What the tries of a request have found out so far. */
interface Findings {
  /** Coupons of "best" that turned out not to be usable, and why. */
  readonly dropped: Map<string, Left>
  /** What is left of budgets that Redis has found short, by its own word: what is priced anew is priced with it. */
  readonly short: Map<string, number>
  /** Coupons of a signed quote that have ended, and their money of the issue with them. */
  readonly ended: Set<string>
  /** 1: a mark without a record anywhere belongs to another id. */
  is_new: 0 | 1
  /** The budgets that its cell lacks. */
  readonly shortages: Shortages
}

/** The ask as it would be sent without naming a default; the ask itself where it names none, as nearly all do. */
const withoutDefaults = (ask: ReserveAsk): ReserveAsk => {
  if (ask.request_id !== ask.order_id && ask.hold_s !== HOLD_DEFAULT_S && ask.budget_ms !== SEARCH_MS) return ask
  const { request_id, hold_s, budget_ms, ...rest } = ask
  return {
    ...rest,
    ...(request_id === undefined || request_id === ask.order_id ? {} : { request_id }),
    ...(hold_s === undefined || hold_s === HOLD_DEFAULT_S ? {} : { hold_s }),
    ...(budget_ms === undefined || budget_ms === SEARCH_MS ? {} : { budget_ms }),
  }
}

const requestOf = ({ cells }: Parts, ask: ReserveAsk, now_ms: number): Request => {
  const { user_id, order_id, request_id = order_id } = ask
  const user = userHash(user_id), redemption = redemptionHash(user, order_id, request_id)
  return {
    ask, signed: undefined, request_id, user, order: orderHash(order_id), redemption, redemption_id: user + redemption,
    fingerprint: fingerprintOf(withoutDefaults(ask)), places: placesOf(user, cells, now_ms), now_ms,
  }
}

/** The policy that a coupon is priced by, every axis of it. */
const policyFor = ({ profile }: ReserveAsk, { campaign: { terms } }: Choice): Policy => policyOf(profile, terms.profile)

/** What a refund needs that looks again; nothing where no applied coupon asks for it. */
const rememberedOf = (ask: ReserveAsk, choices: readonly Choice[], at_ms: number): Remembered | undefined =>
  choices.some(({ campaign }) => campaign.body.refund_policy === "re_evaluate")
    ? {
      order: withoutHashed(ask.order), at_ms, kind_order: kindOrderOf(ask.profile),
      coupons: choices.map((choice) => [choice.campaign.campaign_no, choice.campaign.version, choice.campaign.body.refund_policy === "re_evaluate" ? 1 : 0, policyFor(ask, choice)]),
    }
    : undefined

/** What is stored of a plan. `left` is told where "best" was asked for. */
const allocationOf = (ask: ReserveAsk, request_id: string, { quote, choices }: Plan, left: readonly Left[] | undefined, at_ms: number): Allocation => ({
  order_id: ask.order_id, user_id: ask.user_id, request_id, hold_ms: (ask.hold_s ?? HOLD_DEFAULT_S) * 1_000,
  discount_minor: quote.discount_minor, total_minor: quote.total_minor, profile: quote.profile, proved: quote.proved, gap_minor: quote.gap_minor,
  lines: ask.order.lines.map(({ line_id, quantity, unit_price_minor }) => ({ line_id, quantity, refunded: 0, unit_price_minor })),
  applied: allocatedOf(quote.applied, ask.order.lines),
  rejected: left && [...left.map(rejectedOf), ...quote.rejected],
  remembered: rememberedOf(ask, choices, at_ms),
})

/** An order without the ids that are stored only as keyed hashes. */
const withoutHashed = ({ device_id: _, payment_id: __, address_id: ___, ...order }: Order) => order

/**
 * The facts of the entry: what later jobs need and cannot ask for again. Ids of devices, payments and addresses only as keyed hashes. The
 * policy stands in full, because a profile's name may come to mean something else; a coupon has its own where its campaign names one. What the
 * flusher reads of it stands before the order.
 */
const payloadOf = ({ hashId }: Parts, ask: ReserveAsk, { request_id, redemption_id }: Request, { quote, choices, payments }: Plan): string => {
  const { device_id, payment_id, address_id } = ask.order
  return JSON.stringify({
    redemption_id, order_id: ask.order_id, user_id: ask.user_id, request_id,
    // JSON leaves out what is undefined: an id that was not sent, and each that was.
    order: {
      ...ask.order, device_id: undefined, payment_id: undefined, address_id: undefined,
      device: device_id && hashId("device", device_id), payment: payment_id && hashId("payment", payment_id), address: address_id && hashId("address", address_id),
    },
    discount_minor: quote.discount_minor, shipping_discount_minor: quote.shipping_discount_minor, total_minor: quote.total_minor,
    benefit_minor: quote.benefit_minor, cost_minor: quote.cost_minor, policy: policyOf(ask.profile, undefined),
    applied: quote.applied.map((applied, i) => {
      const choice = choices[i]!
      const { campaign } = choice
      return {
        ...applied, version: campaign.version, policy: campaign.terms.profile === undefined ? undefined : policyFor(ask, choice),
        funding: payments[i]!.map(({ budget, share_bp, amount_minor }) => ({ budget_id: budget.budget_id, party: budget.party, share_bp, amount_minor })),
      }
    }),
  })
}

/** What a request for the same redemption was answered before, or `request_conflict`, or nothing. */
const replayOf = async (parts: Parts, { redemption_id, fingerprint, now_ms }: Request): Promise<Answered | undefined> => {
  const found = await findRedemption(parts, redemption_id, now_ms, "read")
  if (!isFound(found)) return undefined
  if (found.head.fingerprint !== fingerprint) return { outcome: "request_conflict" }
  return { outcome: "reserved", body: reservedAnswer(redemption_id, found.allocation, found.head.reserved_ms), hit: true }
}

/** Why a coupon that is not in its wallet cannot be used: it may have aged out of Redis. */
const whyAbsent = async (parts: Parts, coupon_id: string): Promise<No> => {
  const aged = await readAgedCoupon(parts, coupon_id)
  const word = aged && COUPON_STATES[aged.state - 1]
  if (!aged || word === undefined) return { outcome: "coupon_unknown", coupon_id }
  if (word === "redeemed" || word === "revoked") return { outcome: `coupon_${word}`, coupon_id }
  return { outcome: "coupon_ended", coupon_id, ended_at: new Date(aged.ends_at_ms).toISOString() }
}

/** Reserve coupons for an order. */
export const reserveWith = (parts: Parts) => async (sent: ReserveAsk, caller: Caller): Promise<Answered> => {
  const { now_ms } = caller
  let request = requestOf(parts, sent, now_ms)
  if (sent.quote !== undefined) {
    const signed = await readSigned(parts, sent.quote, sent.user_id, sent.order, now_ms)
    if ("no" in signed) return await replayOf(parts, request) ?? signed.no
    request = { ...request, signed, ask: { ...sent, order: signed.order, coupons: [...signed.coupon_ids], profile: signed.profile } }
  }
  const findings: Findings = { dropped: new Map(), short: new Map(), ended: new Set(), is_new: 0, shortages: shortagesOf(parts, request.places.cell, now_ms) }
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const answered = await tryOnce(parts, caller, request, findings)
    if (answered) return answered
  }
  if (findings.shortages.hasWaited()) return { outcome: "quota_busy" }
  throw new NotExecuted("the order's coupons kept changing")
}

/** Choose, price, and ask Redis; nothing where that has to be done anew with what was found out. */
const tryOnce = async (parts: Parts, caller: Caller, request: Request, findings: Findings): Promise<Answered | undefined> => {
  const { signed, user, order, redemption, fingerprint, places, now_ms } = request
  const { dropped, ended } = findings
  const { coupons = [] } = request.ask
  const isBest = coupons === "best"
  const chosen = isBest ? await chooseAll(parts, caller, places, user, { order }) : await chooseNamed(parts, caller, user, coupons)
  const seen = dropped.size === 0 ? chosen.choices : chosen.choices.filter(({ coupon_id }) => !dropped.has(coupon_id))
  const choices = signed ? await asThen(parts, seen, signed) : seen
  const ask = signed ? request.ask : await askWithLevels(parts, user, request.ask, choices)
  const quote = signed?.quote ?? quotedOf(await priceFor(parts, ask, choices, findings.short, now_ms), chosen)

  if (!isBest && (chosen.left.length > 0 || quote.rejected.length > 0)) {
    return await replayOf(parts, request) ?? await refusal(parts, request, choices, chosen.left[0]?.no ?? rejection(quote))
  }
  const uncounted = tooMuch(quote, "coupons")
  if (uncounted) return await replayOf(parts, request) ?? uncounted
  const plan = await planOf(parts, places, quote, choices, now_ms, signed && ended)
  if ("no" in plan) {
    if (!isBest) return await replayOf(parts, request) ?? await refusal(parts, request, choices, plan.no.no)
    dropped.set(plan.no.coupon_id, plan.no)
    return undefined
  }
  const left = isBest ? [...chosen.left, ...dropped.values()] : undefined
  const allocation = allocationOf(ask, request.request_id, plan, left, signed?.signed_ms ?? now_ms)
  const reply = await act(parts.redis, reserve, {
    keys: places.keys,
    args: {
      now_ms, user, order, redemption, fingerprint, hold_ms: allocation.hold_ms, remember_ms: parts.remember_ms, hour: places.hour,
      coupons: plan.choices.map(({ field, campaign }, i) => {
        const { cost_minor } = quote.applied[i]!
        return [field, campaign.campaign_no, campaign.version, cost_minor, plan.at_issue[i] ? 1 : 0,
          plan.payments[i]!.map(({ budget, amount_minor }) => [budget.budget_no, amount_minor])]
      }),
      is_new: findings.is_new, signed_ms: signed?.signed_ms ?? 0, body: encodeAllocation(allocation), payload: payloadOf(parts, ask, request, plan),
    },
  })
  if (reply.outcome !== "reserved") return refusedBy(reply, parts, request, ask, plan, findings)
  if (parts.cells > 1) {
    const paid = plan.payments.filter((_, i) => plan.choices[i]!.campaign.body.hold_at !== "issue").flat()
    refillsOf(parts).hear(paid.map(({ budget, amount_minor }) => ({ cell: places.cell, name: `b${budget.budget_no}`, used: amount_minor })), now_ms)
  }
  return { outcome: "reserved", body: reservedAnswer(request.redemption_id, allocation, reply.reserved_at_ms) }
}

/** What Redis has refused as an answer; nothing where the request can be tried again with what it has said. */
const refusedBy = async (
  reply: Exclude<ReplyOf<typeof reserve>, { outcome: "reserved" | "gate_closed" }>, parts: Parts, request: Request, ask: ReserveAsk, plan: Plan, findings: Findings,
): Promise<Answered | undefined> => {
  const { signed, user, places, now_ms } = request
  const { dropped, short, ended, shortages } = findings
  const isBest = ask.coupons === "best"
  const coupon_id = "field" in reply ? user + reply.field : ""
  const place = plan.choices.findIndex((choice) => choice.coupon_id === coupon_id)
  /** "best" goes on without the coupon. */
  const refuse = (no: No): Answered | undefined => {
    if (!isBest) return no
    dropped.set(coupon_id, { coupon_id, campaign_id: plan.choices[place]!.campaign.campaign_id, no })
    return undefined
  }
  switch (reply.outcome) {
    case "repeated": {
      const replay = await replayOf(parts, request)
      if (!replay) findings.is_new = 1
      return replay
    }
    case "journal_full": return { outcome: "journal_full" }
    case "redemption_confirmed": return { outcome: "redemption_confirmed" }
    case "coupon_unknown": return refuse(await whyAbsent(parts, coupon_id))
    case "coupon_reserved": case "coupon_redeemed": case "coupon_revoked":
    case "campaign_stopped": case "campaign_paused": return refuse({ outcome: reply.outcome, coupon_id })
    case "coupon_ended":
      // The money held at issue went back meanwhile: a promise is paid by budgets then.
      if (signed && !ended.has(coupon_id) && plan.at_issue[place]) {
        ended.add(coupon_id)
        return undefined
      }
      return refuse({ outcome: "coupon_ended", coupon_id, ended_at: new Date(reply.ended_at_ms).toISOString() })
    case "campaign_changed":
      await parts.catalogue.readAgain(plan.choices[place]!.campaign.campaign_no)
      return undefined
    case "budget_not_open": case "budget_exhausted": {
      const budget = await parts.catalogue.budgetByNo(reply.budget)
      // A cell that never had any of a budget does not know its month.
      const isShut = reply.outcome === "budget_not_open" || budget !== undefined && !isInMonth(budget, now_ms)
      if (isShut) return refuse({ ...budgetNotOpen(plan.choices[place]!.campaign, budget?.budget_id, budget, now_ms), coupon_id })
      if (budget) {
        const word = await shortages.ask(`b${reply.budget}`, reply.missing_minor, reply.left_minor)
        if (word.outcome === "again") return undefined
        if (word.outcome === "busy") return { outcome: "quota_busy" }
        // One that is short may give less, and "best" may have another coupon: pricing says which, with what all cells have.
        if (!signed && (isBest || policyFor(ask, plan.choices[place]!).budget_short === "partial")) {
          short.set(budget.budget_id, leftOf(plan, budget, coupon_id, reply.missing_minor + reply.left_minor - word.unused))
          return undefined
        }
      }
      return refuse({ outcome: "budget_exhausted", coupon_id, budget_id: budget?.budget_id })
    }
  }
}

/** What is asked, with the levels that are stored of the user where a coupon asks for one. */
const askWithLevels = async (parts: Parts, user: string, ask: ReserveAsk, choices: readonly Choice[]): Promise<ReserveAsk> => {
  const order = await withLevels(parts, user, ask.order, choices.map(({ held }) => held))
  return order === ask.order ? ask : { ...ask, order }
}

/** Price the order; who pays matters only where a budget was found short, or one is to be spared. */
const priceFor = async (parts: Parts, ask: ReserveAsk, choices: readonly Choice[], short: ReadonlyMap<string, number>, now_ms: number): Promise<Quote> => {
  const wish = ask.coupons === "best" ? "best" : "named"
  const setting = { now_ms, profile: ask.profile, steps_max: stepsOf(ask) }
  if (short.size === 0 && !ask.minimise) return priceBeside(ask.order, choices.map(({ held }) => held), wish, setting)
  const payers = await payersOf(parts, choices, now_ms)
  return priceBeside(ask.order, payers.held, wish, { ...setting, funds: short, minimise: ask.minimise && budgetsOf(payers, ask.minimise.line) })
}

/** What of a budget there was for the whole act, when a coupon of it lacked so much: what those up to it take, less that. */
const leftOf = ({ quote, payments }: Plan, { budget_no }: Budget, coupon_id: string, missing_minor: number): number => {
  const last = quote.applied.findIndex((applied) => applied.coupon_id === coupon_id)
  const upTo = payments.slice(0, last + 1).flat().filter(({ budget }) => budget.budget_no === budget_no)
  return upTo.reduce((sum, { amount_minor }) => sum + amount_minor, -missing_minor)
}

/** Who pays a cost whose money was held at issue: the budgets that hold it, none of them more than it holds. */
const heldPayments = async (parts: Parts, { campaign: { body } }: Choice, holds: NonNullable<Choice["holds"]>, cost_minor: number): Promise<Payment[]> => {
  const amounts = share(cost_minor, body.funding.map(({ share_bp }) => share_bp), holds.map(([, held_minor]) => held_minor))
  return Promise.all(holds.map(async ([budget_no], i) => {
    const budget = await parts.catalogue.budgetByNo(budget_no)
    if (!budget) throw new Error(`budget ${budget_no} has gone`)
    return { budget, share_bp: body.funding[i]!.share_bp, amount_minor: amounts[i]! }
  }))
}

/**
 * The coupons of a quote in the order of application with the budgets that pay them, or the first that none pays. A coupon whose money
 * was held at issue needs no open budget, but its wallet's word for what is held. A signed one whose end gave that money back is paid by
 * the budgets of now: `ended` are those that Redis has said so of.
 */
const planOf = async (parts: Parts, places: Places, quote: Quote, choices: readonly Choice[], now_ms: number, ended: ReadonlySet<string> | undefined): Promise<Plan | { no: Left }> => {
  const inOrder = quote.applied.map(({ coupon_id }) => choices.find((each) => each.coupon_id === coupon_id)!)
  const unread = inOrder.filter(({ campaign, holds }) => campaign.body.hold_at === "issue" && !holds).map(({ field }) => field)
  const read = unread.length > 0 ? (await readWallet(parts, places, now_ms, { fields: unread })).coupons : undefined
  const payments: Payment[][] = [], at_issue: boolean[] = []
  for (const [i, choice] of inOrder.entries()) {
    const { coupon_id, field, campaign } = choice
    const { cost_minor } = quote.applied[i]!
    const record = read?.get(field)
    const isPaid = campaign.body.hold_at === "issue" && !(ended && (ended.has(coupon_id) || record !== undefined && COUPON_STATES[record.state - 1] === "ended"))
    at_issue.push(isPaid)
    if (isPaid) {
      const holds = choice.holds ?? record?.holds
      // One that holds no money has ended, was used, or is not there: `refusal` says which.
      if (!holds) return { no: { coupon_id, campaign_id: campaign.campaign_id, no: { outcome: "coupon_unknown", coupon_id } } }
      payments.push(await heldPayments(parts, choice, holds, cost_minor))
      continue
    }
    const funding = await parts.catalogue.fundingAt(campaign, now_ms)
    if ("missing" in funding) {
      return { no: { coupon_id, campaign_id: campaign.campaign_id, no: { ...budgetNotOpen(campaign, funding.missing, undefined, now_ms), coupon_id } } }
    }
    const amounts = splitFunding(cost_minor, funding)
    payments.push(funding.map((part, place) => ({ ...part, amount_minor: amounts[place]! })))
  }
  return { quote, choices: inOrder, payments, at_issue }
}

/** The coupons of a promise with their campaigns' versions and terms of then. */
const asThen = (parts: Parts, choices: readonly Choice[], { coupon_ids, versions }: Signed): Promise<Choice[]> =>
  Promise.all(choices.map(async (choice) => {
    const version = versions[coupon_ids.indexOf(choice.coupon_id)]!
    return { ...choice, campaign: { ...choice.campaign, version, terms: await parts.catalogue.termsOf(choice.campaign.campaign_no, version) } }
  }))

const rejection = (quote: Quote): No => {
  const { code, detail, ...why } = quote.rejected[0]!
  return { ...why, outcome: code, detail } as No
}

/**
 * The no of a named list that was refused before any act. What the order and the wallet say goes first: the order may have been
 * confirmed, and a coupon's own no is worth more than what its terms or its budgets would say.
 */
const refusal = async (parts: Parts, { places, now_ms, user, order }: Request, choices: readonly Choice[], no: No): Promise<Answered> => {
  const { coupons, current, at_ms } = await readWallet(parts, places, now_ms, { fields: choices.length > 0 ? choices.map(({ field }) => field) : ["-"], order })
  if (current !== "") {
    const last = await findRedemption(parts, user + current, now_ms, "read")
    if (isFound(last) && last.head.confirmed_ms !== undefined) return { outcome: "redemption_confirmed" }
  }
  for (const { coupon_id, field, campaign } of choices) {
    const record = coupons.get(field)
    const its = record ? whyNotUsable(coupon_id, seenFrom(current, record), campaign, at_ms) : await whyAbsent(parts, coupon_id)
    if (its) return its
  }
  return no
}

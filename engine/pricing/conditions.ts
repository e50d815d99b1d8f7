// The conditions of a coupon, one small rule each, in the order of their reasons: the first that fails is the answer.
//
// What must stay true: CONDITIONS stands in the order of REASONS, a condition is pure, and its `needs` name only what
// the shopper can change; a condition that he cannot help gives none. `nothing_to_discount`, the last reason, is the
// kind's own word: an effect that is nothing.

import { sumAt } from "./cart.ts"
import type { Candidate } from "./candidate.ts"
import type { Cart, Needs, Reason, Sheet } from "./types.ts"

/** Why a condition fails, and what would make it hold. */
export type Lack = { readonly detail: string; readonly needs?: Needs }

export type Condition = {
  readonly reason: Reason
  /** It looks at the cart as earlier coupons have left it, so it is judged again when the coupon's turn comes. */
  readonly running?: true
  readonly judge: (candidate: Candidate, sheet: Sheet, cart: Cart) => Lack | undefined
}

const currency: Condition = {
  reason: "currency",
  judge: ({ terms }, { order }) =>
    terms.currency === undefined || terms.currency === order.currency
      ? undefined
      : { detail: `The coupon is in ${terms.currency} and the order in ${order.currency}.` },
}

const channel: Condition = {
  reason: "channel",
  judge: ({ terms }, { order }) =>
    isOneOf(terms.channels, order.channel)
      ? undefined
      : { detail: `The coupon is not for the channel ${order.channel ?? "of this order, which names none"}.` },
}

const region: Condition = {
  reason: "region",
  judge: ({ terms }, { order }) =>
    isOneOf(terms.regions, order.region)
      ? undefined
      : { detail: `The coupon is not for the region ${order.region ?? "of this order, which names none"}.` },
}

const paymentMethod: Condition = {
  reason: "payment_method",
  judge: ({ terms }, { order }) => {
    if (isOneOf(terms.paymentMethods, order.payment_method)) return undefined
    const [payment_method] = terms.paymentMethods!
    return { detail: `The coupon asks for payment by ${list(terms.paymentMethods!)}.`, needs: { payment_method: payment_method! } }
  },
}

const paymentInstrument: Condition = {
  reason: "payment_instrument",
  judge: ({ terms }, { order }) => {
    const instrument = order.payment_instrument
    if (!isOneOf(terms.paymentInstruments, instrument))
      return { detail: `The coupon asks for one of the instruments ${list(terms.paymentInstruments!)}.` }
    if (instrument !== undefined && terms.notPaymentInstruments?.has(instrument))
      return { detail: `The coupon is not for the instrument ${instrument}.` }
    return undefined
  },
}

const hours: Condition = {
  reason: "hours",
  judge: ({ terms, coupon }, { nowMs }) => {
    if (!terms.hours || terms.hours.openAt(nowMs)) return undefined
    const { from, to, time_zone } = terms.hours.hours
    const nextMs = terms.hours.nextMs(nowMs)
    const detail = `The coupon is open from ${from} to ${to} (${time_zone}) on its weekdays.`
    // A coupon that ends before its hours open again is beyond help.
    return nextMs === undefined || nextMs >= coupon.ends_at_ms ? { detail } : { detail, needs: { from_at: new Date(nextMs).toISOString() } }
  },
}

const firstOrder: Condition = {
  reason: "first_order",
  judge: ({ terms }, { order }) =>
    terms.firstOrder && order.first_order !== true ? { detail: "The coupon is for a first order." } : undefined,
}

const segment: Condition = {
  reason: "segment",
  judge: ({ terms }, { order }) =>
    !terms.segments || order.segments?.some((name) => terms.segments!.has(name))
      ? undefined
      : { detail: "The coupon is for segments that this user is not in." },
}

const badge: Condition = {
  reason: "badge",
  judge: ({ terms }, { order }) => {
    if (!terms.minBadge) return undefined
    const { badge_id, level } = terms.minBadge
    const held = order.badges?.[badge_id]
    return held !== undefined && held >= level
      ? undefined
      : { detail: `The coupon asks for level ${level} of the badge ${badge_id}.` }
  },
}

const lines: Condition = {
  reason: "lines",
  judge: (candidate) => {
    if (candidate.lines.length > 0) return undefined
    const { thresholdMinor, thresholdQuantity, thresholdOf } = candidate.terms
    // What thresholds on its lines lack is said by their own conditions; without any, one unit will do.
    const areTheirs = thresholdOf !== "order" && (thresholdMinor > 0 || thresholdQuantity > 0)
    const needs = areTheirs ? {} : { quantity_more: 1 }
    return { detail: "No line of the order is one that the coupon speaks of.", needs }
  },
}

const quantity: Condition = {
  reason: "quantity",
  judge: (candidate, sheet) => {
    const wanted = candidate.terms.thresholdQuantity
    if (wanted === 0) return undefined
    const units = sumAt(sheet.quantities, thresholdPlaces(candidate, sheet))
    if (units >= wanted) return undefined
    return {
      detail: `The order has ${units} of the ${wanted} units that the coupon asks for.`,
      needs: { quantity_more: wanted - units },
    }
  },
}

const threshold: Condition = {
  reason: "threshold",
  running: true,
  judge: (candidate, sheet, cart) => {
    const missing = spendMissing(candidate, sheet, cart)
    if (missing <= 0) return undefined
    const wanted = candidate.terms.thresholdMinor
    return {
      detail: `The items come to ${wanted - missing} of the ${wanted} that the coupon asks for.`,
      needs: { spend_more_minor: missing },
    }
  },
}

export const CONDITIONS: readonly Condition[] = [
  currency,
  channel,
  region,
  paymentMethod,
  paymentInstrument,
  hours,
  firstOrder,
  segment,
  badge,
  lines,
  quantity,
  threshold,
]

const RUNNING = CONDITIONS.filter((condition) => condition.running)

/** What the threshold's own sum lacks; at or below 0 it is reached. */
export function spendMissing(candidate: Candidate, sheet: Sheet, cart: Cart): number {
  const wanted = candidate.terms.thresholdMinor
  if (wanted === 0) return 0
  const amounts = candidate.thresholdSees === "original" ? sheet.amounts : cart.left
  return wanted - sumAt(amounts, thresholdPlaces(candidate, sheet))
}

const thresholdPlaces = (candidate: Candidate, sheet: Sheet): readonly number[] =>
  candidate.terms.thresholdOf === "order" ? sheet.all : candidate.lines

/** The first condition that fails. */
export function firstLack(
  candidate: Candidate,
  sheet: Sheet,
  cart: Cart,
): { reason: Reason; detail: string } | undefined {
  return firstOf(CONDITIONS, candidate, sheet, cart)
}

/** The same, of those that earlier coupons can have changed. */
export function firstRunningLack(
  candidate: Candidate,
  sheet: Sheet,
  cart: Cart,
): { reason: Reason; detail: string } | undefined {
  return firstOf(RUNNING, candidate, sheet, cart)
}

function firstOf(conditions: readonly Condition[], candidate: Candidate, sheet: Sheet, cart: Cart) {
  for (let i = 0; i < conditions.length; i++) {
    const lack = conditions[i]!.judge(candidate, sheet, cart)
    if (lack) return { reason: conditions[i]!.reason, detail: lack.detail }
  }
  return undefined
}

const isOneOf = (allowed: ReadonlySet<string> | undefined, value: string | undefined): boolean =>
  !allowed || (value !== undefined && allowed.has(value))

const list = (names: ReadonlySet<string>): string => [...names].join(" or ")

/**
 * What Redis has to hold for what Postgres remembers: the one place that knows, for the rebuild that writes it, the check that
 * compares it, and the sweeper that lets it age.
 *
 * Pure. What must stay true: it judges as the Lua bodies `evict`, `evict_settled` and `end_coupons` do, so that what ages here is what
 * they let go.
 */
import { HOUR_MS, hourOf, MARK_CHARS } from "../../lua/keys.ts"
import {
  CAMPAIGN_STATES, COUPON_STATES, fromValues, REDEMPTION_STATES, type CouponRecord, type RedemptionRecord, type Values,
} from "../../lua/records.ts"

/** What of a campaign decides whether a coupon is over. */
export interface CampaignFacts { readonly state: number; readonly ends_ms: number }
export type CampaignsByNo = ReadonlyMap<number, CampaignFacts>

/** How long things stay, and at which instant that is judged. */
export interface Ages { readonly now_ms: number; readonly age_ms: number; readonly remember_ms: number }

export const STOPPED = CAMPAIGN_STATES.indexOf("stopped") + 1
export const ISSUED = COUPON_STATES.indexOf("issued") + 1
export const RESERVED_COUPON = COUPON_STATES.indexOf("reserved") + 1
export const OPEN = REDEMPTION_STATES.indexOf("reserved") + 1
const NOTHING: ReadonlySet<number> = new Set([REDEMPTION_STATES.indexOf("cancelled") + 1, REDEMPTION_STATES.indexOf("expired") + 1])

/** A JSON column, whether the connection has parsed it or not. */
export const jsonOf = (value: unknown): unknown => typeof value === "string" ? JSON.parse(value) : value

export interface StoredCoupon {
  readonly coupon_id: string; readonly state: number; readonly ends_at_ms: number; readonly fingerprint: string
  readonly redemption: string | null; readonly since_ms: number | null; readonly holds: unknown
}
export interface StoredRedemption { readonly redemption_id: string; readonly state: number; readonly head: unknown; readonly body: string; readonly since_ms: number }

/** A coupon's record from its row. */
export const couponFrom = (row: StoredCoupon): CouponRecord => ({
  state: row.state, ends_at_ms: row.ends_at_ms, fingerprint: row.fingerprint,
  ...(row.redemption === null ? {} : { redemption: row.redemption }),
  ...(row.since_ms === null ? {} : { since_ms: row.since_ms }),
  ...(row.holds === null ? {} : { holds: jsonOf(row.holds) as [number, number][] }),
})

/** A redemption's record from its row. */
export const redemptionFrom = (row: Pick<StoredRedemption, "head">): RedemptionRecord => fromValues("redemption", jsonOf(row.head) as Values)

/** Nobody can use this coupon any more: its end has passed, or its campaign was stopped. */
export const isOver = (coupon: CouponRecord, campaign: CampaignFacts | undefined, now_ms: number): boolean =>
  coupon.ends_at_ms <= now_ms || campaign?.state === STOPPED

/** Whether the sweeper has to end a coupon, because it holds money that nobody can spend. */
export const mustEnd = (coupon: CouponRecord, campaign: CampaignFacts | undefined, now_ms: number): boolean =>
  coupon.holds !== undefined && coupon.state === ISSUED && campaign !== undefined && isOver(coupon, campaign, now_ms)

/** Since when a coupon is over as `evict` counts it, or nothing while it may still be used or ended. */
export const overSince = (coupon: CouponRecord, campaign: CampaignFacts | undefined, { now_ms }: Ages): number | undefined => {
  const terminal = coupon.state !== ISSUED && coupon.state !== RESERVED_COUPON
  const over = terminal || (coupon.state === ISSUED && coupon.holds === undefined && campaign !== undefined && isOver(coupon, campaign, now_ms))
  return over ? coupon.since_ms ?? coupon.ends_at_ms : undefined
}

/** Whether a coupon may have left Redis. */
export const isAged = (coupon: CouponRecord, campaign: CampaignFacts | undefined, ages: Ages): boolean => {
  const over_ms = overSince(coupon, campaign, ages)
  return over_ms !== undefined && over_ms + ages.age_ms <= ages.now_ms
}

/** The mark that an aged coupon leaves, and the hour in which it may be forgotten. */
export const couponMark = (field: string): string => `m${field.slice(0, MARK_CHARS)}`
export const couponMarkHour = (over_ms: number, { age_ms, remember_ms }: Ages): number => hourOf(over_ms + age_ms + remember_ms)
export const isHourOver = (hour: number, now_ms: number): boolean => (hour + 1) * HOUR_MS <= now_ms

/** A count leaves when its campaign can issue no more. */
export const isCountOver = (campaign: CampaignFacts | undefined, { now_ms, age_ms }: Ages): boolean =>
  campaign === undefined || campaign.state === STOPPED || campaign.ends_ms + age_ms <= now_ms

/** The wallet's mark of a redemption: "o" while it is open; else "x" for one that came to nothing or "c", and the hour it was settled. */
export const redemptionMark = (state: number, since_ms: number): string =>
  state === OPEN ? "o" : `${NOTHING.has(state) ? "x" : "c"}${hourOf(since_ms)}`

/** Whether the settled redemptions of an hour may have left Redis. */
export const isHourAged = (hour: number, { now_ms, age_ms }: Ages): boolean => (hour + 1) * HOUR_MS + age_ms <= now_ms
/** Whether the mark of a settled redemption may be forgotten. */
export const isMarkForgotten = (hour: number, { now_ms, remember_ms }: Ages): boolean => (hour + 1) * HOUR_MS + remember_ms <= now_ms

/**
 * When a wallet's coupon has to be looked at again: to be ended, or to leave. One that is held may be free again before its end, with
 * money that has to come back then; a hold that outlasts it ends it.
 */
export const couponDue = (coupon: CouponRecord, { now_ms, age_ms }: Ages): number =>
  coupon.state === ISSUED ? (coupon.holds ? coupon.ends_at_ms : coupon.ends_at_ms + age_ms)
  : coupon.state === RESERVED_COUPON ? (coupon.holds && coupon.ends_at_ms > now_ms ? coupon.ends_at_ms : Math.max(coupon.ends_at_ms, now_ms) + age_ms)
  : (coupon.since_ms ?? now_ms) + age_ms

/** The mark of a refused grant, and the hour in which it may be forgotten. */
export const refusedMark = (nonce: string): string => `c${nonce}`
export const refusedMarkHour = (at_ms: number, { remember_ms }: Pick<Ages, "remember_ms">): number => hourOf(at_ms + remember_ms)

/** Codes leave Redis when their campaign can issue no more; those of a draft, which no cell knows, stay. */
export const isBatchOver = (campaign: CampaignFacts | undefined, ages: Ages): boolean => campaign !== undefined && isCountOver(campaign, ages)

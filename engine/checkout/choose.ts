/**
 * Which coupons an order is priced with: the named ones, or all of a wallet that may be used.
 *
 * A coupon_id says its holder, its place in the wallet and its campaign, so named coupons are priced without asking Redis; the act
 * itself finds out whether they are there. For "best" the wallet is read first.
 */
import { decode } from "@msgpack/msgpack"
import { campaignOfField, readCouponId } from "../../lua/keys.ts"
import { peek } from "../../lua/peek.ts"
import { COUPON_STATES, fromValues, type CouponRecord } from "../../lua/records.ts"
import type { Caller, No, Outcome } from "../answers.ts"
import { COUPONS_MAX } from "../contract/basics.ts"
import { BEST_COUPONS_MAX, USED_TOLD_MAX } from "../contract/checkout.ts"
import type { Campaign } from "../operate/catalogue.ts"
import { mayTouch } from "../operate/lines.ts"
import type { Parts } from "../parts.ts"
import type { HeldCoupon, Quote } from "../pricing/types.ts"
import { act } from "../store/redis.ts"
import type { Places } from "./places.ts"

const ISSUED = COUPON_STATES.indexOf("issued") + 1
const RESERVED = COUPON_STATES.indexOf("reserved") + 1

/** A coupon that may be priced, with its campaign. */
export interface Choice {
  readonly coupon_id: string; readonly field: string; readonly campaign: Campaign; readonly held: HeldCoupon
  /** The money held since its issue, where the wallet was read. */
  readonly holds?: CouponRecord["holds"]
}
/** A coupon that cannot be used, and why. */
export interface Left { readonly coupon_id: string; readonly campaign_id?: string; readonly no: No }

/** `is_cut`: the wallet has more that may be used than was looked at. */
export interface Chosen { readonly choices: Choice[]; readonly left: Left[]; readonly is_cut?: true }

/** A quote for which not all of the wallet was looked at proves nothing: what is left to pay is what more could at most come off. */
export const quotedOf = (quote: Quote, { is_cut }: Pick<Chosen, "is_cut">): Quote => is_cut ? { ...quote, proved: false, gap_minor: Math.max(quote.gap_minor, quote.total_minor) } : quote

/**
 * Those that "best" looks at: of a campaign as many as may be applied, of all BEST_COUPONS_MAX; they are alike, so those that end first go first, as
 * among equal sets.
 */
const lookedAt = (choices: readonly Choice[]): Choice[] => {
  const taken = new Map<number, number>(), looked: Choice[] = []
  const inOrder = choices.toSorted((a, b) => a.held.ends_at_ms - b.held.ends_at_ms || (a.coupon_id < b.coupon_id ? -1 : 1))
  for (const one of inOrder) {
    const before = taken.get(one.campaign.campaign_no) ?? 0
    if (looked.length === BEST_COUPONS_MAX) break
    if (before === COUPONS_MAX) continue
    taken.set(one.campaign.campaign_no, before + 1)
    looked.push(one)
  }
  return looked
}

const choice = (coupon_id: string, field: string, campaign: Campaign, ends_at_ms: number, holds?: CouponRecord["holds"]): Choice =>
  ({ coupon_id, field, campaign, held: { coupon_id, ends_at_ms, terms: campaign.terms }, ...(holds ? { holds } : {}) })

/** The named coupons of a user. One that is not his, or of a campaign that the key does not see, is unknown. */
export const chooseNamed = async (parts: Parts, caller: Caller, user: string, coupon_ids: readonly string[]): Promise<Chosen> => {
  const choices: Choice[] = [], left: Left[] = []
  for (const coupon_id of coupon_ids) {
    const named = readCouponId(coupon_id)
    const campaign = named?.user === user ? parts.catalogue.knownCampaign(named.campaign_no) ?? await parts.catalogue.campaignByNo(named.campaign_no) : undefined
    if (named && campaign && mayTouch(caller, campaign.line)) choices.push(choice(coupon_id, named.field, campaign, campaign.ends_ms))
    else left.push({ coupon_id, no: { outcome: "coupon_unknown", coupon_id } })
  }
  return { choices, left }
}

/** What is looked for in a wallet: coupons by field (an empty list: all), a redemption, the last redemption of an order. */
export interface Look { readonly fields: readonly string[]; readonly redemption?: string; readonly order?: string }

/** What a wallet says now. */
export const readWallet = async ({ redis }: Parts, { keys: { quota, wallet } }: Places, now_ms: number, { fields, redemption = "", order = "" }: Look) => {
  const reply = await act(redis, peek, { keys: { quota, wallet }, args: { now_ms, redemption, order, fields } })
  const coupons = new Map<string, CouponRecord>()
  for (const [field, values] of decode(reply.coupons) as [string, unknown][]) coupons.set(field, fromValues("coupon", values))
  return { isKnown: reply.is_known === 1, current: reply.current, at_ms: reply.at_ms, coupons }
}

/** Why a coupon of a wallet cannot be used at an instant, or nothing. */
export const whyNotUsable = (coupon_id: string, { state, ends_at_ms }: CouponRecord, campaign: Campaign, at_ms: number): No | undefined => {
  const word = COUPON_STATES[state - 1]
  if (word === "reserved" || word === "redeemed" || word === "revoked") return { outcome: `coupon_${word}`, coupon_id }
  if (word === "ended" || ends_at_ms <= at_ms) return { outcome: "coupon_ended", coupon_id, ended_at: new Date(ends_at_ms).toISOString() }
  if (campaign.state === "stopped") return { outcome: "campaign_stopped", coupon_id }
  if (campaign.state === "paused") return { outcome: "campaign_paused", coupon_id }
  return undefined
}

/** A coupon as it counts for an order whose last redemption is `current`: what that one still holds is free, because it gives way. */
export const seenFrom = (current: string, record: CouponRecord): CouponRecord =>
  current !== "" && record.state === RESERVED && record.redemption === current ? { ...record, state: ISSUED } : record

/** `order`: what its last redemption still holds counts as free, because an older hold of an order gives way. `priced_ms`: judged not now but then. */
interface Seen { readonly order?: string; readonly priced_ms?: number | undefined }

/** What keeps a coupon from being used for now; anything else, for good. */
const FOR_NOW: ReadonlySet<Outcome> = new Set(["coupon_reserved", "campaign_paused"])

/** All coupons of a wallet that the key sees and that could be used; what could not be is told, of what is used up the newest. */
export const chooseAll = async (parts: Parts, caller: Caller, places: Places, user: string, { order, priced_ms }: Seen): Promise<Chosen> => {
  const { at_ms, coupons, current } = await readWallet(parts, places, caller.now_ms, { fields: [], ...(order ? { order } : {}) })
  const choices: Choice[] = [], left: Left[] = [], used: { left: Left; since_ms: number }[] = []
  for (const [field, record] of coupons) {
    const coupon_id = user + field
    const campaign_no = campaignOfField(field)
    const campaign = parts.catalogue.knownCampaign(campaign_no) ?? await parts.catalogue.campaignByNo(campaign_no)
    if (!campaign || !mayTouch(caller, campaign.line)) continue
    const no = whyNotUsable(coupon_id, seenFrom(current, record), campaign, priced_ms ?? at_ms)
    if (no && FOR_NOW.has(no.outcome)) { if (left.length < BEST_COUPONS_MAX) left.push({ coupon_id, campaign_id: campaign.campaign_id, no }) }
    else if (no) used.push({ left: { coupon_id, campaign_id: campaign.campaign_id, no }, since_ms: record.since_ms ?? record.ends_at_ms })
    else choices.push(choice(coupon_id, field, campaign, record.ends_at_ms, record.holds))
  }
  if (used.length > USED_TOLD_MAX) used.sort((a, b) => b.since_ms - a.since_ms)
  for (let i = 0; i < used.length && i < USED_TOLD_MAX; i++) left.push(used[i]!.left)
  if (choices.length <= COUPONS_MAX) return { choices, left }
  const looked = lookedAt(choices)
  return looked.length < choices.length ? { choices: looked, left, is_cut: true } : { choices, left }
}

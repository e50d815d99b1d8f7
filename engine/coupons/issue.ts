/**
 * Issue: give one user one coupon of a campaign.
 *
 * Where the campaign's money is held at issue, the most that the coupon can cost is held now, by the shares of its funding.
 */
import { AFTER_IDS, cellOf, COUPON_HASH_CHARS, couponField, dueKey, fingerprintOf, isHeldOut, journalKey, quotaKey, USER_HASH_CHARS, userHash, walletKey } from "../../lua/keys.ts"
import { issue } from "../../lua/issue.ts"
import { CAMPAIGN_STATES } from "../../lua/records.ts"
import { ANSWERS, type Answered, type Caller } from "../answers.ts"
import type { IssueAsk } from "../contract/coupons.ts"
import { readAgedCoupon } from "../journal/aged.ts"
import type { Campaign } from "../operate/catalogue.ts"
import { mayTouch } from "../operate/lines.ts"
import { budgetNotOpen, isInMonth } from "../operate/not_open.ts"
import type { Parts } from "../parts.ts"
import { boundMinor } from "../pricing/compile.ts"
import { splitFunding } from "../pricing/funding.ts"
import { refillsOf } from "../quota/refill.ts"
import { shortagesOf } from "../quota/shortage.ts"
import { answeringPostgres } from "../store/away.ts"
import { act, NotExecuted } from "../store/redis.ts"

/** A campaign may change or a lease run short between two tries. */
const TRIES_MAX = 8

/** A paused campaign may be live again, and a stopped one never. */
const notLive = (campaign_id: string, state: string | undefined): Answered =>
  ({ outcome: "campaign_not_live", campaign_id, state, ...(state === "stopped" ? { retry: false, detail: ANSWERS.campaign_stopped.say } : {}) })

export const answerOf = (coupon_id: string, { campaign_id, user_id }: Pick<IssueAsk, "campaign_id" | "user_id">, ends_at_ms: number) =>
  ({ coupon_id, campaign_id, user_id, state: "issued", ends_at: new Date(ends_at_ms).toISOString() })

/** What is held at issue: [budget, amount] in the order of funding; nothing where the money is held at the reserve. */
const holdsOf = async (parts: Parts, campaign: Campaign, now_ms: number): Promise<[budget: number, held_minor: number][] | { missing: string }> => {
  if (campaign.body.hold_at !== "issue") return []
  const funding = await parts.catalogue.fundingAt(campaign, now_ms)
  if ("missing" in funding) return funding
  const bound_minor = boundMinor(campaign.body)
  if (bound_minor === undefined) throw new Error(`campaign ${campaign.campaign_id} holds at issue and its terms do not bound the cost`)
  const amounts = splitFunding(bound_minor, funding)
  return funding.map(({ budget }, i) => [budget.budget_no, amounts[i]!])
}

/** The attempt of a code's claim was refused in the user's cell: a new one may be made. */
export class ClaimEnded extends NotExecuted { override readonly name = "NotExecuted" }

/** One coupon that is to be given. */
export interface Grant {
  readonly ask: IssueAsk
  readonly campaign: Campaign
  /** The user's hash, and the coupon's place in his wallet. */
  readonly user: string
  readonly field: string
  readonly fingerprint: string
  /** The attempt of a code's claim: a mark of it in the user's cell refuses the grant. "" where no code is claimed. */
  readonly claim: string
  /** What the journal says beside what every issue says. */
  readonly facts: object
}

/** Whether a claim's request has brought its user the coupon of another campaign: the places differ in nothing but the campaign's number. */
const isClaimedElse = async ({ postgres: { sql } }: Parts, coupon_id: string): Promise<boolean> => {
  const request = coupon_id.slice(0, USER_HASH_CHARS + COUPON_HASH_CHARS)
  return (await answeringPostgres(() => sql`select 1 from coupons where coupon_id >= ${request} and coupon_id < ${request + AFTER_IDS} limit 1`)).length > 0
}

/** Give a user a coupon. */
export const issueWith = (parts: Parts) => async (ask: IssueAsk, caller: Caller): Promise<Answered> => {
  const campaign = await parts.catalogue.campaignById(ask.campaign_id)
  if (!campaign || !mayTouch(caller, campaign.line)) return { outcome: "campaign_unknown", campaign_id: ask.campaign_id }
  const field = couponField(campaign.campaign_no, ask.request_id)
  return issueOne(parts, { ask, campaign, user: userHash(ask.user_id), field, fingerprint: fingerprintOf(ask), claim: "", facts: {} }, caller)
}

/** Give one coupon, whoever asked for it and how. */
export const issueOne = async (parts: Parts, { ask, campaign: known, user, field, fingerprint, claim, facts }: Grant, { now_ms }: Caller): Promise<Answered> => {
  const { campaign_no, campaign_id } = known
  const cell = cellOf(user, parts.cells)
  const coupon_id = user + field
  const keys = { quota: quotaKey(cell), journal: journalKey(cell), due: dueKey(cell), wallet: walletKey(cell, user) }
  let campaign = known
  let is_new = 0
  const shortages = shortagesOf(parts, cell, now_ms)
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const holds = await holdsOf(parts, campaign, now_ms)
    const { body } = campaign
    const reply = await act(parts.redis, issue, {
      keys,
      args: {
        now_ms, user, field, campaign: campaign_no, version: campaign.version, fingerprint, valid_ms: (body.coupon_valid_s ?? 0) * 1_000,
        holds: "missing" in holds ? [] : holds, is_unfunded: "missing" in holds ? 1 : 0,
        held_out: isHeldOut(campaign.campaign_id, ask.user_id, body.holdout_bp ?? 0) ? 1 : 0,
        is_new, age_ms: parts.age_ms, claim,
        payload: JSON.stringify({
          coupon_id, campaign_id: campaign.campaign_id, campaign_no, version: campaign.version, line: campaign.line, user_id: ask.user_id, request_id: ask.request_id,
          ...(ask.channel === undefined ? {} : { channel: ask.channel }),
          ...(ask.device_id === undefined ? {} : { device: parts.hashId("device", ask.device_id) }),
          ...facts,
        }),
      },
    })
    switch (reply.outcome) {
      case "issued":
        if (parts.cells > 1) {
          const used = "missing" in holds ? [] : holds.map(([budget_no, held_minor]) => ({ cell, name: `b${budget_no}`, used: held_minor }))
          refillsOf(parts).hear([{ cell, name: `k${campaign_no}`, used: 1 }, ...used], now_ms)
        }
        return { outcome: "issued", body: answerOf(coupon_id, ask, reply.ends_at_ms) }
      case "replayed": return { outcome: "issued", body: answerOf(coupon_id, ask, reply.ends_at_ms), hit: true }
      case "aged": {
        const aged = await readAgedCoupon(parts, coupon_id)
        if (aged) return aged.fingerprint === fingerprint ? { outcome: "issued", body: answerOf(coupon_id, ask, aged.ends_at_ms), hit: true } : { outcome: "request_conflict" }
        if (claim !== "" && await isClaimedElse(parts, coupon_id)) return { outcome: "request_conflict" }
        is_new = 1 // the mark is another id's
        continue
      }
      case "claim_refused": throw new ClaimEnded("the claim was ended before its coupon was given")
      case "campaign_changed": {
        campaign = await parts.catalogue.readAgain(campaign_no) ?? campaign
        continue
      }
      case "stock_exhausted": {
        const { outcome } = await shortages.ask(`k${campaign_no}`, 1, 0)
        if (outcome === "again") continue
        return outcome === "busy" ? { outcome: "quota_busy" } : { outcome: "stock_exhausted", campaign_id }
      }
      case "budget_exhausted": case "budget_not_open": {
        const budget = await parts.catalogue.budgetByNo(reply.budget)
        // A cell that never had any of a budget does not know its month.
        const budget_id = budget?.budget_id ?? ("missing" in holds ? holds.missing : undefined)
        if (reply.outcome === "budget_not_open" || budget && !isInMonth(budget, now_ms)) return budgetNotOpen(campaign, budget_id, budget, now_ms)
        if (!budget) return { outcome: "budget_exhausted", budget_id }
        const { outcome } = await shortages.ask(`b${reply.budget}`, reply.missing_minor, reply.left_minor)
        if (outcome === "again") continue
        return outcome === "busy" ? { outcome: "quota_busy" } : { outcome: "budget_exhausted", budget_id }
      }
      case "user_limit_reached": return { outcome: reply.outcome, campaign_id, per_user: reply.per_user }
      case "campaign_not_started": return { outcome: reply.outcome, campaign_id, starts_at: new Date(reply.starts_at_ms).toISOString() }
      case "campaign_ended": return { outcome: reply.outcome, campaign_id, ended_at: new Date(reply.ended_at_ms).toISOString() }
      // A campaign that Postgres has and no cell has: a draft.
      case "campaign_unknown": return notLive(campaign_id, "draft")
      case "campaign_not_live": return notLive(campaign_id, CAMPAIGN_STATES[reply.state - 1])
      case "held_out": return { outcome: reply.outcome, campaign_id }
      case "request_conflict": case "journal_full": return { outcome: reply.outcome }
    }
  }
  if (shortages.hasWaited()) return { outcome: "quota_busy" }
  throw new NotExecuted("the campaign kept changing")
}

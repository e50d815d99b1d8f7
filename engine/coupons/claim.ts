/**
 * A user's badges, and claiming the rights that wait for him.
 *
 * A right is a coupon whose request_id is `badge:<period>:<badge>:<level>`, whoever issues it, so none is given twice; and whether a level
 * was claimed is whether those coupons are there, so nothing else has to remember it.
 */
import { couponField, userHash } from "../../lua/keys.ts"
import type { Answered, Caller, Yes } from "../answers.ts"
import type { Right } from "../badges/rules.ts"
import type { ClaimBadgeAsk, UserBadgesAsk } from "../contract/badges.ts"
import type { IssueAsk } from "../contract/coupons.ts"
import { type Held, readLevels } from "../levels/read.ts"
import { mayTouch } from "../operate/lines.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { issueWith } from "./issue.ts"
import { whichAreHeld } from "./held.ts"

/** The request_id under which a level's rights are issued in a period. */
export const rightRequest = ({ period, badge_id, level }: Pick<Held, "period" | "badge_id" | "level">): string => `badge:${period}:${badge_id}:${level}`

const toClaim = ({ level, rules }: Held): Right[] => (rules.rights ?? []).filter((right) => right.level === level && right.claim === "activate")

/** Of the levels with rights that wait to be claimed, those whose coupons are all there. */
const claimed = async (parts: Parts, user: string, held: readonly Held[], now_ms: number): Promise<ReadonlySet<Held>> => {
  const waiting = (await Promise.all(held.map(async (each) => {
    const campaigns = await Promise.all(toClaim(each).map(({ campaign_id }) => parts.catalogue.campaignById(campaign_id)))
    return { each, fields: campaigns.map((campaign) => campaign && couponField(campaign.campaign_no, rightRequest(each))) }
  }))).filter(({ fields }) => fields.length > 0)
  const fields = waiting.flatMap((each) => each.fields).filter((field) => field !== undefined)
  if (fields.length === 0) return new Set()
  const there = await whichAreHeld(parts, user, fields, now_ms)
  const missing = fields.filter((field) => !there.has(field))
  if (missing.length > 0) {
    // One that was used or has ended may have left Redis.
    const rows = await answeringPostgres(() => parts.postgres.sql<{ coupon_id: string }[]>`select coupon_id from coupons where coupon_id = any(${missing.map((field) => user + field)})`)
    for (const { coupon_id } of rows) there.add(coupon_id.slice(user.length))
  }
  return new Set(waiting.filter((each) => each.fields.every((field) => field !== undefined && there.has(field))).map(({ each }) => each))
}

/** The levels of a user in the lines that the key sees. */
export const listUserBadgesWith = (parts: Parts) => async ({ user_id }: UserBadgesAsk, caller: Caller): Promise<Answered> => {
  const user = userHash(user_id)
  const held = (await readLevels(parts, user)).filter(({ rules }) => mayTouch(caller, rules.line))
  const isClaimed = await claimed(parts, user, held, caller.now_ms)
  const badges = held.map((each) => ({
    badge_id: each.badge_id, line: each.rules.line, level: each.level, name: each.rules.levels.find(({ level }) => level === each.level)?.name ?? each.rules.name,
    period: each.period, since_period: each.since_period, active: toClaim(each).length === 0 || isClaimed.has(each),
  }))
  return { outcome: "found", body: { badges: badges.toSorted((a, b) => a.badge_id < b.badge_id ? -1 : 1) } }
}

/** Issue the rights of a user's level that wait to be claimed. Refused only when none of them could be issued. */
export const claimBadgeWith = (parts: Parts) => {
  const issue = issueWith(parts)
  return async ({ user_id, badge_id }: ClaimBadgeAsk, caller: Caller): Promise<Answered> => {
    const held = (await readLevels(parts, userHash(user_id))).find((each) => each.badge_id === badge_id)
    if (held && !mayTouch(caller, held.rules.line)) return { outcome: "badge_unknown", badge_id }
    if (!held) {
      const [known] = await answeringPostgres(() => parts.postgres.sql<{ line: string }[]>`
        select v.line from badges b join badge_versions v using (badge_no) where b.badge_id = ${badge_id} order by v.version desc limit 1`)
      return known && mayTouch(caller, known.line) ? { outcome: "badge_not_held", badge_id } : { outcome: "badge_unknown", badge_id }
    }
    const answers: { campaign_id: string; answered: Answered }[] = []
    for (const { campaign_id } of toClaim(held)) {
      const ask: IssueAsk = { request_id: rightRequest(held), campaign_id, user_id }
      answers.push({ campaign_id, answered: await issue(ask, caller) })
    }
    const isYes = (answered: Answered): answered is Yes => answered.body !== undefined
    const given = answers.filter(({ answered }) => isYes(answered))
    if (answers.length > 0 && given.length === 0) return answers[0]!.answered
    const rights = answers.map(({ campaign_id, answered }) =>
      isYes(answered) ? { campaign_id, coupon_id: (answered.body as { coupon_id: string }).coupon_id } : { campaign_id, code: answered.outcome })
    const isRepeat = given.length === answers.length && given.every(({ answered }) => isYes(answered) && answered.hit === true)
    return {
      outcome: "changed", hit: answers.length > 0 && isRepeat,
      body: { badge_id, user_id, level: held.level, period: held.period, active: given.length === answers.length, rights },
    }
  }
}

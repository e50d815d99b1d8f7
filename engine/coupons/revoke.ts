/** Revoke: take an unused coupon away; its stock and the money held for it come back. */
import { campaignOfField, cellOf, journalKey, quotaKey, readCouponId, userHash, walletKey } from "../../lua/keys.ts"
import { revoke } from "../../lua/revoke.ts"
import { COUPON_STATES } from "../../lua/records.ts"
import type { Answered, Caller } from "../answers.ts"
import type { RevokeAsk } from "../contract/coupons.ts"
import { readAgedCoupon } from "../journal/aged.ts"
import { caughtUp } from "../journal/caught_up.ts"
import { mayTouch } from "../operate/lines.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { act } from "../store/redis.ts"

/**
 * What taking a coupon away again answers. The reason is kept with the act alone, which is the last that wrote the coupon; one that was
 * written into another number of cells since has no act to be found by, and is a repeat.
 */
const repeat = async (parts: Parts, cell: number, coupon_id: string, reason: string, body: object): Promise<Answered> => {
  await caughtUp(parts, cell)
  const [row] = await answeringPostgres(() => parts.postgres.sql<{ reason: string | null }[]>`
    select e.payload->>'reason' as reason from coupons c join events e using (cell, epoch, n) where c.coupon_id = ${coupon_id} and e.act = 'revoked' and e.ref = c.coupon_id`)
  return row?.reason == null || row.reason === reason ? { outcome: "revoked", body, hit: true } : { outcome: "request_conflict", coupon_id }
}

/** Take a coupon away. */
export const revokeWith = (parts: Parts) => async ({ coupon_id, user_id, reason }: RevokeAsk, caller: Caller): Promise<Answered> => {
  const unknown: Answered = { outcome: "coupon_unknown", coupon_id }
  const named = readCouponId(coupon_id)
  if (!named || (user_id !== undefined && userHash(user_id) !== named.user)) return unknown
  const campaign = await parts.catalogue.campaignByNo(campaignOfField(named.field))
  if (!campaign || !mayTouch(caller, campaign.line)) return unknown
  const cell = cellOf(named.user, parts.cells)
  const body = { coupon_id, campaign_id: campaign.campaign_id, state: "revoked" }
  const reply = await act(parts.redis, revoke, {
    keys: { quota: quotaKey(cell), journal: journalKey(cell), wallet: walletKey(cell, named.user) },
    args: { now_ms: caller.now_ms, user: named.user, field: named.field, campaign: named.campaign_no, payload: JSON.stringify({ coupon_id, reason }) },
  })
  switch (reply.outcome) {
    case "revoked": return { outcome: "revoked", body }
    case "replayed": return repeat(parts, cell, coupon_id, reason, body)
    case "coupon_ended": return { outcome: "coupon_ended", coupon_id, ended_at: new Date(reply.ended_at_ms).toISOString() }
    case "coupon_reserved": case "coupon_redeemed": return { outcome: reply.outcome, coupon_id }
    case "coupon_unknown": {
      const aged = await readAgedCoupon(parts, coupon_id)
      if (!aged) return unknown
      const word = COUPON_STATES[aged.state - 1]
      if (word === "revoked") return repeat(parts, cell, coupon_id, reason, body)
      return word === "redeemed" ? { outcome: "coupon_redeemed", coupon_id } : { outcome: "coupon_ended", coupon_id, ended_at: new Date(aged.ends_at_ms).toISOString() }
    }
  }
}

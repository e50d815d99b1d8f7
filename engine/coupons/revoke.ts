/** Revoke: take an unused coupon away; its stock and the money held for it come back. */
import { campaignOfField, cellOf, journalKey, quotaKey, readCouponId, userHash, walletKey } from "../../lua/keys.ts"
import { revoke } from "../../lua/revoke.ts"
import { COUPON_STATES } from "../../lua/records.ts"
import type { Answered, Caller } from "../answers.ts"
import type { RevokeAsk } from "../contract/coupons.ts"
import { readAgedCoupon } from "../journal/aged.ts"
import { mayTouch } from "../operate/lines.ts"
import type { Parts } from "../parts.ts"
import { act } from "../store/redis.ts"

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
    case "replayed": return { outcome: "revoked", body, hit: true }
    case "coupon_ended": return { outcome: "coupon_ended", coupon_id, ended_at: new Date(reply.ended_at_ms).toISOString() }
    case "coupon_reserved": case "coupon_redeemed": return { outcome: reply.outcome, coupon_id }
    case "coupon_unknown": {
      const aged = await readAgedCoupon(parts, coupon_id)
      if (!aged) return unknown
      const word = COUPON_STATES[aged.state - 1]
      if (word === "revoked") return { outcome: "revoked", body, hit: true }
      return word === "redeemed" ? { outcome: "coupon_redeemed", coupon_id } : { outcome: "coupon_ended", coupon_id, ended_at: new Date(aged.ends_at_ms).toISOString() }
    }
  }
}

/**
 * See what a code would be for a user, without taking it: his coupon already, a coupon that he could claim, or why neither.
 *
 * A code whose coupon he holds counts as that coupon. Whether a claim would be refused is looked at as far as one look can: the user's
 * count and the hold-out; the claim decides.
 */
import { cellOf, isHeldOut, ticketHex, userHash, walletKey } from "../../lua/keys.ts"
import { HELD_OUT_MARK } from "../../lua/records.ts"
import { see_code } from "../../lua/see_code.ts"
import type { Caller, No } from "../answers.ts"
import { caughtUp } from "../journal/caught_up.ts"
import { CLAIM } from "../journal/fold_codes.ts"
import type { Campaign } from "../operate/catalogue.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { act, ask } from "../store/redis.ts"
import { codePlaces, fieldOf } from "../tickets/places.ts"
import { normalise } from "./code.ts"
import { missesAt } from "./misses.ts"

export type Seen =
  /** Not a code that this key can see. */
  | { readonly is: "invalid" }
  /** Used up, revoked, or of a campaign that is over. */
  | { readonly is: "over" }
  /** A code, and not for this user now. */
  | { readonly is: "not_for_user"; readonly detail: string }
  | { readonly is: "free"; readonly campaign: Campaign }
  /** The user's own coupon. */
  | { readonly is: "held"; readonly campaign: Campaign; readonly coupon_id: string; readonly field: string }
  | { readonly is: "exceeded"; readonly no: No }

/** The user's coupon of a code, where he has claimed it. */
const heldOf = async (parts: Parts, user: string, code: string, cell: number, campaign: Campaign): Promise<Seen | undefined> => {
  await caughtUp(parts, cell)
  const [row] = await answeringPostgres(() => parts.postgres.sql<{ coupon: string }[]>`
    select c.coupon from code_claims c join users u using (user_no)
    where c.code_hash = ${ticketHex(code)} and c.state = ${CLAIM.granted} and u.user_hash = ${user} and c.coupon is not null order by c.claim_hash limit 1`)
  if (!row) return undefined
  const field = fieldOf({ coupon: row.coupon, campaign_no: campaign.campaign_no })
  return { is: "held", campaign, coupon_id: user + field, field }
}

/** Look at one code for a user. */
export const seeCode = async (parts: Parts, text: string, user_id: string, { now_ms, key_id, lines }: Caller): Promise<Seen> => {
  const code = parts.codeHash(normalise(text)), user = userHash(user_id), places = codePlaces(code, parts.cells)
  const misses = missesAt(parts.misses, { key_id, user }, code, parts.cells, now_ms)
  const reply = await act(parts.redis, see_code, {
    keys: { ...places.keys, misses: places.misses(misses.window) }, args: { now_ms, code, bucket: places.bucket, lines, ...misses.args },
  })
  if (reply.outcome === "code_misses_exceeded") return { is: "exceeded", no: misses.exceeded(reply.which) }
  if (reply.outcome === "code_invalid") return { is: "invalid" }
  const campaign = await parts.catalogue.campaignByNo(reply.campaign)
  if (!campaign) throw new Error(`campaign ${reply.campaign} of a code is unknown`)

  const cell = cellOf(user, parts.cells), wallet = walletKey(cell, user)
  const count = await ask(parts.redis, wallet, (node) => node.hget(wallet, `n${campaign.campaign_no}`))
  // Only who has had a coupon of the campaign can have claimed this code.
  const held = count !== null && count !== HELD_OUT_MARK ? await heldOf(parts, user, code, places.cell, campaign) : undefined
  if (held) return held
  if (reply.outcome === "code_spent" || campaign.state === "stopped" || campaign.ends_ms <= now_ms) return { is: "over" }
  if (campaign.state !== "live" || campaign.starts_ms > now_ms) return { is: "not_for_user", detail: "The code cannot be used now." }
  if (count === HELD_OUT_MARK || isHeldOut(campaign.campaign_id, user_id, campaign.body.holdout_bp ?? 0)) return { is: "not_for_user", detail: "The code is not for this user." }
  if (Number(count ?? 0) >= campaign.body.per_user) return { is: "not_for_user", detail: "The user has had as many of these as one user may have." }
  return { is: "free", campaign }
}

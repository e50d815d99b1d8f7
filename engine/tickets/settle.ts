/**
 * Settle a claim: its code is spent once the user has the coupon, and free again once his cell has noted that he will not get it.
 *
 * What must stay true: a code is freed only after `refuse_grant` has left the attempt's mark in the user's cell, which a grant that
 * comes late meets. Every step can be repeated, by the process that claimed or by any sweeper, in any order; the nonce names the attempt.
 */
import { bucketOf, FINGERPRINT_CHARS } from "../../lua/keys.ts"
import { refuse_grant } from "../../lua/refuse_grant.ts"
import { settle_claim } from "../../lua/settle_claim.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"
import { act, type Servers } from "../store/redis.ts"
import { codePlaces, fieldOf, type Held, userPlaces } from "./places.ts"

export interface SettleParts { readonly redis: Servers; readonly sql: Sql; readonly cells: number; readonly remember_ms: number }

/** Write into the code's cell what became of an attempt. */
export const settle = async ({ redis, cells }: SettleParts, claim: string, { code, nonce }: Held, is_granted: boolean, now_ms: number): Promise<void> => {
  const { bucket, keys } = codePlaces(code, cells)
  await act(redis, settle_claim, {
    keys, args: {
      now_ms, code, bucket, claim, claim_bucket: bucketOf(claim, cells), nonce, is_granted: is_granted ? 1 : 0,
      payload: JSON.stringify({ code, claim, nonce }).slice(0, -1),
    },
  })
}

/** Whether a coupon that has left Redis is this claim's. */
const isAgedGrant = async (sql: Sql, coupon_id: string, fingerprint: string): Promise<boolean> => {
  const [row] = await answeringPostgres(() => sql<{ fingerprint: string }[]>`select fingerprint from coupons where coupon_id = ${coupon_id}`)
  return row?.fingerprint.slice(0, FINGERPRINT_CHARS) === fingerprint
}

/** See to it that an attempt brings no coupon any more, unless it has; then end it. Says which of the two it was. */
export const refuse = async (parts: SettleParts, claim: string, held: Held, now_ms: number): Promise<"granted" | "freed"> => {
  const { redis, sql, cells, remember_ms } = parts
  const { user, nonce, fingerprint, code } = held
  const { keys } = userPlaces(user, cells), field = fieldOf(held)
  const ask = (is_new: number) => act(redis, refuse_grant, {
    keys, args: { now_ms, user, field, fingerprint, nonce, is_new, remember_ms, payload: JSON.stringify({ code, claim, nonce, coupon: held.coupon }) },
  })
  let said = (await ask(0)).outcome
  if (said === "aged") said = await isAgedGrant(sql, user + field, fingerprint) ? "granted" : (await ask(1)).outcome
  const is_granted = said === "granted"
  await settle(parts, claim, held, is_granted, now_ms)
  return is_granted ? "granted" : "freed"
}

/** The coupons of one user, in the order of their ids: what is told is true now. */
import { AFTER_IDS, cellOf, readCouponId, userHash } from "../../lua/keys.ts"
import { COUPON_STATES } from "../../lua/records.ts"
import { AFTER_INVALID, type Answered, type Caller } from "../answers.ts"
import type { ListCouponsAsk } from "../contract/coupons.ts"
import { EVERY_LINE } from "../contract/keys.ts"
import { caughtUp } from "../journal/caught_up.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"

interface Row { coupon_id: string; campaign_id: string; state: number; ends_at_ms: number; issued_ms: number | null; since_ms: number | null; redemption: string | null; is_over: boolean }

/** List what a user has and had, page by page. */
export const listCouponsWith = (parts: Parts) => async ({ user_id, state, limit, after }: ListCouponsAsk, { now_ms, lines }: Caller): Promise<Answered> => {
  const user = userHash(user_id)
  if (after !== undefined && readCouponId(after)?.user !== user) return AFTER_INVALID
  await caughtUp(parts, cellOf(user, parts.cells))
  const { sql } = parts.postgres
  const wanted = state === undefined ? 0 : COUPON_STATES.indexOf(state) + 1
  // An unused coupon ends by its instant or with its campaign, without an entry; both count as ended here.
  const rows = await answeringPostgres(() => sql<Row[]>`
    select * from (
      select c.coupon_id, k.campaign_id, c.ends_at_ms, c.issued_ms, c.since_ms, c.redemption, c.state,
        c.state = ${COUPON_STATES.indexOf("issued") + 1} and (c.ends_at_ms <= ${now_ms} or k.state = 'stopped') as is_over
      from coupons c join campaigns k using (campaign_no)
      where c.coupon_id >= ${user} and c.coupon_id < ${user + AFTER_IDS} and c.coupon_id > ${after ?? ""}
        and (${lines.includes(EVERY_LINE)} or k.line = any(${[...lines]}))
    ) seen
    where ${wanted} = 0 or (case when is_over then ${COUPON_STATES.indexOf("ended") + 1} else state end) = ${wanted}
    order by coupon_id limit ${limit + 1}`)
  const items = rows.slice(0, limit).map((row) => ({
    coupon_id: row.coupon_id, campaign_id: row.campaign_id, user_id,
    state: row.is_over ? "ended" : COUPON_STATES[row.state - 1]!,
    ends_at: new Date(row.ends_at_ms).toISOString(),
    ...(row.issued_ms ? { issued_at: new Date(row.issued_ms).toISOString() } : {}),
    ...(row.redemption ? { redemption_id: user + row.redemption } : {}),
  }))
  return { outcome: "found", body: { items, next: rows.length > limit ? items.at(-1)!.coupon_id : null } }
}

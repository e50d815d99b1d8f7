/** Read redemptions: one by its id, or all of an order. What is told is true now. */
import { AFTER_IDS, cellOf, orderHash, readRedemptionId, userHash } from "../../lua/keys.ts"
import { fromValues } from "../../lua/records.ts"
import { AFTER_INVALID, type Answered, type Caller } from "../answers.ts"
import type { RedemptionAsk, ListRedemptionsAsk } from "../contract/checkout.ts"
import { caughtUp } from "../journal/caught_up.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import { decodeAllocation } from "./allocation.ts"
import { presentAnswer } from "./answers.ts"
import { findRedemption, isFound } from "./find.ts"

/** One redemption with its refunds, as it is now. */
export const getRedemptionWith = (parts: Parts) => async ({ redemption_id }: RedemptionAsk, { now_ms }: Caller): Promise<Answered> => {
  const found = await findRedemption(parts, redemption_id, now_ms, "read")
  if (!isFound(found)) return found
  return { outcome: "found", body: presentAnswer(redemption_id, found.allocation, found.head, found.at_ms) }
}

/** Where in an order's list a redemption stands; nothing where it is none of the order's. */
const placeOf = async ({ postgres: { sql } }: Parts, user: string, order_id: string, redemption_id: string): Promise<{ reserved_ms: number } | undefined> =>
  readRedemptionId(redemption_id)?.user !== user ? undefined
    : (await answeringPostgres(() => sql<{ reserved_ms: number }[]>`select reserved_ms from redemptions where redemption_id = ${redemption_id} and order_id = ${order_id}`))[0]

/** The redemptions of one order of one user, oldest first. */
export const listRedemptionsWith = (parts: Parts) => async ({ user_id, order_id, limit, after }: ListRedemptionsAsk, { now_ms }: Caller): Promise<Answered> => {
  const user = userHash(user_id)
  await caughtUp(parts, cellOf(user, parts.cells))
  const order = orderHash(order_id)
  const from = after === undefined ? undefined : await placeOf(parts, user, order_id, after)
  if (after !== undefined && !from) return AFTER_INVALID
  const rows = await answeringPostgres(() => parts.postgres.sql<{ redemption_id: string; head: unknown; body: string }[]>`
    select redemption_id, head, body from redemptions
    where redemption_id >= ${user} and redemption_id < ${user + AFTER_IDS} and order_id = ${order_id}
      and (reserved_ms, redemption_id) > (${from?.reserved_ms ?? -1}, ${after ?? ""})
    order by reserved_ms, redemption_id limit ${limit + 1}`)
  const items = rows.slice(0, limit)
    .map(({ redemption_id, head, body }) => ({ redemption_id, body, head: fromValues("redemption", typeof head === "string" ? JSON.parse(head) : head) }))
    .filter(({ head }) => head.order === order)
    .map(({ redemption_id, head, body }) => presentAnswer(redemption_id, decodeAllocation(body), head, now_ms))
  return { outcome: "found", body: { items, next: rows.length > limit ? items.at(-1)!.redemption_id : null } }
}

/** Cancel: an open hold is given back, its coupons and its money are free again. */
import { cancel } from "../../lua/cancel.ts"
import { readRedemptionId } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import type { CancelAsk } from "../contract/checkout.ts"
import type { Parts } from "../parts.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { decodeAllocation } from "./allocation.ts"
import { cancelledAnswer, stateOf } from "./answers.ts"
import { findRedemption, isFound } from "./find.ts"
import { placesOf } from "./places.ts"

/** Cancel a reserved redemption. */
export const cancelWith = (parts: Parts) => async ({ redemption_id }: CancelAsk, { now_ms }: Caller): Promise<Answered> => {
  const named = readRedemptionId(redemption_id)
  if (!named) return { outcome: "redemption_unknown", redemption_id }
  const { user, redemption } = named
  const places = placesOf(user, parts.cells, now_ms)
  const reply = await act(parts.redis, cancel, { keys: places.keys, args: { now_ms, user, redemption, hour: places.hour } })
  switch (reply.outcome) {
    case "cancelled": return { outcome: "cancelled", body: cancelledAnswer(redemption_id, decodeAllocation(reply.body), reply.cancelled_at_ms) }
    case "redemption_expired": return { outcome: "redemption_expired", redemption_id, expired_at: new Date(reply.expired_at_ms).toISOString() }
    case "not_open": {
      const found = await findRedemption(parts, redemption_id, now_ms, "read")
      if (!isFound(found)) return found
      const state = stateOf(found.head, found.at_ms)
      if (state === "cancelled") return { outcome: "cancelled", body: cancelledAnswer(redemption_id, found.allocation, found.head.since_ms), hit: true }
      if (state === "reserved") throw new NotExecuted("the redemption was being moved")
      return { outcome: `redemption_${state}`, redemption_id }
    }
  }
}

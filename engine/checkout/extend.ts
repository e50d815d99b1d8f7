/** Extend: the end of a hold moves forward, at most to 7 days after the reserve. */
import { extend } from "../../lua/extend.ts"
import { readRedemptionId } from "../../lua/keys.ts"
import { unpackKept } from "../../lua/records.ts"
import type { Answered, Caller } from "../answers.ts"
import type { ExtendAsk } from "../contract/checkout.ts"
import type { Parts } from "../parts.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { decodeAllocation } from "./allocation.ts"
import { extendedAnswer, stateOf } from "./answers.ts"
import { findRedemption, isFound } from "./find.ts"
import { placesOf } from "./places.ts"

/** The longest a hold may last, counted from its reserve. */
export const LONGEST_HOLD_MS = 7 * 24 * 3_600_000

/** Move the end of a reserved redemption forward. */
export const extendWith = (parts: Parts) => async ({ redemption_id, expires_at }: ExtendAsk, { now_ms }: Caller): Promise<Answered> => {
  const named = readRedemptionId(redemption_id)
  if (!named) return { outcome: "redemption_unknown", redemption_id }
  const { user, redemption } = named
  const places = placesOf(user, parts.cells, now_ms)
  const { quota, journal, open, due } = places.keys
  const reply = await act(parts.redis, extend, {
    keys: { quota, journal, open, due }, args: { now_ms, user, redemption, expires_ms: Date.parse(expires_at), longest_ms: LONGEST_HOLD_MS },
  })
  switch (reply.outcome) {
    case "journal_full": return { outcome: "journal_full" }
    case "redemption_expired": return { outcome: "redemption_expired", redemption_id }
    case "expires_too_early": return { outcome: "expires_too_early", expires_at: new Date(reply.expires_at_ms).toISOString() }
    case "expires_too_late": return { outcome: "expires_too_late", latest_at: new Date(reply.latest_ms).toISOString() }
    case "extended": case "replayed": {
      const { head, body } = unpackKept(reply.kept)
      return { outcome: "extended", hit: reply.outcome === "replayed", body: extendedAnswer(redemption_id, decodeAllocation(body), head.expires_ms) }
    }
    case "not_open": {
      const found = await findRedemption(parts, redemption_id, now_ms, "read")
      if (!isFound(found)) return found
      const state = stateOf(found.head, found.at_ms)
      if (state === "reserved") throw new NotExecuted("the redemption was being moved")
      return { outcome: `redemption_${state}`, redemption_id }
    }
  }
}

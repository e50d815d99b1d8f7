/**
 * Find a redemption wherever it is: open, settled in an hour, or aged out of Redis into Postgres.
 *
 * An id that Redis does not know, and one that left it, is looked up in Postgres before anyone hears "unknown"; while Postgres is
 * away that is a 503. An aged record that an act needs is loaded back first, only where there is none.
 */
import { find } from "../../lua/find.ts"
import { load } from "../../lua/load.ts"
import { readRedemptionId, settledKey } from "../../lua/keys.ts"
import { unpackKept, valuesOf, type RedemptionRecord } from "../../lua/records.ts"
import type { Answered } from "../answers.ts"
import { readAgedRedemption } from "../journal/aged.ts"
import { caughtUp } from "../journal/caught_up.ts"
import type { Parts } from "../parts.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { decodeAllocation, type Allocation } from "./allocation.ts"
import { placesOf, type Places } from "./places.ts"

/** A record may move between two looks (open, settled, another hour, aged): so many looks, then the caller tries again later. */
const LOOKS_MAX = 8

export interface Found {
  readonly redemption_id: string
  readonly user: string
  readonly redemption: string
  readonly places: Places
  readonly head: RedemptionRecord
  readonly allocation: Allocation
  /** The hour whose hash has the record; nothing while it is open, or was read from Postgres only. */
  readonly hour: string | undefined
  readonly at_ms: number
}

const unknown = (redemption_id: string): Answered => ({ outcome: "redemption_unknown", redemption_id })

/** The redemption of an id, or the no that it is unknown. With `loaded` an aged record is back in Redis when this returns. */
export const findRedemption = async (parts: Parts, redemption_id: string, now_ms: number, want: "read" | "loaded"): Promise<Found | Answered> => {
  const named = readRedemptionId(redemption_id)
  if (!named) return unknown(redemption_id)
  const { user, redemption } = named
  const places = placesOf(user, parts.cells, now_ms)
  let hour = ""
  for (let look = 0; look < LOOKS_MAX; look++) {
    const { quota, open, wallet } = places.keys
    const settled = settledKey(places.cell, Number(hour || places.hour))
    const reply = await act(parts.redis, find, { keys: { quota, open, wallet, settled }, args: { now_ms, redemption, hour } })
    switch (reply.outcome) {
      case "look_in": hour = reply.hour_then; continue
      case "found": {
        const { head, body } = unpackKept(reply.kept)
        return { redemption_id, user, redemption, places, head, allocation: decodeAllocation(body), hour: head.state === 1 ? undefined : hour, at_ms: reply.at_ms }
      }
      case "redemption_unknown":
      case "aged": {
        const aged = await readAgedRedemption(parts, places.cell, redemption_id)
        if (!aged) return unknown(redemption_id)
        if (want === "read") return { redemption_id, user, redemption, places, head: aged.head, allocation: decodeAllocation(aged.body), hour: undefined, at_ms: now_ms }
        const loaded = await act(parts.redis, load, {
          keys: { quota, due: places.keys.due, wallet, settled: places.keys.settled },
          args: {
            now_ms, user, redemption, hour: places.hour, mark_then: reply.outcome === "aged" ? reply.mark : "",
            cursor_epoch: aged.epoch, cursor_n: aged.n, head: valuesOf("redemption", aged.head), body: aged.body,
            coupons: aged.coupons.map(({ field, record }) => [field, valuesOf("coupon", record)]), age_ms: parts.age_ms,
          },
        })
        // Something left Redis after what was read here: Postgres has it in a moment.
        if (loaded.outcome === "behind") await caughtUp(parts, places.cell)
      }
    }
  }
  throw new NotExecuted("the redemption kept moving")
}

/** A found record, told from a no. */
export const isFound = (found: Found | Answered): found is Found => "places" in found

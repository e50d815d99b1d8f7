/**
 * Confirm: what is held becomes spent, the coupons redeemed.
 *
 * A hold whose end has come is not confirmed, unless the caller says that the money is already taken (`late`): then it is, at
 * its price, if its coupons are free and its budgets have the money.
 */
import { settledKey } from "../../lua/keys.ts"
import { confirm } from "../../lua/confirm.ts"
import { confirm_late } from "../../lua/confirm_late.ts"
import { readRedemptionId } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import type { ConfirmAsk } from "../contract/checkout.ts"
import { readAgedCoupons } from "../journal/aged.ts"
import type { Parts } from "../parts.ts"
import { shortagesOf, type Shortages } from "../quota/shortage.ts"
import { act, NotExecuted } from "../store/redis.ts"
import { decodeAllocation } from "./allocation.ts"
import { confirmedAnswer, stateOf } from "./answers.ts"
import { findRedemption, isFound, type Found } from "./find.ts"
import { placesOf } from "./places.ts"

/** A record may be swept or leased for between two tries. */
const TRIES_MAX = 8

/** Confirm a redemption. */
export const confirmWith = (parts: Parts) => async ({ redemption_id, late }: ConfirmAsk, { now_ms }: Caller): Promise<Answered> => {
  const named = readRedemptionId(redemption_id)
  if (!named) return { outcome: "redemption_unknown", redemption_id }
  const { user, redemption } = named
  const places = placesOf(user, parts.cells, now_ms)
  const shortages = shortagesOf(parts, places.cell, now_ms)
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const reply = await act(parts.redis, confirm, { keys: places.keys, args: { now_ms, user, redemption, late: late ? 1 : 0, hour: places.hour } })
    switch (reply.outcome) {
      case "confirmed": return { outcome: "confirmed", body: confirmedAnswer(redemption_id, decodeAllocation(reply.body), reply.confirmed_at_ms) }
      case "redemption_expired": return { outcome: "redemption_expired", redemption_id, expired_at: new Date(reply.expired_at_ms).toISOString() }
    }
    const found = await findRedemption(parts, redemption_id, now_ms, late ? "loaded" : "read")
    if (!isFound(found)) return found
    const state = stateOf(found.head, found.at_ms)
    switch (state) {
      case "reserved": continue // it was not open when we looked and is now: look again
      case "cancelled": return { outcome: "redemption_cancelled", redemption_id }
      case "expired": {
        if (!late) return { outcome: "redemption_expired", redemption_id, expired_at: new Date(found.head.expires_ms).toISOString() }
        const answered = found.hour === undefined ? undefined : await confirmLate(parts, found, found.hour, shortages, now_ms)
        if (answered) return answered
        continue
      }
      default: return { outcome: "confirmed", body: confirmedAnswer(redemption_id, found.allocation, found.head.confirmed_ms ?? found.head.since_ms), hit: true }
    }
  }
  throw new NotExecuted("the redemption kept moving")
}

/** Confirm an expired one; nothing when its record moved meanwhile or a lease came, and it has to be looked at again. */
const confirmLate = async (parts: Parts, { places, user, redemption, redemption_id, head }: Found, hour: string, shortages: Shortages, now_ms: number): Promise<Answered | undefined> => {
  const { quota, journal, wallet, settled } = places.keys
  const send = (aged: [field: string, values: unknown][]) => act(parts.redis, confirm_late, {
    keys: { quota, journal, wallet, from: settledKey(places.cell, Number(hour)), settled },
    args: { now_ms, user, redemption, hour: places.hour, aged },
  })
  let reply = await send([])
  if (reply.outcome === "coupon_aged") reply = await send(await readAgedCoupons(parts, places.cell, redemption_id, head))
  const expired = (missing: object): Answered => ({ outcome: "redemption_expired", redemption_id, missing: [missing] })
  switch (reply.outcome) {
    case "moved": case "coupon_aged": return undefined
    case "journal_full": return { outcome: "journal_full" }
    case "order_taken": return expired({ redemption_id, detail: "The order has another live redemption." })
    case "coupon_taken": return expired({ coupon_id: user + reply.field, detail: "The coupon is not free." })
    case "budget_exhausted": {
      const budget = await parts.catalogue.budgetByNo(reply.budget)
      const { outcome } = await shortages.ask(`b${reply.budget}`, reply.missing_minor, reply.left_minor)
      if (outcome === "again") return undefined
      if (outcome === "busy") return { outcome: "quota_busy" }
      return expired({ budget_id: budget?.budget_id, missing_minor: reply.missing_minor })
    }
    case "confirmed": return { outcome: "confirmed", body: confirmedAnswer(redemption_id, decodeAllocation(reply.body), reply.confirmed_at_ms) }
  }
}

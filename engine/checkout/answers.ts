/**
 * A redemption as the answers say it: what the first answer said, and what is true now.
 */
import { REDEMPTION_STATES, type RedemptionRecord } from "../../lua/records.ts"
import { pricedOf, type Allocation } from "./allocation.ts"

export const instant = (at_ms: number): string => new Date(at_ms).toISOString()

const named = (redemption_id: string, allocation: Allocation, state: string) => ({
  redemption_id, order_id: allocation.order_id, user_id: allocation.user_id, state, ...pricedOf(allocation),
})

/** The reserve's answer; the same for every repeat, whatever happened since. */
export const reservedAnswer = (redemption_id: string, allocation: Allocation, reserved_ms: number) => ({
  ...named(redemption_id, allocation, "reserved"),
  ...(allocation.rejected ? { rejected: allocation.rejected } : {}),
  expires_at: instant(reserved_ms + allocation.hold_ms),
})

/** The answer of an extend. */
export const extendedAnswer = (redemption_id: string, allocation: Allocation, expires_ms: number) => ({
  ...named(redemption_id, allocation, "reserved"), expires_at: instant(expires_ms),
})

/** The confirm's answer; the same for every repeat, also after a refund. */
export const confirmedAnswer = (redemption_id: string, allocation: Allocation, confirmed_ms: number) => ({
  ...named(redemption_id, allocation, "confirmed"), confirmed_at: instant(confirmed_ms),
})

/** The cancel's answer. */
export const cancelledAnswer = (redemption_id: string, allocation: Allocation, cancelled_ms: number) => ({
  ...named(redemption_id, allocation, "cancelled"), cancelled_at: instant(cancelled_ms),
})

/** What is true of a redemption at an instant: a hold whose end has come is expired, whether or not it was swept yet. */
export const presentAnswer = (redemption_id: string, allocation: Allocation, head: RedemptionRecord, at_ms: number) => ({
  ...named(redemption_id, allocation, stateOf(head, at_ms)),
  request_id: allocation.request_id,
  reserved_at: instant(head.reserved_ms),
  expires_at: instant(head.expires_ms),
  ...(head.confirmed_ms ? { confirmed_at: instant(head.confirmed_ms) } : {}),
  lines: allocation.lines.map(({ line_id, quantity, refunded }) => ({ line_id, quantity, refunded_quantity: refunded })),
  refunds: (head.refunds ?? []).map(([, , answer]) => JSON.parse(answer) as object),
})

/** The state's word at an instant. */
export const stateOf = (head: RedemptionRecord, at_ms: number) => {
  const state = REDEMPTION_STATES[head.state - 1]!
  return state === "reserved" && at_ms >= head.expires_ms ? "expired" : state
}

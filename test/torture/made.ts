/**
 * When was an act made? Between what the clients asked and heard, the order of the journal answers.
 *
 * An entry was made after each act before it in its cell's journal was asked for, and after the instant that it says itself, which was read
 * before it was sent; and before anyone heard a yes to it or to an act behind it. So it has a window on the clock of the clients, of some
 * milliseconds where its cell has much to do. An act that heard a no and is there is told by it: made before the attempt that heard the no
 * was sent, the repeat was not recognised, and that is a fault; made after, an earlier attempt, which was given up, was served late.
 */
import { ROUND_TRIP_MS_MAX } from "../../engine/store/clock.ts"
import type { Act } from "./history.ts"

/** Where an act stands in the journals, and the instant that its entry says, in milliseconds of Redis' clock. */
export interface Place { readonly cell: number; readonly epoch: number; readonly n: number; readonly at_ms: number }

/** It was made within it: milliseconds of the clients' clock. */
export interface Window { readonly from_ms: number; readonly to_ms: number }

/**
 * An engine reads the instant off its own count of Redis' clock, which is off by half of a measure's round trip at most, by what two clocks
 * drift apart until the next one, and by the fraction of a millisecond that is cut off.
 */
export const CLOCK_ERROR_MS = ROUND_TRIP_MS_MAX / 2 + 10

/**
 * The windows of all acts that are in the journals. `offset_ms` is how much Redis' clock is ahead of the clients'.
 */
export const windowsOf = (history: readonly Act[], placeOf: (act: Act) => Place | undefined, offset_ms: number): ReadonlyMap<Act, Window> => {
  const cells = new Map<number, { act: Act; place: Place }[]>()
  for (const act of history) {
    const place = placeOf(act)
    if (!place) continue
    const cell = cells.get(place.cell)
    if (cell) cell.push({ act, place })
    else cells.set(place.cell, [{ act, place }])
  }
  const windows = new Map<Act, Window>()
  for (const entries of cells.values()) {
    entries.sort((a, b) => a.place.epoch - b.place.epoch || a.place.n - b.place.n)
    let from_ms = -Infinity, to_ms = Infinity
    const begins = entries.map(({ act, place }) => from_ms = Math.max(from_ms, act.first_ms, place.at_ms - offset_ms - CLOCK_ERROR_MS))
    for (let i = entries.length - 1; i >= 0; i--) {
      const { act } = entries[i]!
      if (act.heard !== "unknown" && act.heard.status < 300) to_ms = Math.min(to_ms, act.heard_ms)
      windows.set(act, { from_ms: begins[i]!, to_ms })
    }
  }
  return windows
}

/** Which attempt made an act that is there although its client heard a no in the end. */
export type MadeBy =
  /** One that was given up, after the no was asked for: late, and allowed. */
  | "given_up"
  /** One that was sent before the no was asked for, and had happened by then: its repeat was not recognised. */
  | "earlier"
  /** One that was told that nothing was begun, or the one that heard the no: none was given up before the act was made. */
  | "refused"
  /** The window is too wide to tell. */
  | "unclear"

export const madeBy = ({ isLeftBehind, first_ms, last_ms }: Act, { from_ms, to_ms }: Window): MadeBy => {
  if (!isLeftBehind || to_ms < first_ms) return "refused"
  if (to_ms < last_ms) return "earlier"
  return from_ms >= last_ms ? "given_up" : "unclear"
}

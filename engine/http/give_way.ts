/**
 * How many lines of bulk calls are under way at a time: enough that Redis always has the next ones when it has served the last, and few where acts
 * beside them wait.
 *
 * Lines go to Redis behind acts and acts behind lines, on the same connections and through the same event loop, so a line that takes long says how
 * long an act waits. What must stay true: where no act is under way nothing gives way to anything, however slow the machine is; where acts
 * are, a wait that is long halves the lines at once and once, because what was sent before is still to come, and they come back one by one when it is short.
 * They never stop: a stream that stood still would be cut off.
 */

/**
 * The most, and how many at first: what Redis takes in two turns, so that one half is there while answers to the other are on their way. All in one
 * turn, 12 of them, waited for their own answers and for every second turn of Redis: 8.7 ms a round, 1,385 rights a second (23:43 UTC, 2026-11-22).
 */
export const LINES_MAX = 24
const LINES_FIRST = 12
/** The fewest, where acts wait. */
export const LINES_MIN = 2
/** A line that took so long or less made nobody wait; one that took longer than LATE_MS stood behind too much. */
const CALM_MS = 12, LATE_MS = 25
const FALL = 0.5

/** Follows how long lines take. `acts_under_way` counts the acts that are let in and not answered; instants are told. */
export const makeGiveWay = (acts_under_way: () => number) => {
  let lines = LINES_FIRST, lowered_ms = -Infinity
  return {
    /** How many may be under way now, of all calls together. */
    lines: (): number => Math.floor(lines),
    /** A line was begun at an instant, and answered. */
    note: (began_ms: number, now_ms: number): void => {
      const took_ms = now_ms - began_ms
      if (took_ms <= CALM_MS || acts_under_way() === 0) lines = Math.min(LINES_MAX, lines + 1 / lines)
      else if (took_ms > LATE_MS && began_ms >= lowered_ms) {
        lowered_ms = now_ms
        lines = Math.max(LINES_MIN, lines * FALL)
      }
    },
  }
}

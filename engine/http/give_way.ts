/**
 * How many lines of bulk calls may be under way: a line has time, and a checkout beside it has not.
 *
 * What must stay true: the number follows how long an act under way waits (the shedder's probe), and falls while that is too long, whoever makes
 * it wait. It never falls below the least, so a bulk call ends also where every act waits, as on a disk that is slow. Instants are told.
 */

/** Beyond this wait lines give way: a checkout at half of the capacity waits for less. */
export const GIVE_WAY_MS = 10
/** So many lines are always under way: at 12 ms for a sync of the disk these are 600 a second. */
export const LINES_LEAST = 8
/** The wait is measured once in so long, and looked at as often: then the number falls to a part of itself or grows by some. */
const LOOK_MS = 10
const FALL = 0.8, GROWTH = 2

/** The number for calls that may have `most` lines under way, by the wait at an instant. */
export const makeGivingWay = (most: number, waitMs: (now_ms: number) => number) => {
  let lines = most, looked_ms = -Infinity
  return (now_ms: number): number => {
    if (now_ms - looked_ms >= LOOK_MS) {
      looked_ms = now_ms
      lines = waitMs(now_ms) > GIVE_WAY_MS ? Math.max(Math.min(LINES_LEAST, most), lines * FALL) : Math.min(most, lines + GROWTH)
    }
    return Math.floor(lines)
  }
}

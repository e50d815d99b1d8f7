/**
 * The clock: every process takes the time from Redis, whose instants decide; no host's own clock does.
 *
 * The offset between Redis and this host is measured each second, and the host's steady clock counts on in between. Where Redis read its
 * clock within a round trip is not known, so an offset is off by half of it at most: one that took long is not believed while there is a
 * better one. A Redis that stood still for 2 s would otherwise have set every clock a second ahead. In a replay the time is the data's: it
 * comes with each request and never goes back.
 */
import { ask, type Servers } from "./redis.ts"

const MEASURE_MS = 1_000
/** A measure that took longer is not believed while there is a better one. */
export const ROUND_TRIP_MS_MAX = 100
/** So often Redis is asked at the start, until it answers within that: what the first says is what there is to go by for a second. */
const FIRST_MEASURES_MAX = 5
/** Two clocks drift apart by a thousandth at the very most, so an offset is as good as one of a round trip that is longer by so much. */
const VAGUER_PER_MS = 0.002

export interface Clock {
  readonly now_ms: () => number
  /** A replay's request says what time it is; other clocks do not listen. */
  readonly told: (at_ms: number) => void
  readonly stop: () => void
}

/** Every process asks the same node: the one that serves this key. */
const CLOCK_KEY = "{scrip}clock"

export interface Measured { readonly offset_ms: number; readonly round_trip_ms: number; readonly heard_ms: number }

const measure = async (redis: Servers): Promise<Measured> => {
  const sent = performance.now()
  const [seconds, micros] = await ask(redis, CLOCK_KEY, (node) => node.time()) as unknown as [string | number, string | number]
  const heard = performance.now()
  return { offset_ms: Number(seconds) * 1_000 + Number(micros) / 1_000 - (sent + heard) / 2, round_trip_ms: heard - sent, heard_ms: heard }
}

/** Which of two measures to go by: the newer one, unless it is vague and the older is still the better. */
export const betterOf = (older: Measured, newer: Measured): Measured =>
  newer.round_trip_ms <= Math.max(ROUND_TRIP_MS_MAX, older.round_trip_ms + (newer.heard_ms - older.heard_ms) * VAGUER_PER_MS) ? newer : older

/** A clock that follows Redis. Throws when Redis cannot be asked at the start; later it counts on by itself. */
export const openClock = async (redis: Servers): Promise<Clock> => {
  let measured = await measure(redis)
  for (let i = 1; i < FIRST_MEASURES_MAX && measured.round_trip_ms > ROUND_TRIP_MS_MAX; i += 1) {
    const next = await measure(redis)
    if (next.round_trip_ms < measured.round_trip_ms) measured = next
  }
  const timer = setInterval(() => {
    measure(redis).then((newer) => { measured = betterOf(measured, newer) }, () => undefined) // away: the last offset goes on
  }, MEASURE_MS)
  return { now_ms: () => Math.floor(performance.now() + measured.offset_ms), told: () => undefined, stop: () => clearInterval(timer) }
}

/** A clock that shows the latest instant it was told. */
export const replayClock = (): Clock => {
  let latest_ms = 0
  return { now_ms: () => latest_ms, told: (at_ms) => { if (at_ms > latest_ms) latest_ms = at_ms }, stop: () => undefined }
}

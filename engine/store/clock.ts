/**
 * The clock: every process takes the time from Redis, whose instants decide; no host's own clock does.
 *
 * The offset between Redis and this host is measured each second, and the host's steady clock counts on in between. In a replay the
 * time is the data's: it comes with each request and never goes back.
 */
import { ask, type Servers } from "./redis.ts"

const MEASURE_MS = 1_000

export interface Clock {
  readonly now_ms: () => number
  /** A replay's request says what time it is; other clocks do not listen. */
  readonly told: (at_ms: number) => void
  readonly stop: () => void
}

/** Every process asks the same node: the one that serves this key. */
const CLOCK_KEY = "{scrip}clock"

const measure = async (redis: Servers): Promise<number> => {
  const sent = performance.now()
  const [seconds, micros] = await ask(redis, CLOCK_KEY, (node) => node.time()) as unknown as [string | number, string | number]
  const heard = performance.now()
  return Number(seconds) * 1_000 + Number(micros) / 1_000 - (sent + heard) / 2
}

/** A clock that follows Redis. Throws when Redis cannot be asked the first time; later it counts on by itself. */
export const openClock = async (redis: Servers): Promise<Clock> => {
  let offset_ms = await measure(redis)
  const timer = setInterval(() => {
    measure(redis).then((measured) => { offset_ms = measured }, () => undefined) // away: the last offset goes on
  }, MEASURE_MS)
  return { now_ms: () => Math.floor(performance.now() + offset_ms), told: () => undefined, stop: () => clearInterval(timer) }
}

/** A clock that shows the latest instant it was told. */
export const replayClock = (): Clock => {
  let latest_ms = 0
  return { now_ms: () => latest_ms, told: (at_ms) => { if (at_ms > latest_ms) latest_ms = at_ms }, stop: () => undefined }
}

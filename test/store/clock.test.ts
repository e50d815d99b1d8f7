/** The clock that every process takes from Redis. */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { quietLog } from "../../engine/log.ts"
import { betterOf, type Measured, openClock, ROUND_TRIP_MS_MAX } from "../../engine/store/clock.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { connectRedis, redisReady } from "../../engine/store/redis.ts"
import { scratchFolder } from "../support/scratch.ts"

describe("a measure of the clock", () => {
  const took = (round_trip_ms: number, heard_ms: number): Measured => ({ offset_ms: heard_ms, round_trip_ms, heard_ms })

  test("is replaced by the next one, as long as that is exact enough", () => {
    expect(betterOf(took(1, 1_000), took(2, 2_000))).toEqual(took(2, 2_000))
    expect(betterOf(took(1, 1_000), took(ROUND_TRIP_MS_MAX, 2_000))).toEqual(took(ROUND_TRIP_MS_MAX, 2_000))
  })

  test("is kept when Redis stood still during the next one, which then may be off by half of that time", () => {
    expect(betterOf(took(1, 1_000), took(2_000, 4_000))).toEqual(took(1, 1_000))
  })

  test("gives way to a better one, however vague, and in the end to any: clocks drift apart", () => {
    expect(betterOf(took(3_000, 1_000), took(2_500, 2_000))).toEqual(took(2_500, 2_000))
    expect(betterOf(took(120, 1_000), took(160, 2_000))).toEqual(took(120, 1_000))
    expect(betterOf(took(120, 1_000), took(160, 22_000))).toEqual(took(160, 22_000))
  })
})

test("a Redis that stood still at the start sets no clock ahead: it is asked again", async () => {
  const STOOD_MS = 800, READY_MS_MAX = 60_000
  const servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  const redis = connectRedis(servers.redisUrl!, () => undefined)
  try {
    await redisReady(redis, READY_MS_MAX)
    const pid = servers.pids()["redis"]!
    process.kill(pid, "SIGSTOP")
    const opening = openClock(redis)
    await Bun.sleep(STOOD_MS)
    process.kill(pid, "SIGCONT")
    const clock = await opening
    // Of one long measure it would be ahead by half of it; this host's clock is Redis' own.
    const off_ms = clock.now_ms() - Date.now()
    clock.stop()
    expect(Math.abs(off_ms)).toBeLessThan(STOOD_MS / 4)
  } finally {
    redis.disconnect()
    await servers.stop()
  }
}, 120_000)

/** The log of a private Redis: rewritten while little is written, and then alone, and never before the acts. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { getPriority } from "node:os"
import { join } from "node:path"
import { Redis } from "ioredis"
import { quietLog } from "../../engine/log.ts"
import type { Loop } from "../../engine/loop.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { keepLogShort, makeCalmWatch } from "../../engine/private/short_log.ts"
import { REWRITE_NICENESS } from "../../engine/private/rewrites.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"

const CALM = { look_ms: 20, looks: 3, growth_bytes: 1_000, tail_bytes: 100_000 }

test("calm: a log is rewritten after some looks at which it hardly grew, once, and never while it grows or is short", () => {
  const isTime = makeCalmWatch(CALM)
  const looks = (sizes: readonly number[], base = 0) => sizes.map((size) => isTime(base, size, 0))
  expect(looks([200_000, 300_000, 400_000, 500_000, 600_000])).not.toContain(true)
  expect(looks([600_010, 600_020, 600_030, 600_040, 600_050])).toEqual([false, false, true, false, false])
  expect(isTime(0, 600_060, 1)).toBe(false) // it is being rewritten
  expect(looks([50_000, 50_000, 50_000, 50_000, 50_000, 50_000])).not.toContain(true)
  expect(looks(Array.from({ length: 9 }, () => 650_000), 600_000)).not.toContain(true)
})

test("a private Redis has its log rewritten once it is left alone, and has all of it after a kill", async () => {
  const servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  const url = new URL(servers.redisUrl!)
  const redis = new Redis(servers.redisUrl!)
  redis.on("error", () => undefined)
  let watch: Loop | undefined
  try {
    const size = async (name: string): Promise<number> => Number(new RegExp(`${name}:(\\d+)`).exec(await redis.info("persistence"))?.[1])
    for (let i = 0; i < 300; i += 1) await redis.set(`key-${i % 3}`, "x".repeat(1_000))
    expect(await size("aof_current_size")).toBeGreaterThan(300_000)
    // Not before: a disk that takes longer for a write than some looks would have it rewritten in the middle of them.
    watch = keepLogShort(Number(url.port), decodeURIComponent(url.password), quietLog, CALM)
    await until("the log is short", async () => await size("aof_current_size") < 20_000)
    process.kill(servers.pids()["redis"]!, "SIGKILL")
    await until("it is back", async () => await redis.get("key-2").catch(() => null) !== null)
    expect(await redis.dbsize()).toBe(3)
  } finally {
    await watch?.stop()
    redis.disconnect()
    await servers.stop()
  }
}, 120_000)

test.skipIf(process.platform !== "linux")("whoever rewrites the log of a private Redis makes way for it, and Redis itself does not", async () => {
  const servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  const redis = new Redis(servers.redisUrl!)
  try {
    const server = servers.pids()["redis"]!
    const children = (): number[] => readFileSync(`/proc/${server}/task/${server}/children`, "utf8").split(" ").filter((text) => text !== "").map(Number)
    await redis.mset(...Array.from({ length: 1_000 }, (_, i) => [`key-${i}`, "x"]).flat())
    await redis.config("SET", "rdb-key-save-delay", "30000") // half a minute for a rewrite, which the stop cuts short
    await redis.bgrewriteaof()
    await until("the child is lowered", async () => children().some((child) => getPriority(child) === REWRITE_NICENESS))
    expect(getPriority(server)).toBe(getPriority())
  } finally {
    redis.disconnect()
    await servers.stop()
  }
}, 120_000)

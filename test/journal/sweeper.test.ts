import { expect, test } from "bun:test"
import { dueKey, hourOf, quotaKey, settledKey } from "../../lua/keys.ts"
import { unpack } from "../../lua/records.ts"
import { HOURS_MAX, judgeWallet, newCellSweep, sweepOnce, type SweepParts } from "../../engine/journal/sweeper.ts"
import { run } from "../../engine/store/redis.ts"
import { load } from "../../lua/load.ts"
import { quietLog } from "../../engine/log.ts"
import { AGE_MS, AT_ISSUE, DAY_MS, newWorld, NOON, REMEMBER_MS, type World } from "./world.ts"

const HOUR_MS = 3_600_000
/** By then a sweeper measures the journal again, by the machine's time. */
const MEASURED_MS = 1_100

const sweeperOf = (world: World) => {
  const state = newCellSweep(0)
  return async (more: Partial<SweepParts> = {}) => {
    const [row] = await world.sql<{ at_ms: number }[]>`select at_ms from cells where cell = 0`
    return sweepOnce({ redis: world.redis, sql: world.sql, log: quietLog, cells: 1, ages: world.ages(), flushed_ms: row!.at_ms, journal_bytes_max: 2 ** 30, ...more }, state)
  }
}
const money = async ({ redis }: World, budget: number) => unpack("budget", (await redis.hgetBuffer(quotaKey(0), `b${budget}`))!)

test("expired: a hold that ran out comes back in the next round, and not before", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  await world.issue("ann")
  await world.reserve("ann", "order 1")
  world.later(899_999)
  expect(await sweep()).toMatchObject({ expired: 0, is_behind: false })
  world.later(1)
  expect(await sweep()).toMatchObject({ expired: 1 })
  expect((await money(world, 1)).held).toBe(0)
  expect((await world.reserve("ann", "order 2")).outcome).toBe("reserved")
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("ended: an unused coupon gives back the money that was held for it, at its end", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  await world.issue("ann", { campaign: AT_ISSUE })
  expect((await money(world, 2)).held).toBe(500)
  world.later(5 * DAY_MS)
  expect(await sweep()).toMatchObject({ ended: 1 })
  expect((await money(world, 2)).held).toBe(0)
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("evicted: what is over, flushed and aged leaves, its marks stay, and the check calls that equal", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  await world.trade()
  world.later(5 * DAY_MS + AGE_MS + HOUR_MS)
  // Nothing is in Postgres yet, so nothing may leave Redis.
  await sweep()
  expect((await world.redis.hkeys(world.keysOf("cyd").keys.wallet)).some((field) => field.length > 14)).toBe(true)
  await world.flush()
  world.later(HOUR_MS)
  await sweep()
  await world.flush()
  await sweep()
  expect((await world.redis.hkeys(world.keysOf("cyd").keys.wallet)).map((field) => field[0]!).sort()).toEqual(["m", "n", "o", "r"])
  expect(await world.redis.exists(settledKey(0, hourOf(NOON)))).toBe(0)
  await world.flush()
  expect(await world.differences()).toEqual([])
  // The marks go in their turn, and with the last one the wallet and its deadline.
  world.later(REMEMBER_MS + 30 * DAY_MS)
  for (let round = 0; round < 3; round += 1) {
    await sweep()
    world.later(HOUR_MS)
    await world.flush()
  }
  expect(await world.redis.exists(world.keysOf("cyd").keys.wallet)).toBe(0)
  expect(await world.redis.zscore(dueKey(0), `u${world.keysOf("cyd").user}`)).toBeNull()
  expect(await world.differences()).toEqual([])
})

test("loaded: what was forgotten and is asked for again is what the check expects", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  await world.issue("ann")
  await world.reserve("ann", "order 1")
  await world.confirm("ann", "order 1")
  await world.flush()
  for (const span_ms of [5 * DAY_MS + AGE_MS + HOUR_MS, HOUR_MS, REMEMBER_MS + 30 * DAY_MS, HOUR_MS, HOUR_MS]) {
    world.later(span_ms)
    await sweep()
    await world.flush()
    await sweep()
  }
  const { user, keys: { quota, due, wallet, settled } } = world.keysOf("ann")
  expect(await world.redis.exists(wallet)).toBe(0)
  const [row] = await world.sql<{ redemption_id: string; head: unknown; body: string }[]>`select redemption_id, head, body from redemptions`
  const [cursor] = await world.sql<{ epoch: number; n: number }[]>`select epoch, n from cells`
  const reply = await run(world.redis, load, {
    keys: { quota, due, wallet, settled },
    args: {
      now_ms: world.now(), user, redemption: row!.redemption_id.slice(user.length), hour: String(hourOf(world.now())), mark_then: "", cursor_epoch: cursor!.epoch, cursor_n: cursor!.n,
      head: (typeof row!.head === "string" ? JSON.parse(row!.head) : row!.head) as unknown[], body: row!.body, coupons: [], age_ms: AGE_MS,
    },
  })
  expect(reply).toEqual({ outcome: "loaded" })
  expect(await world.differences()).toEqual([])
})

test("evicted: hours leave some in a round, so that holds which run out meanwhile do not wait for all of them", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  const hours = Array.from({ length: HOURS_MAX + 2 }, (_, i) => hourOf(NOON) - 20 + i)
  for (const hour of hours) await world.redis.hset(settledKey(0, hour), "abcdefghijkl", "x")
  const left = async () => (await Promise.all(hours.map((hour) => world.redis.exists(settledKey(0, hour))))).filter((there) => there === 1).length
  world.later(AGE_MS)
  await world.issue("ann")
  await world.flush()
  await sweep()
  expect(await left()).toBe(2)
  await sweep()
  expect(await left()).toBe(0)
})

test("evicted: a used coupon leaves when it has aged, however far its end", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  await world.issue("ann")
  await world.reserve("ann", "order 1")
  await world.confirm("ann", "order 1")
  world.later(AGE_MS + HOUR_MS)
  await sweep()
  await world.flush()
  world.later(HOUR_MS)
  await sweep()
  world.later(HOUR_MS)
  expect(await sweep()).toMatchObject({ evicted: 1 })
  expect((await world.redis.hkeys(world.keysOf("ann").keys.wallet)).map((field) => field[0]!).sort()).toEqual(["m", "n", "o", "r"])
  await world.flush()
  expect(await world.differences()).toEqual([])
})

test("tick: each hour, and at the start, the cell says how far it is", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  for (const later of [0, 1_000, HOUR_MS, 1_000]) {
    world.later(later)
    await sweep()
  }
  await world.flush()
  expect([...await world.sql`select at_ms from events where act = 'tick' order by n`]).toEqual([{ at_ms: NOON }, { at_ms: NOON + 1_000 + HOUR_MS }])
})

test("journal_full: what spends is refused while too much lies unflushed, and allowed again", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  expect((await sweep({ journal_bytes_max: 2 ** 30 })).journal_bytes).toBeGreaterThan(0)
  expect((await world.issue("ann")).outcome).toBe("issued")
  await Bun.sleep(MEASURED_MS)
  // The journal's kept bytes do not count, so a limit below zero is what so small a journal is over.
  await sweep({ journal_bytes_max: -1 })
  expect((await world.issue("bob")).outcome).toBe("journal_full")
  await Bun.sleep(MEASURED_MS)
  await sweep({ journal_bytes_max: 2 ** 30 })
  expect((await world.issue("bob")).outcome).toBe("issued")
})

test("gate_closed: a round over a shut cell says so and does nothing", async () => {
  const world = await newWorld()
  const sweep = sweeperOf(world)
  await world.shop()
  await world.restart()
  expect(await sweep()).toMatchObject({ is_shut: true, expired: 0 })
})

test("judgeWallet: a wallet with more than one call takes is due again at once", () => {
  const wallet = new Map(Array.from({ length: 100 }, (_, i) => [`m${String(i).padStart(8, "0")}`, Buffer.from("1")] as const))
  const { marks, next_ms } = judgeWallet(wallet, new Map(), { now_ms: NOON, age_ms: AGE_MS, remember_ms: REMEMBER_MS }, NOON)
  expect([marks.length, next_ms]).toEqual([64, NOON + 1])
})

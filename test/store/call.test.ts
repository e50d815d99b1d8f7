/** What a caller hears of a call whose reply comes late, or never. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Redis } from "ioredis"
import { gate_state } from "../../lua/gate_state.ts"
import { journalKey, quotaKey } from "../../lua/keys.ts"
import { quietLog } from "../../engine/log.ts"
import { startPrivate, type PrivateServers } from "../../engine/store/private.ts"
import { connectRedis, NotExecuted, OutcomeUnknown, redisReady, run } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"

const WAIT_MS = 100
let servers: PrivateServers, ours: Redis, other: Redis
beforeAll(async () => {
  servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  ours = connectRedis(servers.redisUrl!, () => undefined)
  await redisReady(ours, 5_000)
  ours.options.commandTimeout = WAIT_MS
  other = new Redis(servers.redisUrl!)
})
afterAll(async () => {
  ours.disconnect()
  other.disconnect()
  await servers.stop()
})

const ask = (cell: number) => run(ours, gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })
const faultOf = (asked: Promise<unknown>) => asked.then(() => "none", (fault: unknown) => fault)

test("outcome_unknown: whose reply is late hears that, and the late reply is nobody else's", async () => {
  const shut = await ask(0)
  await other.set("late", "x")
  await other.call("CLIENT", "PAUSE", WAIT_MS * 3, "ALL")
  const faults = await Promise.all([faultOf(ask(1)), faultOf(ask(2))])
  for (const fault of faults) expect(fault).toBeInstanceOf(OutcomeUnknown)
  await until("Redis answers again", async () => await faultOf(ask(3)) === "none")
  expect(await Promise.all([ask(4), ours.get("late"), ask(5)])).toEqual([shut, "x", shut])
})

test("outcome_unknown: a call whose connection is lost; then one that cannot be sent is known not to have run", async () => {
  const id = await ours.client("ID")
  await other.call("CLIENT", "PAUSE", WAIT_MS / 2, "ALL")
  const waiting = [faultOf(ask(1)), faultOf(ask(2))]
  await Bun.sleep(1) // they have left by then
  ours.stream.destroy()
  for (const fault of await Promise.all(waiting)) expect(fault).toBeInstanceOf(OutcomeUnknown)
  expect(await faultOf(ask(3))).toBeInstanceOf(NotExecuted)
  await redisReady(ours, 5_000)
  expect(await ours.client("ID")).not.toBe(id)
  expect(await faultOf(ask(4))).toBe("none")
})

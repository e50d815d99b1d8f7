/** What a caller hears of a call whose reply comes late, or never. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import type { Socket } from "node:net"
import { join } from "node:path"
import { Redis } from "ioredis"
import { gate_state } from "../../lua/gate_state.ts"
import { journalKey, quotaKey } from "../../lua/keys.ts"
import { quietLog } from "../../engine/log.ts"
import { startPrivate, type PrivateServers } from "../../engine/private/start.ts"
import { connectRedis, NotExecuted, OutcomeUnknown, redisReady, run } from "../../engine/store/redis.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"

/** How long a caller waits for a Redis that stands still, and for one that goes on, on a machine that may be busy. */
const WAIT_MS = 100, BUSY_MS_MAX = 30_000
let servers: PrivateServers, ours: Redis, other: Redis
beforeAll(async () => {
  servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  ours = connectRedis(servers.redisUrl!, () => undefined)
  ours.options.commandTimeout = BUSY_MS_MAX
  await redisReady(ours, BUSY_MS_MAX)
  other = new Redis(servers.redisUrl!)
})
afterAll(async () => {
  ours.disconnect()
  other.disconnect()
  await servers.stop()
})

const ask = (cell: number) => run(ours, gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })
const faultOf = (asked: Promise<unknown>) => asked.then(() => "none", (fault: unknown) => fault)
/** While the server takes words and answers none: a pause that Redis ends by its own clock may be over before a busy caller has asked. */
const whileItStands = async (work: () => Promise<void>): Promise<void> => {
  const pid = servers.pids()["redis"]!
  process.kill(pid, "SIGSTOP")
  try { await work() } finally { process.kill(pid, "SIGCONT") }
}

test("outcome_unknown: whose reply is late hears that, and the late reply is nobody else's", async () => {
  const shut = await ask(0)
  await other.set("late", "x")
  await whileItStands(async () => {
    ours.options.commandTimeout = WAIT_MS
    const faults = await Promise.all([faultOf(ask(1)), faultOf(ask(2))])
    ours.options.commandTimeout = BUSY_MS_MAX
    for (const fault of faults) expect(fault).toBeInstanceOf(OutcomeUnknown)
  })
  await until("Redis answers again", async () => await faultOf(ask(3)) === "none")
  expect(await Promise.all([ask(4), ours.get("late"), ask(5)])).toEqual([shut, "x", shut])
})

test("outcome_unknown: a connection that says nothing for long is given up, and another goes on", async () => {
  const id = await ours.client("ID"), { stream } = ours
  await whileItStands(async () => {
    ours.options.commandTimeout = WAIT_MS
    const first = await faultOf(ask(1))
    ours.options.commandTimeout = BUSY_MS_MAX
    expect([first, stream.destroyed]).toEqual([expect.any(OutcomeUnknown), false])
    await until("the connection is closed", () => stream.destroyed)
    expect(await faultOf(ask(2))).toBeInstanceOf(NotExecuted)
  })
  await redisReady(ours, BUSY_MS_MAX)
  expect(await ours.client("ID")).not.toBe(id)
  expect(await faultOf(ask(3))).toBe("none")
})

test("outcome_unknown: a call whose connection is lost; then one that cannot be sent is known not to have run", async () => {
  const id = await ours.client("ID")
  await whileItStands(async () => {
    const { stream } = ours, sent = (): number => (stream as Socket).bytesWritten, before = sent()
    const waiting = [faultOf(ask(1)), faultOf(ask(2))]
    await until("they have left", () => sent() > before)
    stream.destroy()
    for (const fault of await Promise.all(waiting)) expect(fault).toBeInstanceOf(OutcomeUnknown)
    expect(await faultOf(ask(3))).toBeInstanceOf(NotExecuted)
  })
  await redisReady(ours, BUSY_MS_MAX)
  expect(await ours.client("ID")).not.toBe(id)
  expect(await faultOf(ask(4))).toBe("none")
})

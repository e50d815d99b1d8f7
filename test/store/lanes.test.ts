/** How acts are spread over the connections to a node. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { join } from "node:path"
import { Redis } from "ioredis"
import { quietLog } from "../../engine/log.ts"
import { ACT_LANES_MAX } from "../../engine/store/lanes.ts"
import type { Masters } from "../../engine/store/masters.ts"
import { startPrivate, type PrivateServers } from "../../engine/private/start.ts"
import { ask, connectServers, OutcomeUnknown, redisReady, run } from "../../engine/store/redis.ts"
import { gate_state } from "../../lua/gate_state.ts"
import { journalKey, quotaKey } from "../../lua/keys.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { ANSWER_MS_MAX } from "../support/stack.ts"

const READY_MS = 60_000
/** Four of these fill a connection. */
const LONG = "x".repeat(6_000)
const MANY = 60

let servers: PrivateServers, ours: Masters, other: Redis
beforeAll(async () => {
  servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog, postgres: false })
  other = new Redis(servers.redisUrl!)
  await other.ping()
})
beforeEach(async () => {
  ours = connectServers(servers.redisUrl!, () => undefined, ANSWER_MS_MAX)
  await redisReady(ours, READY_MS)
})
afterEach(async () => {
  ours.disconnect()
  await until("the connections are gone", async () => (await acting()).length === 0)
})
afterAll(async () => {
  other.disconnect()
  await servers.stop()
})

/** An act that reads, as long as is said. */
const look = (length: "short" | "long") => run(ours, gate_state, { keys: { quota: quotaKey(0) + (length === "long" ? LONG : ""), journal: journalKey(0) }, args: {} })
const looks = (count: number, length: "short" | "long") => Promise.all(Array.from({ length: count }, () => look(length)))
/** The ids of the connections whose last command was an act. */
const acting = async (): Promise<string[]> => String(await other.client("LIST")).split("\n").flatMap((line) => / cmd=fcall_ro /.test(line) ? [/^id=(\d+)/.exec(line)![1]!] : [])
const spread = () => until("acts are spread over all connections", async () => {
  // One that was cut off a moment ago may be used once more before anyone hears of it: then again.
  const heard = await looks(MANY, "long").catch(() => [])
  return heard.length === MANY && (await acting()).length === ACT_LANES_MAX
})

test("few acts share a connection, and short ones do", async () => {
  await looks(MANY, "short")
  expect(await acting()).toHaveLength(1)
  await looks(2, "long")
  expect(await acting()).toHaveLength(1)
})

test("long acts at once are spread, each is answered, and afterwards one connection does again", async () => {
  await spread()
  const [alone] = await looks(1, "long")
  for (const each of await looks(MANY, "long")) expect(each).toEqual(alone!)
  const ids = await Promise.all(Array.from({ length: 3 }, () => ask(ours, quotaKey(0), (node) => node.client("ID"))))
  expect(new Set(ids).size).toBe(1)
  const others = (await acting()).filter((id) => id !== String(ids[0]))
  expect(others).toHaveLength(ACT_LANES_MAX - 1)
  // Nothing is left over of what was unanswered: a short act goes where plain commands go.
  await look("short")
  expect(await acting()).toHaveLength(ACT_LANES_MAX)
})

test("outcome_unknown: acts on a connection that is lost, and on no other; it is used again once it is back", async () => {
  await spread()
  const plain = String(await ask(ours, quotaKey(0), (node) => node.client("ID")))
  const lost = (await acting()).find((id) => id !== plain)!
  const asked = Array.from({ length: MANY }, () => look("long").then(({ outcome }) => outcome, (fault: unknown) => fault))
  await other.client("KILL", "ID", lost)
  const heard = await Promise.all(asked)
  for (const each of heard) if (typeof each !== "string") expect(each).toBeInstanceOf(OutcomeUnknown)
  expect(heard.filter((each) => typeof each === "string").length).toBeGreaterThan(0)
  await spread()
  expect(await acting()).not.toContain(lost)
  for (const each of await looks(MANY, "long")) expect(each).toHaveProperty("outcome")
})

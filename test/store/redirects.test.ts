/**
 * What becomes of each word by which a Redis says that it has run nothing: a silent retry that ends with the right answer, or NotExecuted, which callers hear
 * as 503 `overloaded` and may repeat. Real servers say the words; the test sees that they did.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import { withDeathSignal } from "../../engine/child.ts"
import { freePort } from "../../engine/private/folder.ts"
import { findRedisServer } from "../../engine/private/redis.ts"
import { ask, COMMAND_TIMEOUT_MS, connectRedis, connectServers, NotExecuted, redisReady } from "../../engine/store/redis.ts"
import type { Masters } from "../../engine/store/masters.ts"
import { slotOf } from "../../engine/store/slots.ts"
import { handsOn } from "../support/cluster.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { beforeEnd, stack } from "../support/stack.ts"

const START_MS_MAX = 120_000
const READY_MS_MAX = 60_000

let hands: ReturnType<typeof handsOn>, servers: Masters
beforeAll(async () => {
  const { redisUrl, pids } = await (await stack()).ownRedis("cluster")
  hands = handsOn({ redisUrl, pids }, beforeEnd)
  servers = connectServers(redisUrl, () => undefined, COMMAND_TIMEOUT_MS)
  await redisReady(servers, READY_MS_MAX)
}, START_MS_MAX)
afterAll(() => { servers.disconnect() })

/** What a client that follows nothing hears of a command: its answer, or its fault's words. */
const heardBy = (client: Redis, ...[command, ...words]: [string, ...(string | number)[]]): Promise<unknown> => client.call(command, ...words.map(String)).catch((fault: Error) => fault.message)
const setFor = (key: string, value: string) => ask(servers, key, (node) => node.set(key, value))
const getFor = (key: string) => ask(servers, key, (node) => node.get(key))
const idOf = async (client: Redis): Promise<string> => String(await client.call("CLUSTER", "MYID"))

/** The master of a key and another one. */
const twoFor = async (key: string) => {
  const { master: from } = await hands.serving(key)
  for (const other of ["{a}", "{b}", "{c}", "{d}", "{e}", "{f}"]) {
    const { master } = await hands.serving(other)
    if (master.name !== from.name) return { from, to: master }
  }
  throw new Error("every key has the same master")
}

test("MOVED: a slot that is elsewhere now is followed, and the next call goes there at once", async () => {
  const key = "{moved}k", { from, to } = await twoFor(key)
  await setFor(key, "before")
  await hands.moveSlot(key, to, 0)
  expect(await heardBy(from.client, "GET", key)).toMatch(/^MOVED /)
  expect(await getFor(key)).toBe("before")
  await setFor(key, "after")
  expect(await heardBy(to.client, "GET", key)).toBe("after")
})

test("ASK: a key that has left while its slot still moves is found where it is", async () => {
  const key = "{asked}k", { from, to } = await twoFor(key), slot = slotOf(key)
  await to.client.call("CLUSTER", "SETSLOT", slot, "IMPORTING", await idOf(from.client))
  await from.client.call("CLUSTER", "SETSLOT", slot, "MIGRATING", await idOf(to.client))
  expect(await heardBy(from.client, "GET", key)).toMatch(/^ASK /)
  await setFor(key, "there")
  expect(await heardBy(from.client, "EXISTS", key)).toMatch(/^ASK /)
  expect(await getFor(key)).toBe("there")
  await hands.moveSlot(key, to, 0)
  expect(await getFor(key)).toBe("there")
})

test("TRYAGAIN: keys that lie on both sides of a move are not executed, and are once it is over", async () => {
  const [one, two] = ["{again}1", "{again}2"], { from, to } = await twoFor(one!), slot = slotOf(one!)
  for (const key of [one!, two!]) await setFor(key, key)
  await to.client.call("CLUSTER", "SETSLOT", slot, "IMPORTING", await idOf(from.client))
  await from.client.call("CLUSTER", "SETSLOT", slot, "MIGRATING", await idOf(to.client))
  await from.client.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "AUTH", from.client.options.password ?? "", "KEYS", one!)
  expect(await heardBy(from.client, "MGET", one!, two!)).toMatch(/^TRYAGAIN /)
  const both = () => ask(servers, one!, (node) => node.mget(one!, two!))
  expect(await both().catch((fault: unknown) => fault)).toBeInstanceOf(NotExecuted)
  const waiting = both().catch((fault: unknown) => fault)
  await hands.moveSlot(one!, to, 0)
  const first = await waiting
  if (!Array.isArray(first)) expect(first).toBeInstanceOf(NotExecuted)
  expect(await both()).toEqual([one!, two!])
})

test("CLUSTERDOWN: a slot that nobody serves executes nothing, and is served again once somebody does", async () => {
  const key = "{down}k", { from } = await twoFor(key), slot = slotOf(key)
  await setFor(key, "kept")
  const id = await idOf(from.client)
  for (const { client } of hands.members) await client.call("CLUSTER", "DELSLOTS", slot).catch(() => undefined)
  expect(await heardBy(from.client, "GET", key)).toMatch(/^CLUSTERDOWN /)
  expect(await getFor(key).catch((fault: unknown) => fault)).toBeInstanceOf(NotExecuted)
  await from.client.call("CLUSTER", "ADDSLOTS", slot)
  for (const { client } of hands.members) await client.call("CLUSTER", "SETSLOT", slot, "NODE", id).catch(() => undefined)
  await until("it is served again", async () => await getFor(key).catch(() => undefined) === "kept")
})

/** A bare server of this test's own, for what a private one is never told; as the engine asks it, and as anybody does. */
const bareServer = async (): Promise<{ redis: Redis; other: Redis }> => {
  const dir = scratchFolder(), port = await freePort()
  mkdirSync(join(dir, "bare"))
  writeFileSync(join(dir, "redis.conf"), `bind 127.0.0.1\nport ${port}\ndir ${join(dir, "bare")}\nsave ""\nenable-debug-command local\nloading-process-events-interval-bytes 1024\n`)
  const server = Bun.spawn(withDeathSignal("SIGKILL", [findRedisServer() ?? "", join(dir, "redis.conf")]), { stdout: "ignore", stderr: "ignore", detached: true })
  beforeEnd(async () => { server.kill("SIGKILL"); await server.exited })
  const redis = connectRedis(`redis://127.0.0.1:${port}`, () => undefined)
  beforeEnd(async () => redis.disconnect())
  await redisReady(redis, READY_MS_MAX)
  const other = new Redis(port, "127.0.0.1").on("error", () => undefined)
  beforeEnd(async () => other.disconnect())
  return { redis, other }
}

test("READONLY: a server that has become a replica executes no write, and does once it is a master again", async () => {
  const { redis, other } = await bareServer()
  await other.call("REPLICAOF", "127.0.0.1", String(await freePort()))
  expect(await heardBy(other, "SET", "k", "v")).toMatch(/^READONLY /)
  const written = () => ask(redis, "k", (node) => node.set("k", "v"))
  expect(await written().catch((fault: unknown) => fault)).toBeInstanceOf(NotExecuted)
  await other.call("REPLICAOF", "NO", "ONE")
  expect(await written()).toBe("OK")
})

test("LOADING: a server that reads its data executes nothing, and does once it has read them", async () => {
  const { redis, other } = await bareServer()
  await other.call("EVAL", "for i = 1, 20000 do redis.call('SET', 'k' .. i, i) end", "0")
  await other.call("CONFIG", "SET", "key-load-delay", "100") // microseconds a key: two seconds in all
  const reading = other.call("DEBUG", "RELOAD")
  const heard: unknown[] = []
  const readOne = () => ask(redis, "k1", (node) => node.get("k1")).catch((fault: unknown) => fault)
  await until("somebody is told", async () => { heard.push(await readOne()); return heard.at(-1) instanceof NotExecuted })
  expect(String(heard.at(-1))).toContain("LOADING")
  await reading
  expect(await readOne()).toBe("1")
  expect(heard.filter((each) => each !== "1" && !(each instanceof NotExecuted))).toEqual([])
})

/** Whether unsafe servers are seen: on facts, and on a real Redis and Postgres with their settings turned. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Redis } from "ioredis"
import postgres from "postgres"
import { checkServers, judge, judgeRedis, type RedisFacts, type RedisNode, tooOld } from "../../engine/store/safety.ts"
import { stack } from "../support/stack.ts"

const SAFE: RedisFacts = {
  name: "r", version: [7, 4], isValkey: false, isMaster: true, replicas: 0,
  settings: { appendonly: "yes", appendfsync: "always", "no-appendfsync-on-rewrite": "no", "maxmemory-policy": "noeviction" },
}
const levels = (facts: Partial<RedisFacts>, durability: "local" | "replicated" | "ledger" = "local") =>
  judgeRedis({ ...SAFE, ...facts }, durability).map(({ level }) => level)

describe("facts", () => {
  test("safe: every setting as it must be", () => {
    expect(levels({})).toEqual([])
  })
  test("unsafe: each setting on its own, also one that cannot be read", () => {
    for (const [name, value] of [["appendonly", "no"], ["appendfsync", "everysec"], ["no-appendfsync-on-rewrite", "yes"], ["maxmemory-policy", "allkeys-lru"]] as const) {
      expect(levels({ settings: { ...SAFE.settings, [name]: value } })).toEqual(["memory"])
      const { [name]: _, ...unread } = SAFE.settings
      expect(levels({ settings: unread })).toEqual(["memory"])
    }
  })
  test("unsafe: local where a master may fail over; replicated and ledger hold there", () => {
    expect(levels({ replicas: 1 })).toEqual(["local"])
    expect(levels({ replicas: 1 }, "ledger")).toEqual([])
  })
  test("unsafe: replicated without a replica, or where a master would go on without one", () => {
    const settings = { ...SAFE.settings, "min-replicas-to-write": "1" }
    expect(levels({ settings }, "replicated")).toEqual(["local"])
    expect(levels({ replicas: 1 }, "replicated")).toEqual(["local"])
    expect(levels({ replicas: 1, settings: { ...settings, "min-replicas-to-write": "0" } }, "replicated")).toEqual(["local"])
    expect(levels({ replicas: 1, settings, version: [7, 0] }, "replicated")).toEqual([])
    expect(levels({ isMaster: false, is_replica: true, settings }, "replicated")).toEqual([])
    expect(levels({ isMaster: false, is_replica: true, settings: { ...settings, appendfsync: "no" } }, "replicated")).toEqual(["memory"])
  })
  test("unsafe: a replica takes no writes", () => {
    expect(levels({ isMaster: false })).toEqual(["memory"])
  })
  test("too old: below 7.0, whatever is accepted", () => {
    expect(tooOld({ ...SAFE, version: [6, 2] })).toHaveLength(1)
    expect(tooOld({ ...SAFE, version: [7, 0] })).toEqual([])
  })
  test("accepted: only by the name of the level that is really served", () => {
    const memory = [{ level: "memory" as const, say: "a" }]
    const local = [{ level: "local" as const, say: "b" }]
    expect(judge([], "ledger", undefined)).toEqual({ outcome: "safe", durability: "ledger" })
    expect(judge(memory, "local", undefined).outcome).toBe("unsafe")
    expect(judge(memory, "local", "local").outcome).toBe("unsafe")
    expect(judge(memory, "local", "memory")).toEqual({ outcome: "accepted", durability: "memory", reasons: ["a"] })
    expect(judge(local, "local", "local")).toEqual({ outcome: "accepted", durability: "local", reasons: ["b"] })
    expect(judge(local, "local", "memory")).toEqual({ outcome: "accepted", durability: "local", reasons: ["b"] })
  })
})

describe("real servers", () => {
  let redis: Redis
  let sql: postgres.Sql
  let node: RedisNode
  beforeAll(async () => {
    const { ownRedis, databaseUrl } = await stack()
    redis = new Redis((await ownRedis()).redisUrl)
    node = { name: "own", call: (command, ...args) => redis.call(command, ...args) }
    sql = postgres(databaseUrl, { max: 1 })
  })
  afterAll(async () => {
    redis.disconnect()
    await sql.end()
  })

  test("safe: the private servers as they are started", async () => {
    expect(await checkServers([node], sql, "local", undefined)).toEqual({ outcome: "safe", durability: "local" })
  })
  test("unsafe: settings that were turned while the server runs", async () => {
    for (const [name, bad, right] of [["appendfsync", "everysec", "always"], ["maxmemory-policy", "allkeys-lfu", "noeviction"], ["no-appendfsync-on-rewrite", "yes", "no"], ["appendonly", "no", "yes"]] as const) {
      await redis.config("SET", name, bad)
      const judged = await checkServers([node], sql, "local", undefined)
      await redis.config("SET", name, right)
      expect(judged.outcome).toBe("unsafe")
      expect(judged.outcome === "unsafe" && judged.reasons[0]).toContain(`${name} is "${bad}"`)
    }
  })
  test("unsafe: a server that forbids to look", async () => {
    await redis.call("ACL", "SETUSER", "blind", "on", ">word", "~*", "+@all", "-config")
    const blind = redis.duplicate({ username: "blind", password: "word" })
    const judged = await checkServers([{ name: "blind", call: (command, ...args) => blind.call(command, ...args) }], sql, "local", undefined)
    blind.disconnect()
    expect(judged.outcome === "unsafe" && judged.reasons.filter((reason) => reason.includes("cannot be read"))).toHaveLength(4)
  })
  test("unsafe: Postgres that answers before the disk", async () => {
    const hasty = await (async () => { await sql`set synchronous_commit = off`; return checkServers([node], sql, "local", undefined) })()
    await sql`reset synchronous_commit`
    expect(hasty.outcome === "unsafe" && hasty.reasons[0]).toContain("synchronous_commit")
  })
})

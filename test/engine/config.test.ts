/** The settings: what is right by default, and that every mistake is named in one go. */
import { describe, expect, test } from "bun:test"
import { type Config, readConfig } from "../../engine/config.ts"

const good = (env: Record<string, string> = {}): Config => {
  const read = readConfig(env)
  if ("mistakes" in read) throw new Error(read.mistakes.join("\n"))
  return read.config
}
const mistakes = (env: Record<string, string>): string[] => {
  const read = readConfig(env)
  return "mistakes" in read ? read.mistakes : []
}
const SERVERS = { REDIS_URL: "redis://r:6379", DATABASE_URL: "postgres://p/scrip" }

describe("defaults: an empty environment starts everything on one machine", () => {
  test("the values", () => {
    expect(good()).toEqual({
      port: 7070, host: "127.0.0.1", dataDir: ".scrip", redisUrl: undefined, databaseUrl: undefined, role: "all", cells: 1,
      durability: "local", bootstrapKey: undefined, timeZone: "UTC", clock: "system", privateRedis: "one", acceptDurability: undefined,
      lakeDir: undefined, apiUrl: undefined, jobMemoryMb: 2048, jobThreads: 2, keepMonths: 24, timingDays: 3,
      logUsers: "hashed", logRequests: "faults", apiProcesses: 1, childOf: undefined, codeMissesKey: 10_000, codeMissesUser: 20, codeMissesAddress: 200, codeMissesWindowS: 600,
    })
  })
  test("a value that is set but empty counts as not set", () => {
    expect(good({ PORT: "", REDIS_URL: " ", SCRIP_CELLS: "", SCRIP_BOOTSTRAP_KEY: "" })).toEqual(good())
  })
})

describe("values: each is read as it is meant", () => {
  test("all at once", () => {
    expect(good({
      ...SERVERS, PORT: "80", HOST: "::1", SCRIP_DATA_DIR: "/d", SCRIP_ROLE: "worker", SCRIP_CELLS: "64", SCRIP_DURABILITY: "local",
      SCRIP_PRIVATE_REDIS: "cluster", SCRIP_BOOTSTRAP_KEY: "12345678", SCRIP_TIME_ZONE: "Asia/Shanghai", SCRIP_ACCEPT_DURABILITY: "memory", SCRIP_LOG_USERS: "clear", SCRIP_API_PROCESSES: "4",
      SCRIP_LAKE_DIR: "/l", SCRIP_API_URL: "http://api:1", SCRIP_JOB_MEMORY_MB: "512", SCRIP_JOB_THREADS: "1", SCRIP_KEEP_MONTHS: "13", SCRIP_TIMING_DAYS: "5",
      SCRIP_CODE_MISSES_USER: "5", SCRIP_CODE_MISSES_WINDOW_S: "60",
    })).toEqual({
      port: 80, host: "::1", dataDir: "/d", redisUrl: "redis://r:6379", databaseUrl: "postgres://p/scrip", role: "worker", cells: 64,
      durability: "local", bootstrapKey: "12345678", timeZone: "Asia/Shanghai", clock: "system", privateRedis: "cluster", acceptDurability: "memory",
      logUsers: "clear", logRequests: "faults", apiProcesses: 4, childOf: undefined, codeMissesKey: 10_000, codeMissesUser: 5, codeMissesAddress: 200, codeMissesWindowS: 60,
      lakeDir: "/l", apiUrl: "http://api:1", jobMemoryMb: 512, jobThreads: 1, keepMonths: 13, timingDays: 5,
    })
  })
  test("a cluster is several addresses; a unix socket is its path", () => {
    expect(good({ REDIS_URL: "redis://a:1, redis://b:2" }).redisUrl).toBe("redis://a:1,redis://b:2")
    expect(good({ REDIS_URL: "redis-cluster://a:1" }).redisUrl).toBe("redis-cluster://a:1")
    expect(good({ REDIS_URL: "/run/redis.sock" }).redisUrl).toBe("/run/redis.sock")
  })
})

describe("mistakes: the start stops and every one is named", () => {
  test("a first key that is short is guessed", () => {
    expect(mistakes({ SCRIP_BOOTSTRAP_KEY: "1234567" })).toEqual(["SCRIP_BOOTSTRAP_KEY must be 8 to 256 printable ASCII characters without a space."])
  })
  test("all of them at once", () => {
    const said = mistakes({
      PORT: "70000", HOST: "a b", REDIS_URL: "http://r", DATABASE_URL: "mysql://p", SCRIP_ROLE: "king", SCRIP_CELLS: "0",
      SCRIP_DURABILITY: "memory", SCRIP_BOOTSTRAP_KEY: "two words", SCRIP_TIME_ZONE: "Mars/Base", SCRIP_CLOCK: "sun", SCRIP_PRIVATE_REDIS: "two",
      SCRIP_ACCEPT_DURABILITY: "ledger", SCRIP_LOG_USERS: "yes", SCRIP_API_PROCESSES: "-1",
    })
    expect(said.map((each) => each.split(" ")[0]).sort()).toEqual([
      "DATABASE_URL", "HOST", "PORT", "REDIS_URL", "SCRIP_ACCEPT_DURABILITY", "SCRIP_API_PROCESSES", "SCRIP_BOOTSTRAP_KEY", "SCRIP_CELLS",
      "SCRIP_CLOCK", "SCRIP_DURABILITY", "SCRIP_LOG_USERS", "SCRIP_PRIVATE_REDIS", "SCRIP_ROLE", "SCRIP_TIME_ZONE",
    ])
  })
  test("a number has one spelling", () => {
    for (const value of ["1e3", "0x10", "1.0", " 1 2", "-0", "٣"]) expect(mistakes({ SCRIP_CELLS: value })).toHaveLength(1)
  })
  test("a password is not repeated", () => {
    expect(mistakes({ REDIS_URL: "http://:secret@r", DATABASE_URL: "secret" }).join()).not.toContain("secret")
  })
  test("the replay clock is for private servers only", () => {
    expect(good({ SCRIP_CLOCK: "replay" }).clock).toBe("replay")
    expect(mistakes({ SCRIP_CLOCK: "replay", REDIS_URL: SERVERS.REDIS_URL })).toHaveLength(1)
    expect(mistakes({ SCRIP_CLOCK: "replay", DATABASE_URL: SERVERS.DATABASE_URL })).toHaveLength(1)
  })
  test("one role of several needs the servers that they share", () => {
    expect(mistakes({ SCRIP_ROLE: "api" })).toHaveLength(2)
    expect(mistakes({ SCRIP_ROLE: "jobs", REDIS_URL: SERVERS.REDIS_URL })).toHaveLength(1)
    expect(mistakes({ SCRIP_ROLE: "worker", ...SERVERS })).toEqual([])
  })
  test("several processes cannot share a port that the system chooses", () => {
    expect(mistakes({ PORT: "0", SCRIP_API_PROCESSES: "2" })).toHaveLength(1)
  })
})

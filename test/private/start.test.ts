/** The private servers, as real processes: they keep what they answered, come back when they die, and go when we go. */
import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import postgres from "postgres"
import { end, identityOf, isAlive } from "../../engine/child.ts"
import { runCommand } from "../../engine/command.ts"
import { quietLog } from "../../engine/log.ts"
import { freePort, portsOf, StartFault } from "../../engine/private/folder.ts"
import { canReach, personNamed } from "../../engine/private/person.ts"
import { findRedisServer, majorOf, redisConf } from "../../engine/private/redis.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { allEnded, descendantsOf, runEngineProcess, until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"

/** Each of these starts servers, on a machine that may be busy. */
setDefaultTimeout(180_000)

const startIn = (dataDir: string) => startPrivate({ dataDir, log: quietLog })

/** Servers are killed under these clients: what a call sees of that is its own to tell. */
const connect = (url: string | undefined): Redis => new Redis(url ?? "", { retryStrategy: null }).on("error", () => {})

const write = async ({ redisUrl, databaseUrl }: { redisUrl: string | undefined; databaseUrl: string | undefined }) => {
  const redis = connect(redisUrl)
  await redis.set("kept", "yes")
  redis.disconnect()
  const sql = postgres(databaseUrl ?? "", { max: 1 })
  await sql`create table kept as select 'yes' as word`
  await sql.end()
}
const read = async ({ redisUrl, databaseUrl }: { redisUrl: string | undefined; databaseUrl: string | undefined }) => {
  const redis = connect(redisUrl)
  const fromRedis = await redis.get("kept")
  redis.disconnect()
  const sql = postgres(databaseUrl ?? "", { max: 1 })
  const [row] = await sql`select word from kept`
  await sql.end()
  return [fromRedis, row?.["word"]]
}
/** The servers' addresses as a folder remembers them. */
const remembered = (dataDir: string) => {
  const { redis_port, redis_password, postgres_port, postgres_password } = JSON.parse(readFileSync(join(dataDir, "servers.json"), "utf8")) as Record<string, string>
  return { redisUrl: `redis://:${redis_password}@127.0.0.1:${redis_port}`, databaseUrl: `postgres://postgres:${postgres_password}@127.0.0.1:${postgres_port}/scrip` }
}

describe("ports", () => {
  test("no port is chosen twice by a process, also at once, and processes that start at once choose in parts of their own", async () => {
    const ports = await Promise.all(Array.from({ length: 60 }, freePort))
    expect(new Set(ports).size).toBe(60)
    const [first, end] = portsOf(process.pid)
    expect(ports.every((port) => first <= port && port < end)).toBe(true)
    const parts = Array.from({ length: 64 }, (_, i) => portsOf(process.pid + i)).toSorted(([a], [b]) => a - b)
    expect(parts.every(([from, to], i) => 20_000 <= from && from < to && to <= (parts[i + 1]?.[0] ?? 32_768))).toBe(true)
  })
})

describe("a folder", () => {
  test("keeps its data and its addresses over a stop, and nobody gets in without the password", async () => {
    const dataDir = join(scratchFolder(), "data")
    const first = await startIn(dataDir)
    await write(first)
    await expect(startIn(dataDir)).rejects.toThrow(StartFault)
    const stranger = connect((first.redisUrl ?? "").replace(/:[^:]*@/, ""))
    await expect(stranger.get("kept")).rejects.toThrow("NOAUTH")
    await first.stop()
    stranger.disconnect()
    const second = await startIn(dataDir)
    expect([second.redisUrl, second.databaseUrl]).toEqual([first.redisUrl, first.databaseUrl])
    expect(await read(second)).toEqual(["yes", "yes"])
    await second.stop()
    expect(existsSync(join(dataDir, "engine.lock"))).toBe(false)
  })

  test("under a folder that is closed to everyone else serves all the same, and stays closed", async () => {
    const closed = scratchFolder()
    chmodSync(closed, 0o700)
    const servers = await startIn(join(closed, "data"))
    await write(servers)
    await servers.stop()
    expect(canReach(join(closed, "data"), { uid: 65_534, gid: 65_534 })).toBe(false)
  })

  test("that cannot be made or written in is named with the reason, by the start and by the commands", async () => {
    const file = join(scratchFolder(), "file")
    writeFileSync(file, "no folder")
    for (const [dataDir, reason] of [[join(file, "data"), "ENOTDIR"], [file, "ENOTDIR"], ["/proc/none/data", "ENOENT"], ["/proc", "ENOENT"]] as const) {
      const engine = runEngineProcess({ SCRIP_DATA_DIR: dataDir })
      expect(await engine.exited).toBe(1)
      expect(engine.said()).toStartWith(`Scrip does not start: SCRIP_DATA_DIR is ${dataDir}, which cannot be used: ${reason}: `)
    }
    const unreadable = scratchFolder()
    mkdirSync(join(unreadable, "servers.json"))
    const heard: string[] = []
    expect(await runCommand({ SCRIP_DATA_DIR: unreadable }, ["verify"], { say: (line) => heard.push(line), show: () => {}, isTerminal: false })).toBe(2)
    expect(heard).toEqual([expect.stringMatching(/^SCRIP_DATA_DIR is \S+, which cannot be used: EISDIR: /)])
  })
})

describe("a server that dies", () => {
  test("is started again with all that it answered", async () => {
    const servers = await startIn(join(scratchFolder(), "data"))
    await write(servers)
    const before = servers.pids()
    for (const pid of Object.values(before)) process.kill(pid, "SIGKILL")
    await until("both serve again", () => read(servers).then((words) => words.join() === "yes,yes", () => false))
    expect(servers.restarts()).toEqual({ redis: 1, postgres: expect.any(Number) })
    expect(Object.values(servers.pids())).not.toContain(before["redis"])
    await servers.stop()
  })
})

describe("an engine that is killed", () => {
  test("takes its servers along, and the next start has all that they answered", async () => {
    const dataDir = join(scratchFolder(), "data")
    const engine = runEngineProcess({ SCRIP_DATA_DIR: dataDir })
    await engine.url()
    await write(remembered(dataDir))
    const children = descendantsOf(engine.pid)
    // Each server leads a group of its own: a terminal's Ctrl-C does not reach it.
    for (const name of ["redis", "postgres"]) {
      const { pid } = JSON.parse(readFileSync(join(dataDir, `${name}.pid`), "utf8")) as { pid: number }
      expect(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[2]).toBe(String(pid))
    }
    engine.kill("SIGKILL")
    await engine.exited
    const servers = await startIn(dataDir)
    expect(await read(servers)).toEqual(["yes", "yes"])
    await servers.stop()
    await allEnded(children)
  })

  test("in the middle of its first start leaves nothing that stops the next", async () => {
    const dataDir = join(scratchFolder(), "data")
    const engine = runEngineProcess({ SCRIP_DATA_DIR: dataDir })
    // Or is made already, where we were not looking for as long as that takes.
    await until("Postgres' folder is being made", () => existsSync(dataDir) && readdirSync(dataDir).some((name) => name === "postgres" || name.startsWith("postgres.new.")))
    engine.kill("SIGKILL")
    await engine.exited
    const servers = await startIn(dataDir)
    await write(servers)
    await servers.stop()
  })

  test("may leave a server behind: one that is proved ours is stopped, a stranger under its pid is not", async () => {
    const dataDir = join(scratchFolder(), "data")
    mkdirSync(join(dataDir, "redis"), { recursive: true })
    chmodSync(dataDir, 0o711)
    writeFileSync(join(dataDir, "redis", "left.conf"), redisConf(join(dataDir, "redis"), 0, "word"))
    const left = Bun.spawn([findRedisServer() ?? "", join(dataDir, "redis", "left.conf")], { stdout: "ignore", detached: true })
    const stranger = Bun.spawn(["sleep", "600"])
    const leftIdentity = identityOf(left.pid)
    const strangerIdentity = identityOf(stranger.pid)
    if (!leftIdentity || !strangerIdentity) throw new Error("a process that was just started is not there")
    writeFileSync(join(dataDir, "redis.pid"), JSON.stringify(leftIdentity))
    writeFileSync(join(dataDir, "postgres.pid"), JSON.stringify({ ...strangerIdentity, started: "another time" }))
    writeFileSync(join(dataDir, "engine.lock"), JSON.stringify({ ...strangerIdentity, started: "another time" }))

    const servers = await startIn(dataDir)
    expect(isAlive(leftIdentity)).toBe(false)
    expect(isAlive(strangerIdentity)).toBe(true)
    await servers.stop()
    await end(strangerIdentity, ["SIGTERM"], 30_000)
  })
})

describe("what a system says", () => {
  test("a server's version", () => {
    expect(majorOf("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")).toBe(7)
    expect(majorOf("Valkey server v=8.1.1 sha=00000000:0")).toBe(8)
    expect(majorOf("command not found")).toBeUndefined()
  })
  test("a user", () => {
    const passwd = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/bin/false\n"
    expect(personNamed("nobody", passwd)).toEqual({ uid: 65_534, gid: 65_533 })
    expect(personNamed("postgres", passwd)).toBeUndefined()
  })
})

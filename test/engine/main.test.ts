/** Start and stop, with real processes: what is in flight finishes, nothing is left, and a start that cannot be says why. */
import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { isAlive } from "../../engine/child.ts"
import { freePort } from "../../engine/private/folder.ts"
import { allEnded, descendantsOf, runEngineProcess, until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { stack } from "../support/stack.ts"

/** Each of these starts an engine or two, on a machine that may be busy. */
setDefaultTimeout(180_000)

const STARTS_MAX = 3

const servers = async () => {
  const { redisUrl, freshDatabase } = await stack()
  return { REDIS_URL: redisUrl, DATABASE_URL: await freshDatabase() }
}
describe("stop", () => {
  test("SIGTERM: the request in flight is answered, new ones are refused, exit 0, no child left", async () => {
    const engine = runEngineProcess()
    const url = await engine.url()
    const children = descendantsOf(engine.pid)
    expect(children.length).toBeGreaterThan(3) // Redis, the scheduler, Postgres and its own children
    const slow = fetch(`${url}/slow`)
    await until("the request is in the server", async () => ((await (await fetch(url)).json()) as { slow: number }).slow === 1)
    engine.kill("SIGTERM")
    await until("new connections are refused", async () => fetch(url).then(() => false, () => true))
    expect(await (await slow).json()).toMatchObject({ draining: true })
    expect(await engine.exited).toBe(0)
    expect(children.filter(isAlive)).toEqual([])
    expect(engine.said()).toContain("flushed")
  })
  test("SIGINT twice, as a terminal and npm send it, is one stop", async () => {
    const engine = runEngineProcess(await servers())
    await engine.url()
    engine.kill("SIGINT")
    engine.kill("SIGINT")
    expect(await engine.exited).toBe(0)
  })
  test("a signal in the middle of the start: exit 0, no child left", async () => {
    let said = "listens"
    // Where we were not looking for a while the start was over before the signal: then once more.
    for (let tries = 0; said.includes("listens") && tries < STARTS_MAX; tries += 1) {
      const engine = runEngineProcess()
      await until("a child has been started", () => descendantsOf(engine.pid).length > 0)
      const children = descendantsOf(engine.pid)
      engine.kill("SIGTERM")
      expect(await engine.exited).toBe(0)
      expect(children.filter(isAlive)).toEqual([])
      said = engine.said()
    }
    expect(said).not.toContain("listens")
  })
  test("a loop that never stops is left after its time, and the others are not", async () => {
    const engine = runEngineProcess({ ...(await servers()), STUCK: "yes" })
    await engine.url()
    engine.kill("SIGTERM")
    // It exits with 1 where its own time for all of the stop was not kept.
    expect(await engine.exited).toBe(0)
    expect(engine.said()).toMatch(/"a step takes too long and is left".*"step":"stuck"/)
    expect(engine.said()).toContain("flushed")
  })
})

describe("several API processes", () => {
  test("share the port, and end with the engine, also when it is killed", async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const engine = runEngineProcess({ ...(await servers()), PORT: String(await freePort()), SCRIP_API_PROCESSES: "2" })
      const url = await engine.url()
      const pids = new Set<number>()
      await until("both processes have answered", async () => {
        // One that begins to listen takes over connections that the other was about to answer.
        const said = await fetch(url, { keepalive: false, headers: { connection: "close" } }).then((answer) => answer.json() as Promise<{ pid: number }>, () => undefined)
        if (said) pids.add(said.pid)
        return pids.size === 2
      })
      const children = descendantsOf(engine.pid)
      engine.kill(signal)
      await engine.exited
      await allEnded(children)
      await until("nobody listens", async () => fetch(url).then(() => false, () => true))
    }
  })
  test("a port that a stranger has is not shared, and nothing is made before that is known", async () => {
    const stranger = Bun.serve({ port: 0, hostname: "127.0.0.1", reusePort: true, fetch: () => new Response("stranger") })
    for (const processes of ["1", "2"]) {
      const engine = runEngineProcess({ ...(await servers()), PORT: String(stranger.port), SCRIP_API_PROCESSES: processes })
      expect(await engine.exited).toBe(1)
      expect(engine.said()).toContain(`Port ${stranger.port} of 127.0.0.1 is taken`)
      expect(engine.said()).not.toContain("Redis")
    }
    await stranger.stop(true)
  })
  test("a host that is no address of this machine is named", async () => {
    const engine = runEngineProcess({ ...(await servers()), HOST: "999.1.1.1" })
    expect(await engine.exited).toBe(1)
    expect(engine.said()).toContain('Scrip does not start: HOST is "999.1.1.1", which is no address of this machine')
  })
})

describe("start", () => {
  test("a wrong setting: exit 1 and every mistake", async () => {
    const engine = runEngineProcess({ PORT: "x", SCRIP_CELLS: "0" })
    expect(await engine.exited).toBe(1)
    expect(engine.said()).toContain("PORT")
    expect(engine.said()).toContain("SCRIP_CELLS")
  })
  test("an unsafe Redis: exit 1 with the reason, or the lower level by name", async () => {
    const { ownRedis, freshDatabase } = await stack()
    const { redisUrl } = await ownRedis()
    const redis = new Bun.RedisClient(redisUrl)
    await redis.send("CONFIG", ["SET", "appendfsync", "everysec"])
    redis.close()
    const env = { REDIS_URL: redisUrl, DATABASE_URL: await freshDatabase() }
    const refused = runEngineProcess(env)
    expect(await refused.exited).toBe(1)
    expect(refused.said()).toContain('appendfsync is "everysec"')
    expect(refused.said()).toContain("SCRIP_ACCEPT_DURABILITY=memory")

    const accepted = runEngineProcess({ ...env, SCRIP_ACCEPT_DURABILITY: "memory" })
    expect(await (await fetch(await accepted.url())).json()).toMatchObject({ durability: "memory" })
    accepted.kill("SIGTERM")
    expect(await accepted.exited).toBe(0)
  })
  test("a server that is not there: exit 1, its place, no password", async () => {
    const { databaseUrl } = await stack()
    const engine = runEngineProcess({ REDIS_URL: `redis://:secretword@127.0.0.1:${await freePort()}`, DATABASE_URL: databaseUrl })
    expect(await engine.exited).toBe(1)
    expect(engine.said()).toContain("Redis at 127.0.0.1")
    expect(engine.said()).not.toContain("secretword")
  })
  test("a folder that another engine has: exit 1 and who has it", async () => {
    const SCRIP_DATA_DIR = join(scratchFolder(), "data")
    const first = runEngineProcess({ SCRIP_DATA_DIR })
    await first.url()
    const second = runEngineProcess({ SCRIP_DATA_DIR })
    expect(await second.exited).toBe(1)
    expect(second.said()).toContain(`pid ${first.pid}`)
    first.kill("SIGTERM")
    expect(await first.exited).toBe(0)
  })
  test("an app that breaks tells the caller nothing", async () => {
    const engine = runEngineProcess(await servers())
    const broken = await fetch(`${await engine.url()}/break`)
    expect(broken.status).toBe(500)
    expect(await broken.text()).not.toContain("purpose")
    engine.kill("SIGTERM")
    await engine.exited
  })
})

/**
 * The processes that are measured: an engine, or the floors, each with a private Redis and Postgres in a folder of its own.
 *
 * What must stay true: a contestant is a process of its own, started the way an operator starts it; whatever was started here
 * is stopped at the end, however the run ends, and nothing else is. It is started in a session of its own, as a service is: Linux shares the
 * processors out by session first, so the engine had to share with the driver what each of Postgres' processes has alone.
 */
import { randomBytes } from "node:crypto"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Redis } from "ioredis"
import postgres from "postgres"
import { journalKey } from "../lua/keys.ts"
import { end, identityOf, readIdentity } from "../engine/child.ts"
import { temporaryFolder } from "./bare.ts"
import { childWith, cpuOf, cpuOfFamily, exactCpuOf } from "./cpu.ts"

const ROOT = join(import.meta.dir, "..")
const START_MS_MAX = 60_000
const STOP_MS_MAX = 12_000
const POLL_MS = 20
/** Looking at many cells is work for the Redis that is measured: one of them each 2 ms at most. */
const POLL_MS_PER_CELL = 2
/** A backlog is given up after this long: then the flusher does not flush. */
const FLUSH_MS_MAX = 300_000
/** A server that was killed is back within this, and is asked so often. */
const BACK_MS_MAX = 60_000, BACK_POLL_MS = 5

/** Processor time so far, in microseconds; the API's with its worker's. */
export interface Cpu { readonly api: number; readonly redis: number; readonly postgres: number }

export interface Stack {
  readonly name: string
  readonly url: string
  readonly key: string
  readonly folder: string
  readonly redis: Redis
  readonly sql: postgres.Sql
  readonly pid: number
  cpu(): Cpu
  /** Of it, the engine's own processes: the API and its worker. */
  engineCpu(): number
  /** Entries of the journal that Postgres does not have yet. */
  lag(): Promise<number>
  /** Wait until all is flushed; how long that took. */
  flushed(): Promise<number>
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }>
  /** The environment in which another program finds the same data. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

const running = new Set<Stack>()

/** Stop everything that was started. */
export const stopAll = async (): Promise<void> => { await Promise.all([...running].map((stack) => stack.stop())) }

interface Memory { redis_port: number; redis_password: string; postgres_port: number; postgres_password: string }

/** Start a program of this repository and wait until it listens. It has a Postgres of its own unless one is named. */
export const startStack = async (name: string, program: string, cells = 1, databaseUrl?: string): Promise<Stack> => {
  const folder = temporaryFolder()
  const dataDir = join(folder, "data")
  const key = `bench-${randomBytes(12).toString("hex")}`
  const env = { PATH: process.env["PATH"] ?? "", HOME: folder, PORT: "0", SCRIP_DATA_DIR: dataDir, SCRIP_BOOTSTRAP_KEY: key, SCRIP_CELLS: String(cells), ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }) }
  const log = join(folder, "log")
  const child = Bun.spawn([process.execPath, join(ROOT, program)], { cwd: ROOT, env, stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(`${log}.err`), detached: true })
  const identity = identityOf(child.pid)
  const said = () => (existsSync(log) ? readFileSync(log, "utf8") : "")
  const endIt = async () => {
    if (identity) await end(identity, ["SIGTERM"], STOP_MS_MAX)
    rmSync(folder, { recursive: true, force: true })
  }
  const until = performance.now() + START_MS_MAX
  let url: string | undefined
  while ((url = /listens on (http:\S+)/.exec(said())?.[1]) === undefined) {
    if (child.exitCode !== null || performance.now() > until) {
      const complained = existsSync(`${log}.err`) ? readFileSync(`${log}.err`, "utf8").slice(-2_000) : ""
      await endIt()
      throw new Error(`${name} does not start:\n${said()}${complained}`)
    }
    await Bun.sleep(POLL_MS)
  }
  const memory = JSON.parse(readFileSync(join(dataDir, "servers.json"), "utf8")) as Memory
  const redis = new Redis({ port: memory.redis_port, password: memory.redis_password })
  redis.on("error", () => undefined)
  const sql = postgres(databaseUrl ?? `postgres://postgres:${memory.postgres_password}@127.0.0.1:${memory.postgres_port}/scrip`, { max: 2, onnotice: () => undefined })
  const pidIn = (file: string): number => readIdentity(join(dataDir, file))?.pid ?? Number.NaN
  const worker_pid = childWith(child.pid, "SCRIP_ROLE=worker")
  const redis_pid = pidIn("redis.pid"), postgres_pid = pidIn("postgres.pid")

  const engineCpu = (): number => cpuOf(child.pid) + (worker_pid === undefined ? 0 : cpuOf(worker_pid))
  const lag = async (): Promise<number> => {
    const cursors = await sql<{ cell: number; n: string }[]>`select cell, n from cells`
    const behind = await Promise.all(Array.from({ length: cells }, async (_, cell) => {
      const info = await redis.xinfo("STREAM", journalKey(cell)).catch(() => []) as unknown[]
      const tail = String(info[info.indexOf("last-generated-id") + 1] ?? "0-0")
      return Number(tail.split("-")[1]) - Number(cursors.find((each) => each.cell === cell)?.n ?? 0)
    }))
    return behind.reduce((sum, entries) => sum + entries, 0)
  }
  const stack: Stack = {
    name, url, key, folder, redis, sql, pid: child.pid, env,
    engineCpu,
    cpu: () => ({ api: engineCpu(), redis: exactCpuOf(redis_pid), postgres: cpuOfFamily(postgres_pid) }),
    lag,
    flushed: async () => {
      const began = performance.now()
      while (await lag() > 0) {
        if (performance.now() - began > FLUSH_MS_MAX) throw new Error(`${name}: the journal is not flushed after ${FLUSH_MS_MAX} ms`)
        await Bun.sleep(Math.max(POLL_MS, cells * POLL_MS_PER_CELL))
      }
      return performance.now() - began
    },
    call: async <T>(method: string, path: string, body?: unknown) => {
      const response = await fetch(`${url}${path}`, {
        method, headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: response.status, body: await response.json() as T }
    },
    stop: async () => {
      if (!running.delete(stack)) return
      redis.disconnect()
      await sql.end({ timeout: 1 })
      await endIt()
    },
  }
  running.add(stack)
  return stack
}

/** Wait until something is there; how many seconds that took. */
export const secondsUntil = async (isThere: () => Promise<boolean>): Promise<number> => {
  const began = performance.now()
  while (!(await isThere().catch(() => false))) {
    if (performance.now() - began > BACK_MS_MAX) throw new Error(`not back within ${BACK_MS_MAX} ms`)
    await Bun.sleep(BACK_POLL_MS)
  }
  return (performance.now() - began) / 1_000
}

/**
 * Kill the private Redis of a stack; how many seconds pass until a coupon of the bench's campaign is issued. What the stack says of Redis's
 * processor time is of the dead one from then on.
 */
export const killRedis = async (stack: Stack, campaign_id: string): Promise<number> => {
  const identity = readIdentity(join(stack.folder, "data", "redis.pid"))!
  let tries = 0
  process.kill(identity.pid, "SIGKILL")
  return secondsUntil(async () => {
    tries += 1
    return (await stack.call("POST", "/v1/coupons", { request_id: `${tries}`, campaign_id, user_id: `after ${identity.pid}, ${tries}` })).status === 201
  })
}

/** A call that must succeed. */
export const must = async <T = Record<string, unknown>>(stack: Stack, method: string, path: string, body?: unknown): Promise<T> => {
  const answer = await stack.call<T>(method, path, body)
  if (answer.status >= 300) throw new Error(`${stack.name}: ${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  return answer.body
}

/**
 * One whole engine in this process: the API on the shared servers, with a flusher and a clock that a test sets.
 *
 * What must stay true: everything is real but the socket and the clock. One shop serves all tests of a run, because Redis and Postgres
 * must agree; a test takes ids of its own. Time only moves forward, as a cell's does.
 */
import { randomBytes } from "node:crypto"
import type { Hono } from "hono"
import type { Durability, Topology } from "../../engine/config.ts"
import { LEDGER_PACE, PACE } from "../../engine/journal/flusher.ts"
import { type Memory, rememberAcknowledged } from "../../engine/journal/acknowledged.ts"
import { openLedger } from "../../engine/journal/ledger.ts"
import type { Parts } from "../../engine/parts.ts"
import type { PrivateServers } from "../../engine/private/start.ts"
import { makeLog } from "../../engine/log.ts"
import { bootstrapKey } from "../../engine/operate/keys.ts"
import { replayClock, type Clock } from "../../engine/store/clock.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { connectServers, redisReady } from "../../engine/store/redis.ts"
import { openCells, startWorker } from "../../engine/worker.ts"
import { apiOf, openParts, promising, witnessed } from "../../engine/wire.ts"
import { ANSWER_MS_MAX, beforeEnd, stack } from "./stack.ts"

/** How many cells a shop has where a test does not say: the behaviour tests run over one and, by SCRIP_TEST_CELLS, over several. */
export const CELLS = Number(process.env["SCRIP_TEST_CELLS"] ?? 1)
/** And what its Redis is: one server or, by SCRIP_TEST_TOPOLOGY, a cluster. */
export const TOPOLOGY: Topology = process.env["SCRIP_TEST_TOPOLOGY"] === "cluster" ? "cluster" : "one"
/** Noon of a month's middle, far from every edge. */
export const NOON = Date.UTC(2026, 5, 15, 12)
const CONNECTIONS_MAX = 8
/** What a test of broken servers breaks on purpose is heard by its callers; the log need not repeat it. */
const EXPECTED = /"level":"info"|"msg":"a request could not be served"/
/** What the engine finds wrong is seen in the run's output. */
const log = makeLog({ users: "clear", write: (line) => { if (!EXPECTED.test(line)) console.error(line) }, now_ms: () => Date.now() })
const REDIS_WAIT_MS = 60_000

export interface Answer { readonly status: number; readonly body: any; readonly headers: Headers } // eslint-disable-line -- a test looks at whatever came

export interface Call { readonly now_ms?: number; readonly key?: string; readonly headers?: Record<string, string> }

export interface Shop {
  readonly app: Hono
  readonly parts: Parts
  readonly clock: Clock
  readonly database_url: string
  /** The Redis of its own, if it has one: to kill, fill or break. */
  readonly redisServers: PrivateServers | undefined
  /** What the API has answered; it looks when a test says so. */
  readonly memory: Memory
  /** A key with every scope and line. */
  readonly key: string
  /** Call the API; the time is the shop's unless told, and telling moves the shop's forward. */
  call(method: string, path: string, body?: unknown, call?: Call): Promise<Answer>
  close(): Promise<void>
}

export interface ShopWishes {
  readonly cells?: number
  /** Servers of its own. */
  readonly own?: boolean
  readonly topology?: Topology
  readonly durability?: Durability
  /** How long it waits for Redis: for as long as a caller where nodes are stopped and killed. */
  readonly answer_ms?: number
}

/** Open an engine with its own Redis and database, or (by default) on those of the run. */
const open = async ({ cells = 1, own: isOwn = false, topology = "one", durability = "local", answer_ms = ANSWER_MS_MAX }: ShopWishes): Promise<Shop> => {
  const servers = await stack()
  const own = isOwn ? await servers.ownRedis(topology) : undefined
  const redis = connectServers(own?.redisUrl ?? servers.redisUrl, () => undefined, answer_ms)
  await redisReady(redis, REDIS_WAIT_MS)
  const database_url = own ? await servers.freshDatabase() : servers.databaseUrl
  const postgres = openPostgres(database_url, CONNECTIONS_MAX)
  const clock = replayClock()
  clock.told(NOON)
  const opened = await openParts(redis, postgres, { cells, zone: "UTC" })
  const parts = durability === "replicated" ? promising(opened, { is_replicated: true }) : opened
  await openCells(parts, clock, log)
  const { ledger, loop } = openLedger({ ...parts, log })
  const loops = [...startWorker(parts, clock, log, durability === "ledger" ? LEDGER_PACE : PACE), loop]
  const key = `test_${randomBytes(16).toString("hex")}`
  await bootstrapKey(postgres.sql, key, clock.now_ms())
  let closing: Promise<void> | undefined
  const close = () => (closing ??= (async () => {
    for (const loop of loops.toReversed()) await loop.stop()
    redis.disconnect()
    await postgres.close()
    await own?.stop()
  })())
  beforeEnd(close)
  const memory = rememberAcknowledged({ sql: postgres.sql, log, now_ms: clock.now_ms, process_id: crypto.randomUUID(), pid: process.pid })
  const { app } = apiOf(witnessed(parts, memory.witness), ledger, clock, async () => ({ missing: [], durability, clock: "replay", cells }), log, { clock: "replay", log_requests: "faults", durability })
  return {
    app, parts, clock, database_url, key, memory, redisServers: own,
    call: async (method, path, body, { now_ms, key: asked = key, headers = {} } = {}) => {
      const answer = await app.request(path, {
        method,
        headers: { "scrip-now": String(now_ms ?? clock.now_ms()), ...(asked === "" ? {} : { authorization: `Bearer ${asked}` }), "content-type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      })
      const text = await answer.text()
      return { status: answer.status, body: text === "" ? undefined : JSON.parse(text), headers: answer.headers }
    },
    close,
  }
}

let shared: Promise<Shop> | undefined

/** The shop of this run; or one of the caller's own, with servers and a clock that nobody else touches. */
export const openShop = (wishes: ShopWishes = {}): Promise<Shop> => {
  const { cells = CELLS, topology = TOPOLOGY, durability = "local", answer_ms } = wishes
  const own = wishes.own ?? (cells !== CELLS || topology !== TOPOLOGY || durability !== "local")
  return own ? open({ cells, topology, durability, own, ...(answer_ms === undefined ? {} : { answer_ms }) }) : (shared ??= open({ cells: CELLS, topology: TOPOLOGY, own: TOPOLOGY !== "one" }))
}

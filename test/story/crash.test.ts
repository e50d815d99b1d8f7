/**
 * The crash story: an engine as its users run it, clients that keep a history of what they asked and heard, and one SIGKILL after the
 * other under load. Once with API, worker, Redis and Postgres as processes of their own, and once all of it as `npm start` starts it.
 *
 * What must stay true: every yes is there afterwards, exactly once, and a repeat gives the same answer; what nobody heard the end of is
 * there once or not at all, and the repeat tells which; no limit was ever passed; and Redis and Postgres agree.
 *
 * SCRIP_CRASH_KILLS says how many kills (20 unless told), SCRIP_CRASH_SEED which; the seed is printed.
 */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { identityOf, readIdentity } from "../../engine/child.ts"
import { verifyAll } from "../../engine/journal/verify.ts"
import { quietLog } from "../../engine/log.ts"
import { caughtUp } from "../../engine/journal/caught_up.ts"
import { AGE_MS, REMEMBER_MS } from "../../engine/parts.ts"
import { openPostgres, type Sql } from "../../engine/store/postgres.ts"
import { startPrivate } from "../../engine/store/private.ts"
import { connectRedis, redisReady } from "../../engine/store/redis.ts"
import { runEngineProcess, type RunningEngine, until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { imbalances } from "./conservation.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, type Say, yes } from "./till.ts"

const KILLS = Number(process.env["SCRIP_CRASH_KILLS"] ?? 20)
const SEED = Number(process.env["SCRIP_CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31))
const CLIENTS = 12
/** A client does not wait longer for an answer than an impatient shop does. */
const ANSWER_MS_MAX = 5_000
/** So many more yeses are heard between one kill and the next, each time a few more or less. */
const YESES_BETWEEN = 120
const BACK_MS_MAX = 60_000
const AGAIN_MS = 20
/** How likely a client is to leave an act for good each time that he hears nothing. */
const LEAVES = 0.05
const STORY_MS_MAX = 120_000 + KILLS * 30_000
/** Beside a campaign that has enough for all there is one that has not. */
const TIGHT_SHARE = 0.25, TIGHT_MINOR = 4_000, TIGHT_STOCK = 300
/** How much of the engines' last words is shown when the story fails. */
const SAID_CHARS = 3_000
const KEY = "crash-story-key"
/** Of five kills one is of an engine that is one process with its servers as children. */
const WHOLE_SHARE = 0.2

/** An engine that runs, and can be killed part by part. */
interface Running {
  readonly parts: readonly string[]
  url(): string
  readonly redisUrl: string
  readonly databaseUrl: string
  /** Kill one part at once, and come back when it is started again. */
  kill(part: string): Promise<void>
  /** The last words of its processes. */
  said(): string
  stop(): Promise<void>
}

/** Numbers from a seed: mulberry32. */
const numbersFrom = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

type Kind = "issue" | "reserve" | "confirm" | "cancel" | "refund"
/** One act of a client: what he asked, and the last he heard of it. */
interface Act { readonly kind: Kind; readonly path: string; readonly body: object; heard: "unknown" | { status: number; text: string } }

interface Told { readonly history: Act[]; yeses: number }

/** Start an engine, again and again as a supervisor does: it may find a server that is still starting. */
const start = async (env: Record<string, string>, word: string): Promise<RunningEngine> => {
  for (const end = performance.now() + BACK_MS_MAX; ;) {
    const engine = runEngineProcess({ SCRIP_BOOTSTRAP_KEY: KEY, ...env }, "engine/main.ts")
    let hasEnded = false
    void engine.exited.then(() => { hasEnded = true })
    await until(`the engine says "${word}"`, () => hasEnded || engine.said().includes(word), BACK_MS_MAX)
    if (!hasEnded) return engine
    if (performance.now() > end) throw new Error(`the engine does not start: ${engine.said()}`)
  }
}
const killed = async (engine: RunningEngine): Promise<void> => {
  engine.kill("SIGKILL")
  await engine.exited
}
const stopped = async (engine: RunningEngine): Promise<void> => {
  engine.kill("SIGTERM")
  await engine.exited
}

/** API and worker as processes of their own, on servers that somebody else watches. */
const startSplit = async (): Promise<Running> => {
  const servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog })
  const redisUrl = servers.redisUrl!, databaseUrl = servers.databaseUrl!
  const env = (role: string) => ({ SCRIP_ROLE: role, REDIS_URL: redisUrl, DATABASE_URL: databaseUrl })
  let worker = await start(env("worker"), "runs as worker")
  let api = await start(env("api"), "listens on")
  let url = await api.url()
  return {
    parts: ["api", "worker", "redis", "postgres"], redisUrl, databaseUrl, url: () => url,
    kill: async (part) => {
      if (part === "api") {
        await killed(api)
        api = await start(env("api"), "listens on")
        url = await api.url()
      } else if (part === "worker") {
        await killed(worker)
        worker = await start(env("worker"), "runs as worker")
      } else {
        const restarts = servers.restarts()[part]!
        process.kill(servers.pids()[part]!, "SIGKILL")
        await until(`${part} is started again`, () => servers.restarts()[part]! > restarts && servers.pids()[part] !== undefined, BACK_MS_MAX)
      }
    },
    said: () => `-- api\n${api.said().slice(-SAID_CHARS)}\n-- worker\n${worker.said().slice(-SAID_CHARS)}`,
    stop: async () => {
      await Promise.all([stopped(api), stopped(worker)])
      await servers.stop()
    },
  }
}

/** One engine with everything in it, as `npm start` starts it: its servers are its children. */
const startWhole = async (): Promise<Running> => {
  const dataDir = join(scratchFolder(), "data")
  let engine = await start({ SCRIP_DATA_DIR: dataDir }, "listens on")
  let url = await engine.url()
  const { redis_port, redis_password, postgres_port, postgres_password } = JSON.parse(readFileSync(join(dataDir, "servers.json"), "utf8")) as Record<string, string | number>
  return {
    parts: ["engine", "redis", "postgres"], url: () => url,
    redisUrl: `redis://:${redis_password}@127.0.0.1:${redis_port}`, databaseUrl: `postgres://postgres:${postgres_password}@127.0.0.1:${postgres_port}/scrip`,
    kill: async (part) => {
      if (part === "engine") {
        await killed(engine)
        engine = await start({ SCRIP_DATA_DIR: dataDir }, "listens on")
        url = await engine.url()
        return
      }
      const pidFile = join(dataDir, `${part}.pid`)
      const server = readIdentity(pidFile)
      if (!server || identityOf(server.pid)?.started !== server.started) throw new Error(`${part} does not run`)
      process.kill(server.pid, "SIGKILL")
      await until(`${part} is started again`, () => { const now = readIdentity(pidFile); return now !== undefined && now.pid !== server.pid }, BACK_MS_MAX)
    },
    said: () => `-- engine\n${engine.said().slice(-SAID_CHARS)}`,
    stop: () => stopped(engine),
  }
}

type Send = (method: string, path: string, body?: unknown) => Promise<{ status: number; text: string; headers: Headers } | undefined>
/** One request; nothing when no answer came. */
const sendTo = (running: Running): Send => async (method, path, body) => {
  try {
    const answer = await fetch(running.url() + path, {
      method, headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  } catch {
    return undefined // the connection or the process behind it is gone: that is the story
  }
}

/** Ask until somebody knows: a 503 and no answer at all are asked again. */
const sayTo = (send: Send): Say => async (method, path, body) => {
  const end = performance.now() + BACK_MS_MAX
  for (;;) {
    const heard = await send(method, path, body)
    if (heard && heard.status !== 503) return { status: heard.status, body: heard.text === "" ? undefined : JSON.parse(heard.text), headers: heard.headers }
    if (performance.now() > end) throw new Error(`${method} ${path}: ${heard?.text ?? "no answer"} for ${BACK_MS_MAX} ms`)
    await Bun.sleep(AGAIN_MS)
  }
}

/** A 503 that says that nothing was begun. */
const isRefused = (text: string): boolean => ["overloaded", "journal_full", "quota_busy"].includes(JSON.parse(text).code)

/** A client: coupon after coupon, from issue to refund, each for a user of its own. An answer that does not come is asked for again, or left for good. */
const client = async (send: Send, told: Told, random: () => number, name: string, campaigns: readonly string[], isOver: () => boolean): Promise<void> => {
  const act = async (kind: Kind, path: string, body: object): Promise<any> => {
    const one: Act = { kind, path, body, heard: "unknown" }
    let isTold = false
    for (;;) {
      const heard = await send("POST", path, body)
      if (heard && heard.status !== 503) {
        if (!isTold) told.history.push(one)
        one.heard = { status: heard.status, text: heard.text }
        if (heard.status < 300) told.yeses += 1
        return heard.status < 300 ? JSON.parse(heard.text) : undefined
      }
      if (!(heard && isRefused(heard.text)) && !isTold) { told.history.push(one); isTold = true }
      if (isOver() || (isTold && random() < LEAVES)) return undefined
      await Bun.sleep(AGAIN_MS)
    }
  }
  for (let round = 0; !isOver(); round++) {
    const user_id = `${name}-${round}`
    const coupon = await act("issue", "/v1/coupons", issueAsk(campaigns[random() < TIGHT_SHARE ? 1 : 0]!, user_id))
    if (!coupon || isOver()) continue
    const redemption = await act("reserve", "/v1/redemptions", reserveAsk(user_id, [coupon.coupon_id], { hold_s: 86_400 }))
    if (!redemption || isOver() || random() < 0.05) continue
    const path = `/v1/redemptions/${redemption.redemption_id}`
    if (random() < 0.3) { await act("cancel", `${path}/cancel`, {}); continue }
    const confirmed = await act("confirm", `${path}/confirm`, {})
    if (confirmed && !isOver() && random() < 0.7) await act("refund", `${path}/refunds`, { refund_id: "all", lines: "all" })
  }
}

/** Load an engine, kill its parts one after the other, each as often as any other, and let the clients come to an end. */
const killUnderLoad = async (running: Running, kills: number, told: Told, campaigns: readonly string[], random: () => number): Promise<Record<string, number>> => {
  const send = sendTo(running)
  let isOver = false
  const clients = Array.from({ length: CLIENTS }, (_, no) => client(send, told, numbersFrom(random() * 2 ** 32), fresh(`user-${no}`), campaigns, () => isOver))
  const times = Object.fromEntries(running.parts.map((part) => [part, 0]))
  try {
    for (let done = 0; done <= kills; done++) {
      const before = told.yeses, wanted = YESES_BETWEEN * (0.5 + random())
      await until(`${Math.ceil(wanted)} yeses after kill ${done}`, () => told.yeses - before >= wanted, BACK_MS_MAX)
      if (done === kills) break
      const least = running.parts.filter((part) => times[part] === Math.min(...Object.values(times)))
      const part = least[Math.floor(random() * least.length)]!
      times[part]! += 1
      await running.kill(part)
    }
  } catch (fault) {
    const lastHeard = told.history.slice(-5).map(({ kind, heard }) => [kind, heard])
    console.error(`crash: killed ${JSON.stringify(times)}, heard ${JSON.stringify(lastHeard)}\n${running.said()}`)
    throw fault
  } finally {
    isOver = true
    await Promise.all(clients)
  }
  return times
}

/** What Postgres has of each kind of act, by what names it. */
const readThere = async (sql: Sql): Promise<(act: Act) => boolean> => {
  const setOf = async (rows: PromiseLike<readonly { id: string }[]>) => new Set((await rows).map(({ id }) => id))
  const there: Record<Kind, Set<string>> = {
    issue: await setOf(sql<{ id: string }[]>`select request_id as id from coupons`),
    reserve: await setOf(sql<{ id: string }[]>`select order_id as id from redemptions`),
    confirm: await setOf(sql<{ id: string }[]>`select redemption_id as id from redemptions where state in (2, 5, 6)`),
    cancel: await setOf(sql<{ id: string }[]>`select redemption_id as id from redemptions where state = 3`),
    refund: await setOf(sql<{ id: string }[]>`select redemption_id as id from refunds`),
  }
  return ({ kind, path, body }) => there[kind].has(kind === "issue" || kind === "reserve" ? (body as Record<string, string>)[kind === "issue" ? "request_id" : "order_id"]! : path.split("/")[3]!)
}

/** Ask for every act again, and say which of them are not what their clients were told. */
const repeatAll = async (say: Say, history: readonly Act[], isThere: (act: Act) => boolean) => {
  const was = { yes: 0, no: 0, unknown: 0, unknown_and_there: 0 }
  const faults: unknown[] = []
  const one = async (act: Act): Promise<void> => {
    const { heard } = act
    if (heard !== "unknown" && heard.status >= 300) { was.no += 1; return }
    const there = isThere(act)
    const { status, body, headers } = await say("POST", act.path, act.body)
    const isHit = headers.get("idempotency-hit") === "true"
    const again = { status, body, isHit }
    if (heard === "unknown") {
      was.unknown += 1
      was.unknown_and_there += there ? 1 : 0
      // The repeat tells which: a hit was there; a new yes or a no was not.
      if (there !== (status < 300 && isHit)) faults.push({ act, there, again })
    } else {
      was.yes += 1
      if (!there || !isHit || status !== heard.status || JSON.stringify(body) !== heard.text) faults.push({ act, there, again })
    }
  }
  const left = [...history]
  await Promise.all(Array.from({ length: CLIENTS }, async () => { for (let act = left.pop(); act; act = left.pop()) await one(act) }))
  return { was, faults }
}

const tellStory = async (name: string, running: Running, kills: number, seed: number): Promise<void> => {
  const random = numbersFrom(seed)
  const say = sayTo(sendTo(running))
  const roomy = await openCampaign(say, Date.now(), { limit_minor: 100_000_000 })
  const tight = await openCampaign(say, Date.now(), { limit_minor: TIGHT_MINOR, stock: TIGHT_STOCK })
  const told: Told = { history: [], yeses: 0 }
  const times = await killUnderLoad(running, kills, told, [roomy.campaign_id, tight.campaign_id], random)

  const redis = connectRedis(running.redisUrl, () => undefined)
  const { sql, close } = openPostgres(running.databaseUrl, 4)
  try {
    await redisReady(redis, BACK_MS_MAX)
    await until("Postgres serves", async () => (await sql`select 1`.catch(() => [])).length === 1, BACK_MS_MAX)
    const verify = async () => (await verifyAll({ redis, sql, cells: 1, ages: () => ({ now_ms: Date.now(), age_ms: AGE_MS, remember_ms: REMEMBER_MS }) })).differences
    expect(await verify()).toEqual([])
    const { was, faults } = await repeatAll(say, told.history, await readThere(sql))
    console.log(`crash: ${name}: killed ${JSON.stringify(times)}; of ${told.history.length} acts ${JSON.stringify(was)}`)
    expect(faults).toEqual([])

    // Once each, in the events and in the ledger; and nothing over. What the repeats did has to be flushed before it is summed.
    await caughtUp({ redis, postgres: { sql } }, 0, BACK_MS_MAX)
    expect(await imbalances({ call: say, sql, verify })).toEqual([])
    expect([...await sql`select act, ref, count(*) from budget_entries where act <> 'funded' group by act, ref having count(*) > 1`]).toEqual([])
    expect([...await sql`select payload->>'coupon_id' as id, count(*) from events where act = 'issued' group by 1 having count(*) > 1`]).toEqual([])
    expect([...await sql`select payload->>'redemption_id' as id, count(*) from events where act = 'reserved' group by 1 having count(*) > 1`]).toEqual([])
    let issued = 0
    for (const { budget_id, campaign_id } of [roomy, tight]) {
      issued += (await yes(say("GET", `/v1/campaigns/${campaign_id}`))).issued
      expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).available_minor).toBeGreaterThanOrEqual(0)
    }
    expect((await sql`select 1 from coupons`).length).toBe(issued)
    expect((await yes(say("GET", `/v1/campaigns/${tight.campaign_id}`))).issued).toBeLessThanOrEqual(TIGHT_STOCK)
    expect((await yes(say("GET", `/v1/budgets/${tight.budget_id}`))).limit_minor).toBe(TIGHT_MINOR)
  } finally {
    redis.disconnect()
    await close()
  }
}

const WHOLE_KILLS = Math.ceil(KILLS * WHOLE_SHARE)
console.log(`crash: SCRIP_CRASH_SEED=${SEED} SCRIP_CRASH_KILLS=${KILLS}`)

for (const { name, kills, begin } of [
  { name: "processes of their own", kills: KILLS - WHOLE_KILLS, begin: startSplit },
  { name: "one engine with its servers", kills: WHOLE_KILLS, begin: startWhole },
]) {
  test(`${name}, ${kills} kills: every yes is there once, every unknown once or not at all`, async () => {
    const running = await begin()
    try {
      await tellStory(name, running, kills, SEED)
    } finally {
      await running.stop()
    }
  }, STORY_MS_MAX)
}

/**
 * The crash story: API, worker, Redis and Postgres as processes of their own, clients that keep a history of what they asked and
 * heard, and one SIGKILL after the other under load.
 *
 * What must stay true: every yes is there afterwards, exactly once, and a repeat gives the same answer; what nobody heard the end of is
 * there once or not at all, and the repeat tells which; no limit was ever passed; and Redis and Postgres agree.
 *
 * SCRIP_CRASH_KILLS says how many kills (20 unless told), SCRIP_CRASH_SEED which; the seed is printed.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { verifyAll } from "../../engine/journal/verify.ts"
import { quietLog } from "../../engine/log.ts"
import { AGE_MS, REMEMBER_MS } from "../../engine/parts.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { type PrivateServers, startPrivate } from "../../engine/store/private.ts"
import { connectRedis, redisReady } from "../../engine/store/redis.ts"
import { runEngineProcess, type RunningEngine, until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/stack.ts"
import { expectConserved } from "./conservation.ts"
import { type Heard, issueAsk, openCampaign, reserveAsk, yes } from "./till.ts"

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
const LIMIT_MINOR = 60_000, DISCOUNT_MINOR = 100, STOCK = 4_000
/** How much of the engines' last words is shown when the story fails. */
const SAID_CHARS = 3_000
const KEY = "crash-story-key"
const PARTS = ["api", "worker", "redis", "postgres"] as const
type Part = (typeof PARTS)[number]

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

const history: Act[] = []
let servers: PrivateServers
let api: RunningEngine, worker: RunningEngine
let url = ""
let yeses = 0

const environment = (role: string): Record<string, string> => ({
  SCRIP_ROLE: role, REDIS_URL: servers.redisUrl!, DATABASE_URL: servers.databaseUrl!, SCRIP_BOOTSTRAP_KEY: KEY,
})
/** Start a part of the engine, again and again as a supervisor does: it may find a server that is still starting. */
const start = async (role: "api" | "worker"): Promise<RunningEngine> => {
  const word = role === "api" ? "listens on" : "runs as worker"
  for (const end = performance.now() + BACK_MS_MAX; ;) {
    const engine = runEngineProcess(environment(role), "engine/main.ts")
    let hasEnded = false
    void engine.exited.then(() => { hasEnded = true })
    await until(`the ${role} says "${word}"`, () => hasEnded || engine.said().includes(word), BACK_MS_MAX)
    if (!hasEnded) return engine
    if (performance.now() > end) throw new Error(`the ${role} does not start: ${engine.said()}`)
  }
}

/** One request; nothing when no answer came. */
const send = async (method: string, path: string, body?: unknown): Promise<{ status: number; text: string; headers: Headers } | undefined> => {
  try {
    const answer = await fetch(url + path, {
      method, headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  } catch {
    return undefined // the connection or the process behind it is gone: that is the story
  }
}

/** Ask until somebody knows: a 503 and no answer at all are asked again. */
const say = async (method: string, path: string, body?: unknown): Promise<Heard> => {
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

/** Do one act as a client does: an answer that does not come is asked for again, or left for good. */
const act = async (random: () => number, isOver: () => boolean, kind: Kind, path: string, body: object): Promise<any> => {
  const one: Act = { kind, path, body, heard: "unknown" }
  let isTold = false
  for (;;) {
    const heard = await send("POST", path, body)
    if (heard && heard.status !== 503) {
      if (!isTold) history.push(one)
      one.heard = { status: heard.status, text: heard.text }
      if (heard.status < 300) yeses += 1
      return heard.status < 300 ? JSON.parse(heard.text) : undefined
    }
    if (!(heard && isRefused(heard.text)) && !isTold) { history.push(one); isTold = true }
    if (isOver() || (isTold && random() < LEAVES)) return undefined
    await Bun.sleep(AGAIN_MS)
  }
}

/** A client: coupon after coupon, from issue to refund, each for a user of its own. */
const client = async (no: number, campaign_id: string, isOver: () => boolean): Promise<void> => {
  const random = numbersFrom(SEED * 31 + no)
  for (let round = 0; !isOver(); round++) {
    const user_id = `${campaign_id}-${no}-${round}`
    const coupon = await act(random, isOver, "issue", "/v1/coupons", issueAsk(campaign_id, user_id))
    if (!coupon || isOver()) continue
    const redemption = await act(random, isOver, "reserve", "/v1/redemptions", reserveAsk(user_id, [coupon.coupon_id], { hold_s: 86_400 }))
    if (!redemption || isOver() || random() < 0.05) continue
    const path = `/v1/redemptions/${redemption.redemption_id}`
    if (random() < 0.3) { await act(random, isOver, "cancel", `${path}/cancel`, {}); continue }
    const confirmed = await act(random, isOver, "confirm", `${path}/confirm`, {})
    if (confirmed && !isOver() && random() < 0.7) await act(random, isOver, "refund", `${path}/refunds`, { refund_id: "all", lines: "all" })
  }
}

/** Kill one part at once, and see that it comes back: engines are started again here, servers by whoever watches them. */
const kill = async (part: Part): Promise<void> => {
  switch (part) {
    case "api":
      api.kill("SIGKILL")
      await api.exited
      api = await start("api")
      url = await api.url()
      return
    case "worker":
      worker.kill("SIGKILL")
      await worker.exited
      worker = await start("worker")
      return
    case "redis": case "postgres": {
      const restarts = servers.restarts()[part]!
      process.kill(servers.pids()[part]!, "SIGKILL")
      return until(`${part} is started again`, () => servers.restarts()[part]! > restarts && servers.pids()[part] !== undefined, BACK_MS_MAX)
    }
  }
}

beforeAll(async () => {
  servers = await startPrivate({ dataDir: join(scratchFolder(), "data"), log: quietLog })
  worker = await start("worker")
  api = await start("api")
  url = await api.url()
}, BACK_MS_MAX)

afterAll(async () => {
  api?.kill("SIGTERM")
  worker?.kill("SIGTERM")
  await Promise.all([api?.exited, worker?.exited])
  await servers?.stop()
}, BACK_MS_MAX)

test(`${KILLS} kills: every yes is there once, every unknown once or not at all`, async () => {
  console.log(`crash: SCRIP_CRASH_SEED=${SEED} SCRIP_CRASH_KILLS=${KILLS}`)
  const random = numbersFrom(SEED)
  const now_ms = Date.now()
  const { budget_id, campaign_id } = await openCampaign(say, now_ms, { limit_minor: LIMIT_MINOR, amount_minor: DISCOUNT_MINOR, stock: STOCK, on_refund: "keep" })

  let isOver = false
  const clients = Array.from({ length: CLIENTS }, (_, no) => client(no, campaign_id, () => isOver))
  const killed: Record<Part, number> = { api: 0, worker: 0, redis: 0, postgres: 0 }
  try {
    for (let done = 0; done < KILLS; done++) {
      const heard = yeses, wanted = YESES_BETWEEN * (0.5 + random())
      await until(`${Math.ceil(wanted)} yeses after kill ${done}`, () => yeses - heard >= wanted, BACK_MS_MAX)
      // Each part as often as any other, and which comes next is chance.
      const least = Math.min(...Object.values(killed))
      const next = PARTS.filter((part) => killed[part] === least)
      const part = next[Math.floor(random() * next.length)]!
      killed[part] += 1
      await kill(part)
    }
    const heard = yeses
    await until("the last kill is over", () => yeses - heard >= YESES_BETWEEN, BACK_MS_MAX)
  } catch (fault) {
    const lastHeard = history.slice(-5).map(({ kind, heard }) => [kind, heard])
    console.error(`crash: killed ${JSON.stringify(killed)}, heard ${JSON.stringify(lastHeard)}\n-- api\n${api.said().slice(-SAID_CHARS)}\n-- worker\n${worker.said().slice(-SAID_CHARS)}`)
    throw fault
  } finally {
    isOver = true
    await Promise.all(clients)
  }

  const redis = connectRedis(servers.redisUrl!, () => undefined)
  const { sql, close } = openPostgres(servers.databaseUrl!, 4)
  try {
    await redisReady(redis, BACK_MS_MAX)
    await until("Postgres serves", async () => (await sql`select 1`.catch(() => [])).length === 1, BACK_MS_MAX)
    const verify = async () => (await verifyAll({ redis, sql, cells: 1, ages: () => ({ now_ms: Date.now(), age_ms: AGE_MS, remember_ms: REMEMBER_MS }) })).differences
    expect(await verify()).toEqual([])

    const isThere: Record<Kind, (act: Act) => Promise<boolean>> = {
      issue: async ({ body }) => (await sql`select 1 from coupons where request_id = ${(body as any).request_id}`).length === 1,
      reserve: async ({ body }) => (await sql`select 1 from redemptions where order_id = ${(body as any).order_id}`).length === 1,
      confirm: async ({ path }) => (await sql`select 1 from redemptions where redemption_id = ${path.split("/")[3]!} and state in (2, 5, 6)`).length === 1,
      cancel: async ({ path }) => (await sql`select 1 from redemptions where redemption_id = ${path.split("/")[3]!} and state = 3`).length === 1,
      refund: async ({ path }) => (await sql`select 1 from refunds where redemption_id = ${path.split("/")[3]!}`).length === 1,
    }
    const faults: unknown[] = []
    const was: Record<"yes" | "no" | "unknown" | "there", number> = { yes: 0, no: 0, unknown: 0, there: 0 }
    for (const one of history) {
      if (one.heard !== "unknown" && one.heard.status >= 300) { was.no += 1; continue }
      const there = await isThere[one.kind](one)
      const again = await say("POST", one.path, one.body)
      const isHit = again.headers.get("idempotency-hit") === "true"
      if (one.heard !== "unknown") {
        was.yes += 1
        if (!there || !isHit || again.status !== one.heard.status || JSON.stringify(again.body) !== one.heard.text) faults.push({ heard: one, there, again: { status: again.status, body: again.body, isHit } })
        continue
      }
      was.unknown += 1
      was.there += there ? 1 : 0
      // The repeat tells which: a hit was there, a new yes or a no was not.
      if (there !== (again.status < 300 && isHit)) faults.push({ unknown: one, there, again: { status: again.status, body: again.body, isHit } })
    }
    console.log(`crash: killed ${JSON.stringify(killed)}; of ${history.length} acts ${JSON.stringify(was)}`)
    expect(faults).toEqual([])

    // Once each, in the events and in the ledger; and nothing over.
    expect(await verify()).toEqual([])
    expect([...await sql`select act, ref, count(*) from budget_entries where act <> 'funded' group by act, ref having count(*) > 1`]).toEqual([])
    expect([...await sql`select act, payload->>'coupon_id' as id, count(*) from events where act = 'issued' group by 1, 2 having count(*) > 1`]).toEqual([])
    expect([...await sql`select act, payload->>'redemption_id' as id, count(*) from events where act = 'reserved' group by 1, 2 having count(*) > 1`]).toEqual([])
    const { issued } = await yes(say("GET", `/v1/campaigns/${campaign_id}`))
    expect(issued).toBeLessThanOrEqual(STOCK)
    expect((await sql`select 1 from coupons`).length).toBe(issued)
    const { limit_minor, available_minor } = await yes(say("GET", `/v1/budgets/${budget_id}`))
    expect(limit_minor).toBe(LIMIT_MINOR)
    expect(available_minor).toBeGreaterThanOrEqual(0)
    await expectConserved({ call: say, sql, verify })
  } finally {
    redis.disconnect()
    await close()
  }
}, STORY_MS_MAX)

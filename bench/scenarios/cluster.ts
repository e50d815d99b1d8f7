/**
 * What a cluster costs: Redis's processor time for a coupon's life on three masters beside one server, at the same load for each master,
 * and how long nobody is served when an engine or a Redis is killed.
 *
 * What must stay true: both have 64 cells and take turns within one run; the load is a rate for each master and not as much as goes, because a
 * busier server reads more calls at once and is cheaper for each; only masters are counted, with what they do for their replicas.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Caller } from "../../engine/answers.ts"
import type { Topology } from "../../engine/config.ts"
import { quietLog } from "../../engine/log.ts"
import { openClock } from "../../engine/store/clock.ts"
import { migrate, openPostgres } from "../../engine/store/postgres.ts"
import { rememberedServers, startPrivate } from "../../engine/private/start.ts"
import { connectServers, redisReady } from "../../engine/store/redis.ts"
import { openParts, usesOf } from "../../engine/wire.ts"
import { openCells } from "../../engine/worker.ts"
import { temporaryFolder } from "../bare.ts"
import { CAMPAIGN_ID, issueRequest, makeBudget, makeCampaign } from "../contestants.ts"
import { exactCpuOf, median, percentile } from "../cpu.ts"
import { isYes, offer, type Asked, type Sample } from "../open_loop.ts"
import type { Proof, Result } from "../result.ts"
import { budgetBody, campaignBody, monthOf, orderOf, shopper } from "../shop.ts"
import { killRedis, secondsUntil, startStack, type Stack } from "../stack.ts"

const CELLS = 64
/** Lives of a coupon (issue, reserve, confirm) for each master and second, each begun at its instant. */
const LIVES_PER_S = 60
const MOST = 1.15
const READY_MS_MAX = 60_000
const CONNECTIONS_MAX = 8
/** What may pass until an API that was started again is ready, and from a killed Redis to the first yes. */
const API_READY_S_MOST = 2, REDIS_BACK_S_MOST = 4
const BULK_LINES = 100_000, WALLET = 10
/** While the log is rewritten, and as long before, so many acts come each second. */
const BESIDE_PER_S = 1_000, BESIDE_S = 8
const REWRITE_POLL_MS = 10

/** An engine without HTTP and worker over one server or a cluster. */
const open = async (topology: Topology) => {
  const folder = temporaryFolder()
  const servers = await startPrivate({ dataDir: join(folder, "data"), log: quietLog, topology })
  const redis = connectServers(servers.redisUrl!, () => undefined)
  await redisReady(redis, READY_MS_MAX)
  await migrate(servers.databaseUrl!)
  const postgres = openPostgres(servers.databaseUrl!, CONNECTIONS_MAX)
  const clock = await openClock(redis)
  const parts = await openParts(redis, postgres, { cells: CELLS, zone: "UTC" })
  await openCells(parts, clock, quietLog)
  const uses = usesOf(parts)
  const caller = (): Caller => ({ now_ms: clock.now_ms(), key_id: "bench", scopes: ["checkout", "issue", "operate", "read"], lines: ["*"] })
  const month = monthOf(clock.now_ms())
  await uses.budgets.put({ budget_id: `bench-${month}`, ...budgetBody(month) }, caller())
  await uses.campaigns.put({ campaign_id: CAMPAIGN_ID, ...campaignBody(clock.now_ms(), { stock: 10_000_000, per_user: 1_000 }) } as Parameters<typeof uses.campaigns.put>[0], caller())
  await uses.campaigns.activate({ campaign_id: CAMPAIGN_ID }, caller())
  const pids = servers.pids()
  const masters = Object.keys(pids).filter((name) => /^redis(_[123])?$/.test(name)).map((name) => pids[name]!)
  let lives = 0
  return {
    masters: masters.length,
    /** Redis's microseconds for an act, over so many seconds of load; and the acts that were no yes. */
    lap: async (seconds: number): Promise<{ us: number; refused: number }> => {
      const count = seconds * LIVES_PER_S * masters.length, every_ms = 1_000 / (LIVES_PER_S * masters.length)
      const began = performance.now(), before_us = masters.map(exactCpuOf)
      let refused = 0
      const live = async (): Promise<void> => {
        const name = `${topology}-${lives++}`
        const must = (answered: { readonly outcome: string }, wanted: string): void => { if (answered.outcome !== wanted) refused += 1 }
        const issued = await uses.coupons.issue({ request_id: name, campaign_id: CAMPAIGN_ID, user_id: `user-${name}` }, caller())
        must(issued, "issued")
        const coupon_id = (issued.body as { coupon_id: string }).coupon_id
        const held = await uses.checkout.reserve({ order_id: name, user_id: `user-${name}`, order: orderOf(3), coupons: [coupon_id] }, caller())
        must(held, "reserved")
        must(await uses.checkout.confirm({ redemption_id: (held.body as { redemption_id: string }).redemption_id }, caller()), "confirmed")
      }
      const living: Promise<void>[] = []
      for (let i = 0; i < count; i += 1) {
        const wait_ms = began + i * every_ms - performance.now()
        if (wait_ms > 1) await Bun.sleep(wait_ms)
        living.push(live())
      }
      await Promise.all(living)
      return { us: masters.reduce((sum, pid, i) => sum + exactCpuOf(pid) - before_us[i]!, 0) / (3 * count), refused }
    },
    stop: async () => {
      clock.stop()
      redis.disconnect()
      await postgres.close()
      await servers.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** What acts of an open loop take while nothing else goes on, and while the log of Redis is rewritten; and how long that lasts. */
const playRewrite = async (stack: Stack, campaign_no: number) => {
  let number = 0
  const next = (): Asked => ({ bytes: issueRequest(stack, shopper("beside", number++, campaign_no)), is_give: false })
  const p99 = (samples: readonly Sample[]): number => percentile(samples.filter(isYes).map(({ latency_ms }) => latency_ms), 0.99)
  const arriving = offer(stack.url, BESIDE_PER_S, 2 * BESIDE_S, next), began = performance.now()
  await Bun.sleep(BESIDE_S * 1_000)
  const from_ms = performance.now() - began
  await stack.redis.bgrewriteaof().catch(() => undefined) // one that is under way already will do
  while (!/aof_rewrite_in_progress:0[\s\S]*aof_rewrite_scheduled:0/.test(await stack.redis.info("persistence"))) await Bun.sleep(REWRITE_POLL_MS)
  const to_ms = performance.now() - began, { samples } = await arriving
  return {
    before_ms: p99(samples.filter(({ at_ms }) => at_ms < from_ms)), during_ms: p99(samples.filter(({ at_ms }) => at_ms >= from_ms && at_ms < to_ms)),
    lasted_s: (to_ms - from_ms) / 1_000,
  }
}

/** Kill the Redis of an engine that holds so many coupons, start an API again beside it, have its log rewritten, and kill it once more. */
const playDeaths = async (coupons: number, say: (text: string) => void) => {
  const stack = await startStack("deaths", "engine/main.ts")
  await makeBudget(stack)
  const campaign_no = await makeCampaign(stack, CAMPAIGN_ID, { stock: coupons + 100_000, per_user: WALLET })
  for (let from = 0; from < coupons; from += BULK_LINES) {
    say(`coupons before a death: ${from} of ${coupons}`)
    const lines = Array.from({ length: Math.min(BULK_LINES, coupons - from) }, (_, i) => JSON.stringify({ request_id: `gift-${(from + i) % WALLET}`, campaign_id: CAMPAIGN_ID, user_id: `holder-${Math.floor((from + i) / WALLET)}` }))
    await (await fetch(`${stack.url}/v1/coupons/bulk`, { method: "POST", headers: { authorization: `Bearer ${stack.key}`, "content-type": "application/x-ndjson" }, body: `${lines.join("\n")}\n` })).text()
  }
  await stack.flushed()
  const persistence = await stack.redis.info("persistence"), sizeOf = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(persistence)?.[1])
  const base_mb = sizeOf("aof_base_size") / 1e6, tail_mb = (sizeOf("aof_current_size") - sizeOf("aof_base_size")) / 1e6
  const redis_s = await killRedis(stack, CAMPAIGN_ID)
  say(`Redis is back after ${redis_s.toFixed(2)} s`)
  const { redisUrl, databaseUrl } = rememberedServers(join(stack.folder, "data"))!
  // A second API over the same servers, as one that is started again finds them.
  const began = performance.now()
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "..", "..", "engine", "main.ts")], {
    env: { ...stack.env, SCRIP_ROLE: "api", PORT: "0", SCRIP_BOOTSTRAP_KEY: "", REDIS_URL: redisUrl, DATABASE_URL: databaseUrl },
    stdin: "ignore", stdout: "pipe", stderr: "ignore",
  })
  let said = ""
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    said += decoder.decode(chunk, { stream: true })
    if (/listens on (http:\S+)/.test(said)) break
  }
  const url = /listens on (http:\S+)/.exec(said)?.[1]
  await secondsUntil(async () => (await fetch(`${url}/readyz`)).status === 200)
  const api_s = (performance.now() - began) / 1_000
  child.kill("SIGTERM")
  await child.exited
  say("the log is rewritten beside acts")
  const rewrite = await playRewrite(stack, campaign_no)
  const rewritten_s = await killRedis(stack, CAMPAIGN_ID)
  await stack.stop()
  return { redis_s, base_mb, tail_mb, rewritten_s, api_s, rewrite }
}

/** Play it: so many rounds of so many seconds for each, and the deaths with so many coupons. */
export const playCluster = async (rounds: number, seconds: number, coupons: number, say: (text: string) => void): Promise<Result> => {
  say("one Redis and a cluster are started, 64 cells each")
  const one = await open("one"), cluster = await open("cluster")
  const costs: { one: number[]; cluster: number[] } = { one: [], cluster: [] }, proofs: Proof[] = []
  try {
    await one.lap(1)
    await cluster.lap(1)
    for (let round = 0; round < rounds; round += 1) {
      say(`one Redis and the cluster in turn, round ${round + 1} of ${rounds}`)
      for (const [name, contestant] of [["one", one], ["cluster", cluster]] as const) {
        const { us, refused } = await contestant.lap(seconds)
        costs[name].push(us)
        proofs.push({ name: `${name}, round ${round + 1}: acts that were no yes`, wanted: 0, found: refused })
      }
    }
  } finally {
    await one.stop()
    await cluster.stop()
  }
  const { redis_s, base_mb, tail_mb, rewritten_s, api_s, rewrite } = await playDeaths(coupons, say)
  return {
    scenario: "cluster", rows: [], proofs,
    figures: [
      { name: "Redis CPU of an act, one Redis of 64 cells", value: median(costs.one), unit: "µs" },
      { name: "Redis CPU of an act, masters of a cluster at the same load each", value: median(costs.cluster), unit: "µs" },
      { name: "a cluster's act against one Redis's", value: median(costs.cluster.map((us, i) => us / costs.one[i]!)), unit: "×", wanted: { at: "most", value: MOST } },
      { name: `from a killed Redis with ${coupons} coupons to the first yes`, value: redis_s, unit: "s", wanted: { at: "most", value: REDIS_BACK_S_MOST } },
      { name: "its log then: the snapshot", value: base_mb, unit: "MB" },
      { name: "and what was written since", value: tail_mb, unit: "MB" },
      { name: "the same just after its log was rewritten", value: rewritten_s, unit: "s", wanted: { at: "most", value: REDIS_BACK_S_MOST } },
      { name: `p99 of acts at ${BESIDE_PER_S} a second with that many coupons`, value: rewrite.before_ms, unit: "ms" },
      { name: "the same while the log is rewritten", value: rewrite.during_ms, unit: "ms" },
      { name: "a rewrite lasts", value: rewrite.lasted_s, unit: "s" },
      { name: "from the start of an API to ready", value: api_s, unit: "s", wanted: { at: "most", value: API_READY_S_MOST } },
    ],
  }
}

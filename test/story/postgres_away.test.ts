/**
 * Postgres is away, truly stopped: checkouts go on as fast as before, until too much is not flushed; then what takes is refused and what
 * gives back goes on; and when it is back all of it comes in, exactly once.
 */
import { expect, test } from "bun:test"
import { join } from "node:path"
import { newCellSweep, sweepOnce } from "../../engine/journal/sweeper.ts"
import { caughtUp } from "../../engine/journal/caught_up.ts"
import { verifyAll } from "../../engine/journal/verify.ts"
import { quietLog as log } from "../../engine/log.ts"
import { openLedger } from "../../engine/journal/ledger.ts"
import { bootstrapKey } from "../../engine/operate/keys.ts"
import { openClock } from "../../engine/store/clock.ts"
import { migrate, openPostgres } from "../../engine/store/postgres.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { connectServers, redisReady } from "../../engine/store/redis.ts"
import { apiOf, openParts } from "../../engine/wire.ts"
import { openCells, startWorker } from "../../engine/worker.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { ANSWER_MS_MAX } from "../support/stack.ts"
import { fresh, type Heard, issueAsk, openCampaign, reserveAsk, yes } from "./till.ts"

const KEY = "test_the_key_of_this_story", CALLERS = 100
/** A key was looked at so long ago that it has to be looked at again. */
const KEY_OLD_MS = 2_100
/** So many times as long as with Postgres, or so long, may checkouts take without: who waits for it at each takes a hundred times as long. */
const TIMES_AS_LONG = 10, LIVES_MS_MAX = 10_000
const FLUSH_WAIT_MS = 60_000, READY_MS_MAX = 30_000, REVOKED_MS_MAX = 30_000

test("postgres away: checkouts go on, then journal_full for what takes while gives go on, and all of it comes in when it is back", async () => {
  const folder = scratchFolder()
  const start = () => startPrivate({ dataDir: join(folder, "postgres"), log, redis: false })
  const redisServer = await startPrivate({ dataDir: join(folder, "redis"), log, postgres: false })
  let server = await start()
  await migrate(server.databaseUrl!)
  const redis = connectServers(redisServer.redisUrl!, () => undefined, ANSWER_MS_MAX), postgres = openPostgres(server.databaseUrl!, 10)
  await redisReady(redis, READY_MS_MAX)
  const clock = await openClock(redis)
  const parts = await openParts(redis, postgres, { cells: 1, zone: "UTC" })
  await openCells(parts, clock, log)
  const { ledger, loop } = openLedger({ ...parts, log })
  const loops = [...startWorker(parts, clock, log), loop]
  await bootstrapKey(postgres.sql, KEY, clock.now_ms())
  const { app } = apiOf(parts, ledger, clock, async () => ({ missing: [], durability: "local", accepted: [], clock: "system", cells: 1 }), log, { clock: "system", log_requests: "faults", durability: "local" })
  const callAs = async (key: string, method: string, path: string, body?: unknown): Promise<Heard> => {
    const answer = await app.request(path, { method, headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    return { status: answer.status, body: await answer.json(), headers: answer.headers }
  }
  const say = (method: string, path: string, body?: unknown) => callAs(KEY, method, path, body)
  try {
    const { campaign_id } = await openCampaign(say, clock.now_ms())
    const held = async (): Promise<string> => {
      const user = fresh("user"), { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user)))
      return (await yes(say("POST", "/v1/redemptions", reserveAsk(user, [coupon_id])))).redemption_id
    }
    const live = async (): Promise<string> => {
      const redemption_id = await held()
      await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
      return redemption_id
    }
    const other = await yes(say("POST", "/v1/keys", { name: "other", scopes: ["read", "checkout"], lines: ["*"] }))
    expect((await callAs(other.key, "GET", `/v1/users/nobody/coupons`)).status).toBe(200)
    const lives = async () => {
      const began_ms = performance.now(), confirmed = await Promise.all(Array.from({ length: CALLERS }, live))
      return { confirmed: confirmed[0]!, took_ms: performance.now() - began_ms }
    }
    const before = await lives()

    await server.stop()
    await Bun.sleep(KEY_OLD_MS)
    const { confirmed, took_ms } = await lives()
    expect(took_ms).toBeLessThan(Math.max(LIVES_MS_MAX, TIMES_AS_LONG * before.took_ms))
    const unknown = confirmed.slice(0, -1) + (confirmed.endsWith("x") ? "y" : "x")
    expect((await say("GET", `/v1/redemptions/${unknown}`)).body.code).toBe("not_ready") // perhaps Postgres knows it
    const [paid, walked] = [await held(), await held()]
    const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, fresh("user"))))

    // The worker's own sweeper would find that there is room: a limit that is passed is told to the cell between its rounds.
    const sweep = (journal_bytes_max: number) => sweepOnce({
      redis, sql: postgres.sql, log, cells: 1, ages: { now_ms: clock.now_ms(), age_ms: parts.age_ms, remember_ms: parts.remember_ms }, flushed_ms: 0, journal_bytes_max,
    }, { ...newCellSweep(0), ticked_hour: Infinity, evicted_hour: Infinity })
    for (const running of loops.filter(({ name }) => name === "sweeper")) await running.stop()
    await sweep(-1)
    const full = [await say("POST", "/v1/coupons", issueAsk(campaign_id, fresh("user"))), await say("POST", "/v1/redemptions", reserveAsk(fresh("user"), [coupon_id]))]
    expect(full.map(({ status, body, headers }) => [status, body.code, headers.get("retry-after")])[0]).toEqual([503, "journal_full", "5"])
    expect((await say("POST", `/v1/redemptions/${paid}/confirm`, {})).status).toBe(200)
    expect((await say("POST", `/v1/redemptions/${walked}/cancel`, {})).status).toBe(200)
    expect((await say("POST", `/v1/redemptions/${confirmed}/refunds`, { refund_id: "f", lines: "all" })).status).toBe(201)
    expect((await say("POST", `/v1/coupons/${coupon_id}/revoke`, { reason: "full" })).status).toBe(200)
    await sweep(2 ** 30)
    await live()

    server = await start()
    // The connections that were lost come back one by one: until then it is still away.
    await until("all is flushed", () => caughtUp(parts, 0, FLUSH_WAIT_MS).then(() => true, () => false), FLUSH_WAIT_MS)
    const [counted] = await postgres.sql<{ confirmed: number }[]>`select count(*)::int as confirmed from events where act = 'confirmed'`
    expect(counted!.confirmed).toBe(2 * CALLERS + 2)
    expect((await verifyAll({ redis, sql: postgres.sql, cells: 1, ages: () => ({ now_ms: clock.now_ms(), age_ms: parts.age_ms, remember_ms: parts.remember_ms }) })).differences).toEqual([])
    // A key that is revoked now is felt as soon as ever.
    await yes(say("DELETE", `/v1/keys/${other.key_id}`))
    await until("the revoked key is refused", async () => (await callAs(other.key, "GET", `/v1/users/nobody/coupons`)).status === 401, REVOKED_MS_MAX)
  } finally {
    for (const running of loops.toReversed()) await running.stop()
    clock.stop()
    redis.disconnect()
    await postgres.close()
    await server.stop()
    await redisServer.stop()
  }
}, 240_000)

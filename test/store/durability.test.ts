/**
 * What a yes is worth when its master is lost: at `local` it may be gone and is then listed by name, at `ledger` it was not heard before
 * Postgres had it.
 *
 * The replica is cut off and the flusher held by its lock before the master is killed, which is the worst that a failover can do: nothing
 * of what was answered meanwhile is anywhere else.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { cellOf, quotaKey, userHash } from "../../lua/keys.ts"
import { readLost, rememberAcknowledged } from "../../engine/journal/acknowledged.ts"
import { quietLog } from "../../engine/log.ts"
import { COMMAND_TIMEOUT_MS } from "../../engine/store/redis.ts"
import { handsOn } from "../support/cluster.ts"
import { until } from "../support/run_engine.ts"
import { beforeEnd } from "../support/stack.ts"
import { openStory, type Story } from "../story/story.ts"
import { fresh, issueAsk, openCampaign, yes } from "../story/till.ts"

const CELLS = 3, CELL = 0
const START_MS_MAX = 120_000
const TEST_MS_MAX = 180_000
/** Until another master is chosen, callers are told to come later, but not for so long. */
const LATER_MS_MAX = 90_000
const LEDGER = { prefer: "durability=ledger" }

let story: Story, hands: ReturnType<typeof handsOn>, campaign_id: string

beforeAll(async () => {
  story = await openStory({ cells: CELLS, topology: "cluster", answer_ms: COMMAND_TIMEOUT_MS })
  hands = handsOn(story.redisServers!, beforeEnd)
  ;({ campaign_id } = await openCampaign(story.call, story.now_ms()))
}, START_MS_MAX)
afterAll(async () => { await story.close() }, START_MS_MAX)

const userIn = (cell: number): string => {
  for (;;) {
    const user_id = fresh("user")
    if (cellOf(userHash(user_id), CELLS) === cell) return user_id
  }
}
const issue = (user_id: string, request_id: string, headers: Record<string, string> = {}) => story.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id, request_id), { headers })
/** A request whose yes is to be in Postgres; one that nobody began, because Postgres was behind, is asked again. */
const promised = async (user_id: string, request_id: string) => {
  let heard = await issue(user_id, request_id, LEDGER)
  await until("Postgres is not behind", async () => { if (heard.body.code === "overloaded") heard = await issue(user_id, request_id, LEDGER); return heard.body.code !== "overloaded" })
  return heard
}
/** The same request again until it is not told to come later. */
const again = async (user_id: string, request_id: string) => {
  const until_ms = performance.now() + LATER_MS_MAX
  for (;;) {
    const heard = await issue(user_id, request_id)
    if (heard.status !== 503 || performance.now() > until_ms) return heard
    story.setNow(story.now_ms() + 200)
    await Bun.sleep(20)
  }
}
/** While nothing is flushed. */
const withoutFlusher = async <T>(work: () => Promise<T>): Promise<T> => {
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: locked, resolve: isLocked } = Promise.withResolvers<void>()
  const lock = story.parts.postgres.sql.begin(async (tx) => {
    await tx`select cell from cells order by cell for update`
    isLocked()
    await held
  })
  await locked
  try { return await work() } finally { letGo(); await lock }
}

test("issued: at ledger a yes is in Postgres when it is heard, a repeat too, and the wait is said to be applied", async () => {
  const user_id = userIn(1), request_id = fresh("issue")
  for (const hit of [null, "true"]) {
    const heard = await promised(user_id, request_id)
    expect([heard.status, heard.headers.get("preference-applied"), heard.headers.get("idempotency-hit")]).toEqual([201, "durability=ledger", hit])
    expect(await story.parts.postgres.sql`select 1 from coupons where coupon_id = ${heard.body.coupon_id}`).toHaveLength(1)
  }
}, TEST_MS_MAX)

test("overloaded: while Postgres is more than a second behind, no act begins that would wait for it; others go on", async () => {
  expect((await promised(userIn(1), fresh("issue"))).status).toBe(201)
  await withoutFlusher(async () => {
    const [first, second] = [fresh("issue"), fresh("issue")]
    const user_id = userIn(1)
    expect((await issue(user_id, first, LEDGER)).body.code).toBe("outcome_unknown")
    expect((await issue(user_id, second, LEDGER)).body.code).toBe("overloaded")
    expect((await issue(user_id, second)).headers.get("idempotency-hit")).toBeNull() // it had not begun
    expect((await issue(user_id, first)).headers.get("idempotency-hit")).toBe("true") // it had
  })
  await until("the flusher has caught up", async () => (await issue(userIn(1), fresh("issue"), LEDGER)).status === 201)
}, TEST_MS_MAX)

test("lost: what a failover takes at local is listed by name; what was heard at ledger is there, and what was not heard tells", async () => {
  await hands.whole()
  const kept = { user_id: userIn(CELL), request_id: fresh("kept") }, lost = { user_id: userIn(CELL), request_id: fresh("lost") }, unheard = { user_id: userIn(CELL), request_id: fresh("unheard") }
  expect((await promised(kept.user_id, kept.request_id)).status).toBe(201)
  const coupon_id: string = await withoutFlusher(async () => {
    // What the flusher has read already it will write: it has to stand at the lock with something else in its hands.
    await yes(issue(userIn(CELL), fresh("issue")))
    await until("the flusher stands at the lock", async () => (await story.parts.postgres.sql`
      select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length > 0)
    const nodes = await hands.serving(quotaKey(CELL))
    await hands.sever(nodes)
    const answered = await yes(issue(lost.user_id, lost.request_id))
    // A busy machine may have taken the second, after which it is not even begun, for what stands above.
    expect(["outcome_unknown", "overloaded"]).toContain((await issue(unheard.user_id, unheard.request_id, LEDGER)).body.code)
    await hands.failOver(quotaKey(CELL), nodes)
    return answered.coupon_id
  })
  expect((await again(kept.user_id, kept.request_id)).headers.get("idempotency-hit")).toBe("true")
  expect((await again(unheard.user_id, unheard.request_id)).status).toBe(201)
  await story.flush()
  await story.memory.look()
  const { acts, silent } = await readLost(story.parts.postgres.sql, story.now_ms(), 100)
  expect(acts.map(({ cell, act, names }) => ({ cell, act, request_id: names["request_id"], coupon_id: names["coupon_id"] }))).toEqual([{ cell: CELL, act: "issue", request_id: lost.request_id, coupon_id }])
  expect(silent).toEqual([])
  // It is new now, and happens once.
  expect((await again(lost.user_id, lost.request_id)).headers.get("idempotency-hit")).toBeNull()
  expect((await again(lost.user_id, lost.request_id)).headers.get("idempotency-hit")).toBe("true")
  await hands.whole()
  await story.expectConserved()
}, TEST_MS_MAX)

test("lost: a process that died, or had to forget, is named, because it may have known of more", async () => {
  const { sql } = story.parts.postgres
  const process = (process_id: string) => rememberAcknowledged({ sql, log: quietLog, now_ms: story.now_ms, process_id, pid: 1, acts_max: 4 })
  const died = process("died"), left = process("left"), forgot = process("forgot")
  for (const each of [died, left]) await each.look()
  for (let n = 0; n < 6; n += 1) forgot.witness(2, `1-${1_000_000 + n}`, "issue", {})
  await forgot.look()
  const loop = left.start()
  await loop.stop()
  story.setNow(story.now_ms() + 11_000)
  const { silent } = await readLost(sql, story.now_ms(), 100)
  expect(silent.map(({ process_id, forgotten }) => [process_id, forgotten > 0]).filter(([id]) => ["died", "left", "forgot"].includes(id as string)).toSorted()).toEqual([["died", false], ["forgot", true]])
}, TEST_MS_MAX)

/**
 * A Redis Cluster under the whole engine: every cell on its master, masters that are killed, joined and relieved of slots, and what is
 * true of each answer that was given meanwhile.
 *
 * The tests share one cluster and go on where the one before has ended, as an installation does.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { cellOf, quotaKey, userHash } from "../../lua/keys.ts"
import { ask, COMMAND_TIMEOUT_MS, mastersOf, ourLibrary } from "../../engine/store/redis.ts"
import { slotOf } from "../../engine/store/slots.ts"
import { handsOn } from "../support/cluster.ts"
import { beforeEnd } from "../support/stack.ts"
import { until } from "../support/run_engine.ts"
import { openStory, type Story } from "../story/story.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, yes } from "../story/till.ts"

const CELLS = 6
const START_MS_MAX = 120_000
const TEST_MS_MAX = 180_000
/** A request that is told "later" comes again for so long. */
const LATER_MS_MAX = 90_000

let story: Story, hands: ReturnType<typeof handsOn>
let campaign_id: string, budget_id: string

beforeAll(async () => {
  story = await openStory({ cells: CELLS, topology: "cluster", durability: "replicated", answer_ms: COMMAND_TIMEOUT_MS })
  hands = handsOn(story.redisServers!, beforeEnd)
  ;({ campaign_id, budget_id } = await openCampaign(say, story.now_ms()))
}, START_MS_MAX)
afterAll(async () => { await story.close() }, START_MS_MAX)

/** Ask until it is neither yes nor no that waits: what is unknown or not possible now is asked again, under the same ids. */
const say = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
  const until_ms = performance.now() + LATER_MS_MAX
  for (;;) {
    const heard = await story.call(method, path, body, { headers })
    if (heard.status !== 503 || performance.now() > until_ms) return heard
    await Bun.sleep(20)
  }
}
/** A user of a cell. */
const userIn = (cell: number): string => {
  for (;;) {
    const user_id = fresh("user")
    if (cellOf(userHash(user_id), CELLS) === cell) return user_id
  }
}
/** A coupon's whole life; the id of the redemption that was confirmed. */
const buy = async (user_id: string): Promise<string> => {
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id])))
  await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  return redemption_id
}
const stateOf = async (redemption_id: string): Promise<string> => (await yes(say("GET", `/v1/redemptions/${redemption_id}`))).state

test("slots: a key's slot is what Redis says it is", async () => {
  for (const key of ["{c0}q", "{c1}q", "{c63}j", "{scrip}installation", "plain", "{}x", "a{b}{c}", "{c5}w用户"]) {
    expect([key, Number(await hands.members[0]!.client.call("CLUSTER", "KEYSLOT", key))]).toEqual([key, slotOf(key)])
  }
})

test("confirmed: every cell sells on its own master, and Redis and Postgres agree", async () => {
  const bought = await Promise.all(Array.from({ length: CELLS * 4 }, (_, i) => buy(userIn(i % CELLS))))
  for (const redemption_id of bought) expect(await stateOf(redemption_id)).toBe("confirmed")
  const masters = new Set(await Promise.all(Array.from({ length: CELLS }, async (_, cell) => (await hands.serving(quotaKey(cell))).master.name)))
  expect(masters.size).toBeGreaterThan(1)
  await story.expectConserved()
}, TEST_MS_MAX)

test("replicated: a master that is killed takes no yes with it, and its cells open on its replica", async () => {
  const cell = 0, sold: string[] = []
  let is_over = false
  const selling = Promise.all(Array.from({ length: 8 }, async () => { while (!is_over) sold.push(await buy(userIn(cell))) }))
  await until("something is sold", () => sold.length > 20)
  await hands.failOver(quotaKey(cell))
  const before = sold.length
  await until("and again after the failover", () => sold.length > before + 20)
  is_over = true
  await selling
  for (const redemption_id of sold) expect(await stateOf(redemption_id)).toBe("confirmed")
  const [{ epochs } = { epochs: 0 }] = await story.parts.postgres.sql<{ epochs: number }[]>`select count(*)::integer as epochs from events where cell = ${cell} and act = 'opened'`
  expect(epochs).toBeGreaterThan(1)
  await hands.whole()
  await story.expectConserved()
}, TEST_MS_MAX)

test("outcome_unknown: where no replica acknowledges, nobody hears a yes, and the repeat tells once one does", async () => {
  const cell = 1, user_id = userIn(cell), ask_once = issueAsk(campaign_id, user_id)
  const { replica } = await hands.serving(quotaKey(cell))
  hands.signal(replica!, "SIGSTOP")
  const [first, ...others] = await Promise.all([story.call("POST", "/v1/coupons", ask_once), story.call("POST", "/v1/coupons", ask_once), story.call("GET", `/v1/redemptions/${"x".repeat(34)}`)])
  hands.signal(replica!, "SIGCONT")
  expect([first!.status, first!.body.code]).toEqual([503, "outcome_unknown"])
  expect(others[0]!.body.code).toBe("outcome_unknown")
  const told = await say("POST", "/v1/coupons", ask_once)
  expect([told.status, told.headers.get("idempotency-hit")]).toEqual([201, "true"])
}, TEST_MS_MAX)

test("functions: a master that joins has the library before anybody calls it", async () => {
  const joined = await hands.join()
  await hands.moveSlot("{no cell's}", joined, 0)
  await until("the library is there", async () => JSON.stringify(await joined.client.call("FUNCTION", "LIST", "LIBRARYNAME", ourLibrary().name)).includes(ourLibrary().name))
}, TEST_MS_MAX)

test("overloaded: a slot that moves under load gives right answers or 503, and its cell goes on where it is then", async () => {
  const cell = 2, key = quotaKey(cell), sold: string[] = [], words = new Set<string>()
  const { master } = await hands.serving(key)
  const others = await Promise.all(Array.from({ length: CELLS }, async (_, other) => (await hands.serving(quotaKey(other))).master))
  const target = others.find(({ name }) => name !== master.name)!
  let is_over = false
  const selling = Promise.all(Array.from({ length: 8 }, async () => {
    while (!is_over) {
      const user_id = userIn(cell)
      const issued = await story.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id))
      words.add(String(issued.body.code ?? issued.body.state))
      if (issued.status === 201) sold.push(issued.body.coupon_id)
      else await Bun.sleep(10)
    }
  }))
  await until("something is sold", () => sold.length > 20)
  await hands.moveSlot(key, target, 1)
  const before = sold.length
  await until("and again where the slot is now", () => sold.length > before + 20)
  is_over = true
  await selling
  expect([...words].filter((word) => !["issued", "overloaded", "outcome_unknown"].includes(word))).toEqual([])
  expect((await hands.serving(key)).master.name).toBe(target.name)
  // What was sold is there, once each, wherever it was sold.
  const rows = await (async () => { await story.flush(); return story.parts.postgres.sql<{ coupon_id: string }[]>`select coupon_id from coupons where coupon_id = any(${sold})` })()
  expect(rows.length).toBe(sold.length)
  expect(new Set(sold).size).toBe(sold.length)
  await story.expectConserved()
}, TEST_MS_MAX)

test("rebuilt: an empty cluster is written from Postgres, cell by cell, and goes on", async () => {
  const user_id = userIn(3), asked = issueAsk(campaign_id, user_id)
  await yes(say("POST", "/v1/coupons", asked))
  await story.flush()
  for (const node of mastersOf(story.parts.redis)) await node.flushall()
  const told = await say("POST", "/v1/coupons", asked)
  expect([told.status, told.headers.get("idempotency-hit")]).toEqual([201, "true"])
  await buy(userIn(4))
  expect(await ask(story.parts.redis, quotaKey(3), (node) => node.exists(quotaKey(3)))).toBe(1)
  expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).spent_minor).toBeGreaterThan(0)
  await story.expectConserved()
}, TEST_MS_MAX)

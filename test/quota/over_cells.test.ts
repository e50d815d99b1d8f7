/**
 * Quotas over seven cells, through the API: what one cell does not use every other can have, a cut and a close are of all cells, and a
 * quote says what is really left.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { act, ask, run } from "../../engine/store/redis.ts"
import { reserveWith } from "../../engine/checkout/reserve.ts"
import { confirmWith } from "../../engine/checkout/confirm.ts"
import { issueWith } from "../../engine/coupons/issue.ts"
import { makeKeeper } from "../../engine/quota/keeper.ts"
import { quietLog } from "../../engine/log.ts"
import { readLeases } from "../../engine/quota/sums.ts"
import { cellOf, homeOf, idHash, quotaKey, userHash } from "../../lua/keys.ts"
import { grant } from "../../lua/grant.ts"
import { put_back } from "../../lua/put_back.ts"
import { pack, unpack } from "../../lua/records.ts"
import { set_aside } from "../../lua/set_aside.ts"
import { openStory, type Story } from "../story/story.ts"
import { askingAgain } from "../support/later.ts"
import { until } from "../support/run_engine.ts"
import { tamper } from "../support/tamper.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, type Say, yes } from "../story/till.ts"

const CELLS = 7
/** What a test may take on a machine that does other things too. */
const TEST_MS_MAX = 180_000
let story: Story, say: Say
beforeAll(async () => { story = await openStory({ cells: CELLS }); say = askingAgain(story.call) }, TEST_MS_MAX)
afterAll(async () => { await story.expectConserved(); await story.close() }, TEST_MS_MAX)

/** A user whose cell is this one. */
const userIn = (cell: number): string => {
  for (;;) {
    const user_id = fresh("user")
    if (cellOf(userHash(user_id), CELLS) === cell) return user_id
  }
}
const couponFor = async (campaign_id: string, user_id: string): Promise<string> => (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id
const reserveIn = async (cell: number, campaign_id: string) => {
  const user_id = userIn(cell)
  return say("POST", "/v1/redemptions", reserveAsk(user_id, [await couponFor(campaign_id, user_id)]))
}
const budgetNo = async (budget_id: string): Promise<number> => (await story.parts.catalogue.budgetById(budget_id))!.budget_no
const moneyOf = async (budget_id: string) => {
  const { limit_minor, held_minor, spent_minor, available_minor } = await yes(say("GET", `/v1/budgets/${budget_id}`))
  return { limit_minor, held_minor, spent_minor, available_minor }
}

test("budget_exhausted: the last of the money is found in whatever cell it lies, to the cent", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 1_450, amount_minor: 100 })
  const held = []
  for (let cell = 0; cell < CELLS; cell++) held.push(await yes(reserveIn(cell, campaign_id)))
  // Two are given back where they were; a cell that has nothing gets them.
  for (const { redemption_id } of held.slice(0, 2)) await yes(say("POST", `/v1/redemptions/${redemption_id}/cancel`, {}))
  for (let i = 0; i < 9; i++) await yes(reserveIn(CELLS - 1, campaign_id))
  const refused = await reserveIn(3, campaign_id)
  expect([refused.status, refused.body.code]).toEqual([409, "budget_exhausted"])
  expect(await moneyOf(budget_id)).toEqual({ limit_minor: 1_450, held_minor: 1_400, spent_minor: 0, available_minor: 50 })
}, TEST_MS_MAX)

test("reserved: a share of no money needs none of its budget, also in a cell that has never heard of it", async () => {
  const rich = await openCampaign(say, story.now_ms())
  const empty = await openCampaign(say, story.now_ms(), { limit_minor: 0 })
  const { campaign_id } = await openCampaign(say, story.now_ms(), {
    amount_minor: 1, funding: [{ budget_id: empty.budget_id, share_bp: 3_333 }, { budget_id: rich.budget_id, share_bp: 6_667 }],
  })
  await yes(reserveIn(3, campaign_id))
  expect(await moneyOf(rich.budget_id)).toMatchObject({ held_minor: 1 })
  expect(await moneyOf(empty.budget_id)).toMatchObject({ held_minor: 0 })
}, TEST_MS_MAX)

test("a keeper looks at quotas alone: codes lie beside them in every cell", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms())
  await yes(say("PUT", `/v1/campaigns/${campaign_id}/codes`, { code: fresh("CODE"), limit: 3 }))
  const keeper = makeKeeper(story.parts, quietLog, story.now_ms)
  await keeper.look()
  expect(keeper.counterMax()).toBeGreaterThan(0)
}, TEST_MS_MAX)

test("a bank that has forgotten a cell hears of it, although nobody asks it for a grant", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { amount_minor: 100 })
  await yes(reserveIn(3, campaign_id))
  const name = `b${await budgetNo(budget_id)}`, home = quotaKey(homeOf(name, CELLS))
  const bank = async () => unpack("bank", (await ask(story.parts.redis, home, (node) => node.hgetBuffer(home, `v${name}`)))!)
  await ask(story.parts.redis, home, (node) => tamper(node, home, `v${name}`, (raw) => pack("bank", { ...unpack("bank", raw), leases: [] })))
  const keeper = makeKeeper({ ...story.parts }, quietLog, story.now_ms)
  await until("the bank knows what it has lent", async () => {
    await keeper.look()
    const { granted } = unpack("budget", (await ask(story.parts.redis, quotaKey(3), (node) => node.hgetBuffer(quotaKey(3), name)))!)
    return granted > 0 && (await bank()).leases.some((lease) => lease[0] === 3 && lease[1] === granted)
  })
}, TEST_MS_MAX)

test("reserved: a cell whose first grant of a budget was lost, and told again by a recall, knows the month too", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100, amount_minor: 100 })
  const name = `b${await budgetNo(budget_id)}`, home = homeOf(name, CELLS), cell = (home + 1) % CELLS
  // The bank lends all of it, and the message never comes.
  expect(await act(story.parts.redis, grant, { keys: { quota: quotaKey(home) }, args: { now_ms: story.now_ms(), name, cells: CELLS, cell, want: 100, least: 100, is_early: 0 } })).toMatchObject({ outcome: "granted", lent: 100 })
  expect((await reserveIn(cell, campaign_id)).status).toBe(201)
}, TEST_MS_MAX)

test("stock_exhausted: seven coupons for seven cells, and then none", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms(), { stock: CELLS })
  for (let cell = 0; cell < CELLS; cell++) await couponFor(campaign_id, userIn(cell))
  const refused = await say("POST", "/v1/coupons", issueAsk(campaign_id, userIn(0)))
  expect([refused.status, refused.body.code]).toEqual([409, "stock_exhausted"])
  expect((await yes(say("GET", `/v1/campaigns/${campaign_id}`))).issued).toBe(CELLS)
}, TEST_MS_MAX)

/** Parts whose first word of a quota is late: `meanwhile` is done between the cell's refusal and the recall. */
const hearingLate = (meanwhile: () => Promise<unknown>): Story["parts"] => {
  let heard: Promise<unknown> | undefined
  const { catalogue } = story.parts
  return { ...story.parts, catalogue: { ...catalogue, budgetByNo: async (budget_no) => { await (heard ??= meanwhile()); return catalogue.budgetByNo(budget_no) } } }
}
const caller = () => ({ now_ms: story.now_ms(), key_id: "test", scopes: [], lines: ["*"] })

test("replayed: a reserve whose earlier attempt is done while cells are asked hears its yes, not that all is gone", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100, amount_minor: 100 })
  const user_id = userIn(2), sent = reserveAsk(user_id, [await couponFor(campaign_id, user_id)])
  const other = await yes(reserveIn(5, campaign_id))
  let first: unknown
  const parts = hearingLate(async () => {
    await yes(say("POST", `/v1/redemptions/${other.redemption_id}/cancel`, {}))
    first = await yes(say("POST", "/v1/redemptions", sent))
  })
  const repeated = await reserveWith(parts)(sent as Parameters<ReturnType<typeof reserveWith>>[0], caller())
  expect(repeated).toMatchObject({ outcome: "reserved", hit: true })
  expect(first).toBeDefined()
  expect(await moneyOf(budget_id)).toMatchObject({ held_minor: 100, available_minor: 0 })
}, TEST_MS_MAX)

test("replayed: an issue whose earlier attempt is done while cells are asked hears its yes, not that all is gone", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100, amount_minor: 100, hold_at: "issue" })
  const sent = issueAsk(campaign_id, userIn(2))
  const other = await couponFor(campaign_id, userIn(5))
  const parts = hearingLate(async () => {
    await yes(say("POST", `/v1/coupons/${other}/revoke`, { reason: "makes room" }))
    await yes(say("POST", "/v1/coupons", sent))
  })
  expect(await issueWith(parts)(sent, caller())).toMatchObject({ outcome: "issued", hit: true })
  expect(await moneyOf(budget_id)).toMatchObject({ held_minor: 100, available_minor: 0 })
}, TEST_MS_MAX)

test("confirmed: a late one whose earlier attempt is done while cells are asked hears its yes, not that money is missing", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100, amount_minor: 100 })
  const user_id = userIn(2)
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [await couponFor(campaign_id, user_id)], { hold_s: 30 })))
  story.setNow(story.now_ms() + 30_001)
  await story.sweep()
  const other = await yes(reserveIn(5, campaign_id))
  const parts = hearingLate(async () => {
    await yes(say("POST", `/v1/redemptions/${other.redemption_id}/cancel`, {}))
    await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, { late: true }))
  })
  expect(await confirmWith(parts)({ redemption_id, late: true }, caller())).toMatchObject({ outcome: "confirmed", hit: true })
}, TEST_MS_MAX)

test("budget_in_use: a cut takes what every cell leaves unused, all of it or nothing", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100_000, amount_minor: 100 })
  for (let cell = 0; cell < CELLS; cell++) await yes(reserveIn(cell, campaign_id))
  const cut = (addition_id: string, amount_minor: number) => say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id, amount_minor })
  const tooMuch = await cut("too much", -(100_000 - 699))
  expect([tooMuch.status, tooMuch.body.code, tooMuch.body.free_minor]).toEqual([409, "budget_in_use", 99_300])
  await yes(cut("all of it", -99_300))
  expect((await cut("all of it", -99_300)).headers.get("idempotency-hit")).toBe("true")
  expect(await moneyOf(budget_id)).toEqual({ limit_minor: 700, held_minor: 700, spent_minor: 0, available_minor: 0 })
}, TEST_MS_MAX)

test("changed: a closed budget holds nothing new in any cell, and what was held is confirmed", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100_000, amount_minor: 100 })
  const held = await yes(reserveIn(0, campaign_id))
  const waiting = await Promise.all(Array.from({ length: CELLS }, async (_, cell) => { const user_id = userIn(cell); return { user_id, coupon_id: await couponFor(campaign_id, user_id) } }))
  await yes(say("POST", `/v1/budgets/${budget_id}/close`, {}))
  for (const { user_id, coupon_id } of waiting) expect((await say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id]))).body.code).toBe("budget_not_open")
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`, {}))
  expect(await moneyOf(budget_id)).toEqual({ limit_minor: 100, held_minor: 0, spent_minor: 100, available_minor: 0 })
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/refunds`, { refund_id: "all", lines: "all" }))
  await yes(say("POST", `/v1/budgets/${budget_id}/close`, {})) // takes what has come back
  expect(await moneyOf(budget_id)).toEqual({ limit_minor: 0, held_minor: 0, spent_minor: 0, available_minor: 0 })
}, TEST_MS_MAX)

test("quota_busy: while a cut is under way nothing is lent, and nobody hears that all is gone", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100_000, amount_minor: 100 })
  const budget = await budgetNo(budget_id), keys = { quota: quotaKey(homeOf(`b${budget}`, CELLS)) }
  const args = { now_ms: story.now_ms(), budget, addition: idHash("left under way") }
  await act(story.parts.redis, set_aside, { keys, args: { ...args, fingerprint: "x", amount_minor: 99_950, cells: CELLS, payload: "{}" } })
  const user_id = userIn(2), held = reserveAsk(user_id, [await couponFor(campaign_id, user_id)])
  const refused = await story.call("POST", "/v1/redemptions", held)
  expect([refused.status, refused.body.code, refused.headers.get("retry-after")]).toEqual([503, "quota_busy", "1"])
  expect(await run(story.parts.redis, put_back, { keys, args })).toEqual({ outcome: "put_back", free_minor: 100_000 })
  await yes(reserveIn(2, campaign_id))
}, TEST_MS_MAX)

test("quoted: a quote says what all cells have left, not what the user's has", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 250, amount_minor: 100 })
  const user_id = userIn(5), coupon_id = await couponFor(campaign_id, user_id)
  const quote = async () => (await yes(say("POST", "/v1/quotes", { user_id, order: reserveAsk(user_id, []).order, coupons: [coupon_id] }))).applied.length
  await yes(reserveIn(0, campaign_id))
  expect(await quote()).toBe(1) // cell 5 was lent nothing yet
  await yes(reserveIn(1, campaign_id))
  story.setNow(story.now_ms() + 1_001) // what was summed before is too old now
  expect(await quote()).toBe(0)
  expect((await moneyOf(budget_id)).available_minor).toBe(50)
}, TEST_MS_MAX)

test("a lease that nobody uses goes back but for what would be granted now, and what is half used is refilled before anyone waits", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100_000, amount_minor: 100 })
  const name = `b${await budgetNo(budget_id)}`
  for (let cell = 0; cell < CELLS; cell++) await yes(reserveIn(cell, campaign_id))
  const before = story.parts.leases.acts_waited
  for (let i = 0; i < 40; i++) {
    await yes(reserveIn(4, campaign_id))
    await Bun.sleep(2) // a refill is under way beside the acts
  }
  expect(before).toBeGreaterThan(0) // the first in each cell has waited
  expect(story.parts.leases.acts_waited - before).toBeLessThanOrEqual(CELLS) // the coupons of users who are new in their cells
  // What the bank has lent and the cell has not been told yet is on its way.
  await until("what is lent and not used is in the cells", async () => {
    const { leased, idle } = await readLeases(story.parts, name)
    return leased - idle === (CELLS + 40) * 100
  })
  // All but little is spent elsewhere: an equal part of what is free is little too, and idle leases shrink to it.
  await yes(say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: "most", amount_minor: -90_000 }))
  for (let cell = 0; cell < CELLS; cell++) await yes(reserveIn(cell, campaign_id))
  const keeper = makeKeeper({ ...story.parts }, quietLog, story.now_ms)
  const left = async () => (await readLeases(story.parts, name)).idle
  const lent = await left()
  await until("an idle lease goes back", async () => { await keeper.look(); return await left() < lent })
}, TEST_MS_MAX)

// A month's rights from the job to the wallets: issued once through the API, listed where they could not be, made good later.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { badge_compensation } from "../../analytics/jobs/badge_compensation.ts"
import { badges } from "../../analytics/jobs/badges.ts"
import { schedule } from "../../analytics/scheduler.ts"
import { movePointer, runAfter, runJob, runRow } from "../../analytics/runner.ts"
import type { House } from "../../analytics/runner.ts"
import { openLake } from "../../analytics/lake.ts"
import { openTables } from "../../analytics/tables.ts"
import { fresh, openCampaign, yes } from "../story/till.ts"
import { levelsLoaded } from "../levels/published.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openShop, type Shop } from "../support/shop.ts"
import { october } from "./house.ts"
import { INTEGER, putRules, putScores, wealth } from "./scores.ts"

const START_MS_MAX = 120_000
/** A job runs at the lowest priority: beside busy processes it has a hundredth of a processor. */
const TRIED_MS_MAX = 600_000
/** The shop's month is June; the one before it is closed. */
const MAY = { ...october, period: "2026-05", is_first: true }

let shop: Shop
let house: House & { readonly database_url: string }
let closing: (() => Promise<void>)[] = []
/** How many rights each call of the bulk issue carried. */
const calls: number[] = []
let isBroken = false

beforeAll(async () => {
  shop = await openShop({ cells: 2 })
  const server = Bun.serve({
    port: 0,
    fetch: async (request) => {
      const body = await request.text()
      calls.push(body.split("\n").length)
      if (isBroken) return new Response("", { status: 503 })
      return shop.app.request(new URL(request.url).pathname, { method: request.method, headers: { ...Object.fromEntries(request.headers), "scrip-now": String(shop.clock.now_ms()) }, body })
    },
  })
  const database_url = shop.database_url
  const sql = openTables(database_url)
  const api = { url: `http://127.0.0.1:${server.port}`, key: shop.key }
  house = { sql, lake: openLake(scratchFolder()), time_zone: "UTC", memory_mb: 256, threads: 1, api, signal: new AbortController().signal, progress: () => {}, database_url }
  closing = [async () => { await server.stop(true) }, () => sql.end({ timeout: 1 }), shop.close]
}, START_MS_MAX)
afterAll(async () => { for (const close of closing) await close() })

const users = Array.from({ length: 50 }, (_, i) => fresh(`u${i}`))
const rules = (campaign_id: string, ended: string) => wealth({
  fields: { lc_score: INTEGER }, levels: [{ level: 1, name: "Silver", when: { field: "lc_score", op: ">=", value: "100" } }, { level: 2, name: "Gold", when: { field: "lc_score", op: ">=", value: "200" } }],
  rights: [{ level: 1, campaign_id, claim: "automatic" }, { level: 2, campaign_id: ended, claim: "automatic" }],
})
const issued = async (campaign_id: string): Promise<number> => (await yes(shop.call("GET", `/v1/campaigns/${campaign_id}`))).issued
const rightsOf = async (run_id: string) => (await house.sql<{ done: number; issued: number; repeated: number; refused: number }[]>`
  select sum(done)::int as done, sum(issued)::int as issued, sum(repeated)::int as repeated, sum(refused)::int as refused from badge_rights where run_id = ${run_id}`)[0]

test("rights: issued once, whatever is cut off or run again; refused ones are listed and made good; a revision issues only the difference", async () => {
  const now_ms = shop.clock.now_ms()
  const { campaign_id } = await openCampaign(shop.call, now_ms)
  const { campaign_id: short } = await openCampaign(shop.call, now_ms, { stock: 3 })
  const badge_id = fresh("badge")
  await yes(shop.call("PUT", `/v1/badges/${badge_id}`, rules(campaign_id, short)))
  await yes(shop.call("POST", `/v1/badges/${badge_id}/activate`, { version: 1 }))
  const put = (no: number, score: (i: number) => number) => putScores(house.lake, no, users.map((user_pin, i) => ({ user_pin, dt: "2026-05-15", fields: { lc_score: String(score(i)) } })))
  await put(1, (i) => i < 40 ? 150 : 250)

  // The engine is away: the month is published, and its rights are owed.
  isBroken = true
  const tired = new AbortController()
  const broken = runJob({ ...house, signal: tired.signal }, badges, MAY)
  await until("the rights were asked for", () => calls.length > 1, START_MS_MAX / 2)
  tired.abort()
  const first = await broken
  isBroken = false
  const row = async () => (await runRow(house.sql, first.run_id))!
  expect([(await row()).state, await issued(campaign_id)]).toEqual(["published", 0])
  await runAfter(house, badges, await row())
  expect([await issued(campaign_id), await issued(short)]).toEqual([40, 3])
  expect(await rightsOf(first.run_id)).toEqual({ done: 50, issued: 43, repeated: 0, refused: 7 })
  const asked = calls.length
  await runAfter(house, badges, await row())
  expect([calls.length, await issued(campaign_id)]).toEqual([asked, 40])

  const refused = await house.sql`select code, count(*)::int as users, bool_or(settled) as settled from badge_refusals where badge_id = ${badge_id} group by code`
  expect([...refused]).toEqual([{ code: "stock_exhausted", users: 7, settled: false }])
  const still = await runJob(house, badge_compensation, { ...MAY, is_first: false })
  expect(still).toMatchObject({ state: "published", outputs: [{ name: "open", rows: 7 }] })
  await yes(shop.call("PUT", `/v1/campaigns/${short}`, { ...await campaignBody(short), stock: 100 }))
  const good = await runJob(house, badge_compensation, { ...MAY, is_first: false })
  expect([good.run_id === still.run_id, await issued(short)]).toEqual([false, 10])
  expect((await runJob(house, badge_compensation, { ...MAY, is_first: false })).outputs[0]!.rows).toBe(0)

  // A corrected feed: two of them reach another level, one more appears. Only what is new is asked for.
  await put(2, (i) => i < 38 ? 150 : 250)
  const before = calls.reduce((sum, count) => sum + count, 0)
  const second = await runJob(house, badges, MAY)
  expect(second).toMatchObject({ state: "published", revision: 2 })
  expect(calls.reduce((sum, count) => sum + count, 0) - before).toBe(2)
  expect([await issued(campaign_id), await issued(short), await rightsOf(second.run_id)]).toEqual([40, 12, { done: 50, issued: 2, repeated: 0, refused: 0 }])

  await levelsLoaded(shop.parts, now_ms)
  const { badges: held } = await yes(shop.call("GET", `/v1/users/${users[39]}/badges`))
  expect(held).toEqual([{ badge_id, line: "wealth", level: 2, name: "Gold", period: "2026-05", since_period: "2026-05", active: true }])
}, START_MS_MAX)

const campaignBody = async (campaign_id: string): Promise<object> => {
  const { issued: _i, reserved: _r, redeemed: _d, revoked: _k, state: _s, version: _v, campaign_id: _c, ...body } = await yes(shop.call("GET", `/v1/campaigns/${campaign_id}`))
  return body
}

test("dry run: rules are tried on last month's scores before they judge anything", async () => {
  const stop = schedule([], { database_url: house.database_url, time_zone: "UTC", lake_dir: house.lake.root, memory_mb: 256, threads: 1, keep_months: 24 })
  try {
    const { campaign_id } = await openCampaign(shop.call, shop.clock.now_ms(), { amount_minor: 700 })
    const badge_id = fresh("tried")
    const put = () => shop.call("PUT", `/v1/badges/${badge_id}`, rules(campaign_id, campaign_id))
    let { status, body } = await put()
    // On a busy machine the answer does not wait for it, and a repeat has it.
    await until("the rules have been tried", async () => { if (body.dry_run === null) ({ status, body } = await put()); return body.dry_run !== null }, TRIED_MS_MAX)
    expect([status, body.dry_run]).toEqual([201, { period: "2026-05", levels: [{ level: 1, users: 38 }, { level: 2, users: 12 }], events: { new: 50, up: 0, down: 0, lost: 0, same: 0 }, rights_cost_minor: 35_000 }])
    // What was only tried counts as no revision.
    await putScores(house.lake, 3, [{ user_pin: users[0]!, dt: "2026-05-20", fields: { lc_score: "250" } }])
    expect(await runJob(house, badges, MAY)).toMatchObject({ state: "published", revision: 3 })
  } finally {
    await stop()
  }
}, TRIED_MS_MAX + START_MS_MAX)

test("a corrected revision takes a level away: what was refused of it is asked for no more, nor is what its run had not asked for yet", async () => {
  const { campaign_id } = await openCampaign(shop.call, shop.clock.now_ms(), { stock: 2 })
  const badge_id = fresh("taken")
  await putRules(house.sql, badge_id, { ...rules(campaign_id, campaign_id), rights: [{ level: 1, campaign_id, claim: "automatic" }], effective_month: "2026-04" })
  const some = ["a", "b", "c", "d"].map((name) => fresh(name))
  const put = (no: number, rich: number) => putScores(house.lake, no, some.map((user_pin, i) => ({ user_pin, dt: "2026-04-20", fields: { lc_score: i < rich ? "150" : "1" } })))
  const april = { ...MAY, period: "2026-04" }
  const openNow = async () => (await runJob(house, badge_compensation, { ...april, is_first: false })).outputs[0]!.rows
  await put(11, 4)
  const first = await runJob(house, badges, april)
  expect([await issued(campaign_id), await openNow()]).toEqual([2, 2])
  await put(12, 3)
  const second = await runJob(house, badges, april)
  expect([second.revision, await openNow()]).toEqual([2, 1])
  await yes(shop.call("PUT", `/v1/campaigns/${campaign_id}`, { ...await campaignBody(campaign_id), stock: 100 }))
  await runJob(house, badge_compensation, { ...april, is_first: false })
  const wallets = async () => Promise.all(some.map(async (user) => (await yes(shop.call("GET", `/v1/users/${user}/coupons`))).items.filter((item: { campaign_id: string }) => item.campaign_id === campaign_id).length))
  expect(await wallets()).toEqual([1, 1, 1, 0])
  // Gone back to, the level is theirs again, and so is what was refused of it.
  expect(await movePointer(house, [badges], "rollback", second.run_id)).toMatchObject({ run_id: first.run_id })
  expect(await openNow()).toBe(1)
  expect(await wallets()).toEqual([1, 1, 1, 1])
  // A run that is published no more asks for nothing.
  await house.sql`update badge_rights set done = 0 where run_id = ${second.run_id}`
  const before = calls.length
  await runAfter(house, badges, (await runRow(house.sql, second.run_id))!)
  expect(calls.length).toBe(before)
}, START_MS_MAX)

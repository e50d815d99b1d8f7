// A day of risk from the till to the API: what was confirmed and refunded over HTTP is what the job counts, and what anybody is told.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { risk } from "../../analytics/jobs/risk.ts"
import { openLake } from "../../analytics/lake.ts"
import { type House, runJob } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import { fresh, issueAsk, openCampaign, yes } from "../story/till.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openShop, type Shop } from "../support/shop.ts"
import { october } from "./house.ts"

const START_MS_MAX = 120_000
const DAY_MS = 86_400_000
const DAY = { ...october, period: "2026-06-15" }

let shop: Shop
let house: House
beforeAll(async () => {
  shop = await openShop({ cells: 2 })
  house = { sql: openTables(shop.database_url), lake: openLake(scratchFolder()), time_zone: "UTC", memory_mb: 1_024, threads: 1, api: undefined, signal: new AbortController().signal, progress: () => {} }
}, START_MS_MAX)
afterAll(async () => { await house.sql.end({ timeout: 1 }); await shop.close() })

/** Wait until so many confirms and refunds are flushed. */
const flushed = (confirms: number, refunds: number): Promise<void> => until(`${confirms} confirms and ${refunds} refunds are flushed`, async () => {
  const [row] = await house.sql<{ confirms: number; refunds: number }[]>`select count(*) filter (where act = 'confirmed')::int as confirms, count(*) filter (where act = 'refunded')::int as refunds from events`
  return row!.confirms >= confirms && row!.refunds >= refunds
})
const top = async (query: string) => (await shop.call("GET", `/v1/risk/top?${query}`)).body

test("run_unknown: a day that nobody has published, and request_invalid: a day that there is not", async () => {
  const { status, body } = await shop.call("GET", "/v1/risk/top?dimension=sku&day=2026-06-14")
  expect([status, body.code]).toEqual([404, "run_unknown"])
  for (const query of ["dimension=sku&day=2026-02-30", "dimension=sku", "dimension=shoe&day=2026-06-15", "dimension=sku&day=2026-06-15&by=price", "dimension=sku&day=2026-06-15&limit=0"]) {
    expect([query, (await top(query)).code]).toEqual([query, "request_invalid"])
  }
})

test("found: a day's keys with what they took, from confirm and refund to the answer; what comes later is a revision", async () => {
  const ten = await openCampaign(shop.call, shop.clock.now_ms(), { amount_minor: 1_000 })
  const two = await openCampaign(shop.call, shop.clock.now_ms(), { amount_minor: 200 })
  const [ann, ben] = [fresh("ann"), fresh("ben")]
  const buy = async (user_id: string, campaign_id: string, lines: readonly object[], more: object = {}): Promise<string> => {
    const { coupon_id } = await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
    const { redemption_id } = await yes(shop.call("POST", "/v1/redemptions", { order_id: fresh("order"), user_id, order: { currency: "CNY", region: "north", lines, ...more }, coupons: [coupon_id] }))
    await yes(shop.call("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
    return redemption_id
  }
  const kettle = (line_id: string, quantity = 1) => ({ line_id, sku: "kettle", merchant_id: "home", unit_price_minor: 3_000, quantity })
  const tea = (line_id: string) => ({ line_id, sku: "tea", unit_price_minor: 1_000, quantity: 1 })
  await buy(ann, ten.campaign_id, [kettle("1"), tea("2")])
  const back = await buy(ann, ten.campaign_id, [kettle("1", 2)])
  await buy(ben, two.campaign_id, [tea("1")], { region: "south" })
  await yes(shop.call("POST", `/v1/redemptions/${back}/refunds`, { refund_id: "r", lines: [{ line_id: "1", quantity: 1 }] }))
  await flushed(3, 1)
  const first = await runJob(house, risk, DAY)
  expect(first).toMatchObject({ state: "published", outputs: [{ name: "risk", rows: 9 }, { name: "concentration", rows: 5 }] })

  const row = { first_day_users_bp: 10_000, z: null, support: "thin" }
  expect(await top("dimension=sku&day=2026-06-15&by=amount")).toEqual({
    day: "2026-06-15", dimension: "sku", by: "amount",
    // 1000 over a kettle of 3000 and tea of 1000; 1000 over two kettles; 200 over tea.
    rows: [
      { key: "kettle", amount_minor: 1_750, count: 2, users: 1, refund_rate_bp: 5_000, velocity_max: 2, depth_bp: 1_944, ...row },
      { key: "tea", amount_minor: 450, count: 2, users: 2, refund_rate_bp: 0, velocity_max: 1, depth_bp: 2_250, ...row },
    ],
    share_top1_bp: 7_954, share_top10_bp: 10_000, hhi_bp: 6_745,
  })
  expect((await top("dimension=user&day=2026-06-15&by=count")).rows.map(({ key, count }: { key: string; count: number }) => [key, count])).toEqual([[ann, 2], [ben, 1]])
  expect((await top("dimension=merchant&day=2026-06-15")).rows.map(({ key, amount_minor }: { key: string; amount_minor: number }) => [key, amount_minor])).toEqual([["home", 1_750]])
  expect((await top("dimension=region&day=2026-06-15&limit=1")).rows.map(({ key, amount_minor }: { key: string; amount_minor: number }) => [key, amount_minor])).toEqual([["north", 2_000]])
  expect((await top("dimension=campaign&day=2026-06-15&by=depth")).rows.map(({ key }: { key: string }) => key).sort()).toEqual([ten.campaign_id, two.campaign_id].sort())

  expect((await runJob(house, risk, DAY)).state).toBe("already_published")
  await buy(ben, two.campaign_id, [tea("1")])
  await flushed(4, 1)
  const second = await runJob(house, risk, DAY)
  expect([second.state, second.revision, (await top("dimension=sku&day=2026-06-15&by=count")).rows[0]]).toMatchObject(["published", 2, { key: "tea", count: 3, velocity_max: 2 }])

  // The next day nobody is new, and a refund counts on the day it is made.
  const tomorrow = shop.clock.now_ms() + DAY_MS
  await shop.call("POST", `/v1/redemptions/${back}/refunds`, { refund_id: "rest", lines: "all" }, { now_ms: tomorrow })
  await buy(ben, two.campaign_id, [tea("1"), kettle("2")])
  await flushed(5, 2)
  expect((await runJob(house, risk, { ...DAY, period: "2026-06-16" })).state).toBe("published")
  expect((await top("dimension=sku&day=2026-06-16")).rows).toMatchObject([{ key: "kettle", count: 1, refund_rate_bp: 10_000, first_day_users_bp: 0 }, { key: "tea", refund_rate_bp: 0 }])

  await house.sql`update users set user_id = null where user_id = ${ann}`
  const [forgotten] = (await top("dimension=user&day=2026-06-15&by=amount")).rows
  expect(forgotten.key).toMatch(/^#[0-9]+$/)
}, START_MS_MAX)

test("found: what is given beside the lines counts for its campaign, region and user, and for no sku or merchant", async () => {
  const now_ms = shop.clock.now_ms() + DAY_MS, day = new Date(now_ms).toISOString().slice(0, 10)
  const at = { now_ms }
  const { campaign_id: lines_campaign, budget_id } = await openCampaign(shop.call, now_ms, { amount_minor: 100 })
  const campaignOf = async (kind: string, terms: object): Promise<string> => {
    const campaign_id = fresh(kind)
    await yes(shop.call("PUT", `/v1/campaigns/${campaign_id}`, {
      line: "retail", name: kind, currency: "CNY", kind, terms, threshold_minor: 0, starts_at: new Date(now_ms - 60_000).toISOString(), ends_at: new Date(now_ms + DAY_MS).toISOString(),
      stock: 10, per_user: 10, funding: [{ budget_id, share_bp: 10_000 }],
    }, at))
    await yes(shop.call("POST", `/v1/campaigns/${campaign_id}/activate`, {}, at))
    return campaign_id
  }
  const shipping = await campaignOf("free_shipping", {}), gift = await campaignOf("gift", { sku: "cup", unit_price_minor: 500, quantity: 2 }), back = await campaignOf("cash_back", { rate_bp: 1_000, principal_cap_minor: 100_000, days: 7 })
  const [cid, dan] = [fresh("cid"), fresh("dan")]
  const buy = async (user_id: string, campaign_ids: readonly string[]): Promise<string> => {
    const coupons = []
    for (const campaign_id of campaign_ids) coupons.push((await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id), at))).coupon_id)
    const order = { currency: "CNY", region: "west", shipping_minor: 800, lines: [{ line_id: "1", sku: "pot", merchant_id: "home", unit_price_minor: 4_000, quantity: 1 }] }
    const { redemption_id } = await yes(shop.call("POST", "/v1/redemptions", { order_id: fresh("order"), user_id, order, coupons }, at))
    await yes(shop.call("POST", `/v1/redemptions/${redemption_id}/confirm`, {}, at))
    return redemption_id
  }
  await buy(cid, [shipping])
  const given = await buy(cid, [gift])
  await buy(dan, [back])
  await buy(dan, [lines_campaign])
  await yes(shop.call("POST", `/v1/redemptions/${given}/refunds`, { refund_id: "r", lines: "all" }, at))
  await flushed(9, 3)
  expect((await runJob(house, risk, { ...DAY, period: day })).state).toBe("published")
  const found = async (dimension: string) => (await top(`dimension=${dimension}&day=${day}`)).rows.map(({ key, amount_minor, count, refund_rate_bp, depth_bp }: { [name: string]: number | string }) => [key, amount_minor, count, refund_rate_bp, depth_bp])
  expect(await found("campaign")).toEqual([[gift, 1_000, 1, 10_000, 2_500], [shipping, 800, 1, 0, 10_000], [back, 400, 1, 0, 1_000], [lines_campaign, 100, 1, 0, 250]])
  expect(await found("user")).toEqual([[cid, 1_800, 2, 5_000, 3_750], [dan, 500, 2, 0, 625]])
  expect(await found("region")).toEqual([["west", 2_300, 4, 2_500, 1_796]])
  expect(await found("sku")).toEqual([["pot", 100, 1, 0, 250]])
  expect(await found("merchant")).toEqual([["home", 100, 1, 0, 250]])
}, START_MS_MAX)

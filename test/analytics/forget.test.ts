// A person is forgotten: nothing that is kept names him any more, and everybody else and every sum is as it was.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openDuck, quoted } from "../../analytics/duck.ts"
import { forget } from "../../analytics/forget.ts"
import { importCommand } from "../../analytics/import_command.ts"
import { badges } from "../../analytics/jobs/badges.ts"
import { noticeParts } from "../../analytics/landed.ts"
import { openLake } from "../../analytics/lake.ts"
import { type House, runJob, runRow } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import { fresh, issueAsk, openCampaign, reserveAsk, yes } from "../story/till.ts"
import { levelsLoaded } from "../levels/published.ts"
import { until } from "../support/run_engine.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openShop, type Shop } from "../support/shop.ts"
import { october } from "./house.ts"
import { putScores, wealth } from "./scores.ts"

const START_MS_MAX = 120_000
const THREE_DAYS_MS = 3 * 86_400_000

let shop: Shop
let house: House
beforeAll(async () => {
  shop = await openShop({ cells: 1, own: true })
  house = { sql: openTables(shop.database_url), lake: openLake(scratchFolder()), time_zone: "UTC", memory_mb: 256, threads: 1, api: undefined, signal: new AbortController().signal, progress: () => {} }
}, START_MS_MAX)
afterAll(async () => { await house.sql.end({ timeout: 1 }); await shop.close() })

const levelOf = async (user_id: string): Promise<number | undefined> => (await yes(shop.call("GET", `/v1/users/${user_id}/badges`))).badges[0]?.level

/** Every file of the lake that has this text anywhere, Parquet by its values. */
const filesWith = async (user: string): Promise<string[]> => {
  const duck = await openDuck({ memory_mb: 256, threads: 1, temp_dir: house.lake.temp() })
  try {
    const found: string[] = []
    for (const { file } of await duck.all<{ file: string }>(`select file from glob(${quoted(`${house.lake.root}/**/*.parquet`)})`)) {
      const rows = await duck.all(`select * from read_parquet(${quoted(file)})`)
      if (JSON.stringify(rows).includes(`"${user}"`)) found.push(file)
    }
    return found
  } finally {
    duck.close()
  }
}

test("forget: events keep the number; lake, levels, rejects and bodies lose the id; others and sums are as they were", async () => {
  const [ann, ben, badge_id] = [fresh("ann"), fresh("ben"), fresh("badge")]
  await yes(shop.call("PUT", `/v1/badges/${badge_id}`, wealth({ effective_month: "2026-05" })))
  await yes(shop.call("POST", `/v1/badges/${badge_id}/activate`, { version: 1 }))
  await putScores(house.lake, 1, [ann, ben].map((user_pin) => ({ user_pin, dt: "2026-05-15", fields: { lc_score: "200", gdlc_jy_flag: "0", hold_amt: "1" } })))
  const run = await runJob(house, badges, { ...october, period: "2026-05", is_first: true })
  await levelsLoaded(shop.parts, shop.clock.now_ms())
  const { campaign_id } = await openCampaign(shop.call, shop.clock.now_ms())
  const redeemed: string[] = []
  for (const user_id of [ann, ben]) {
    const { coupon_id } = await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
    const { redemption_id } = await yes(shop.call("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id])))
    await yes(shop.call("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
    redeemed.push(redemption_id)
  }
  const rejects = join(house.lake.root, "rejects", "scores")
  mkdirSync(rejects, { recursive: true })
  writeFileSync(join(rejects, "one.ndjson"), [`${ann},2026-13-01,5`, `${ben},2026-13-01,5`].map((raw, i) => `${JSON.stringify({ row: i + 1, column: "dt", reason: "not_a_date", raw })}\n`).join(""))
  // Days later Redis has nothing of it left that is not in Postgres; another redemption keeps the cell's time moving.
  const later_ms = shop.clock.now_ms() + THREE_DAYS_MS
  await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, fresh("cleo")), { now_ms: later_ms }))
  await until("all is flushed", async () => Number((await house.sql`select max(at_ms)::text as at_ms from cells`)[0]!["at_ms"]) >= later_ms)

  const answer = (await runRow(house.sql, run.run_id))!.answer
  expect([await levelOf(ann), await levelOf(ben), (await filesWith(ann)).length > 2]).toEqual([1, 1, true])
  const forgotten = await forget(house, ann)
  expect(forgotten).toMatchObject({ redemptions: 1, redemptions_left: 0, blocks: 1, rejects: 1 })
  expect(forgotten.rows).toBe(1 + 3)

  expect(await filesWith(ann)).toEqual([])
  const bens = await filesWith(ben)
  expect(bens.length).toBe(4)
  expect(readFileSync(join(rejects, "one.ndjson"), "utf8").split("\n").filter((line) => line !== "").map((line) => (JSON.parse(line) as { raw: string }).raw)).toEqual(["", `${ben},2026-13-01,5`])
  expect([...await house.sql`select user_id from users where user_no = ${forgotten.user_no}`]).toEqual([{ user_id: null }])
  expect((await house.sql`select 1 from events where user_no = ${forgotten.user_no}`).length).toBeGreaterThan(2)
  expect((await house.sql<{ body: string }[]>`select body from redemptions order by redemption_id`).filter(({ body }) => body.includes(ann))).toEqual([])
  await until("the worker has loaded the levels anew", async () => await levelOf(ann) === undefined)
  expect([await levelOf(ann), await levelOf(ben)]).toEqual([undefined, 1])
  expect((await runRow(house.sql, run.run_id))!.answer).toEqual(answer)
  for (const output of (await runRow(house.sql, run.run_id))!.outputs!) expect(readFileSync(house.lake.place(output)).length).toBe(output.bytes)
  expect((await yes(shop.call("GET", `/v1/campaigns/${campaign_id}`))).redeemed).toBe(2)
  expect(await forget(house, ann)).toMatchObject({ redemptions: 0, blocks: 0, rows: 0, rejects: 0, pages: 0 })
  expect(redeemed.length).toBe(2)
}, START_MS_MAX)

test("forget: rows of orders keep what sums are made of, under another name, and no period is due for it", async () => {
  const [ann, ben] = [fresh("ann"), fresh("ben")], file = join(scratchFolder(), "orders.csv")
  writeFileSync(file, ["order_id,line_id,user_id,at,state,currency,sku,quantity,unit_price_minor,coupon_id,budget_id,discount_minor",
    ...[ann, ben].map((user, i) => `o${i},1,${user},2026-04-10T12:00:00Z,placed,CNY,s,1,900,c${i},b,${10 + i}`)].join("\n"))
  expect(await importCommand(["orders", file, "--set", "april"], "/", house, { say: () => {}, progress: () => {} })).toBe(0)
  await noticeParts(house.sql, house.lake)
  const marks = async () => [...await house.sql`select part, landed_ms from lake_parts where dataset = 'orders@april'`]
  const before = await marks()
  expect((await forget(house, ann)).rows).toBe(1)
  expect(await filesWith(ann)).toEqual([])
  const duck = await openDuck({ memory_mb: 128, threads: 1, temp_dir: house.lake.temp() })
  try {
    const files = house.lake.parts("orders@april").flatMap((part) => part.files).map((each) => quoted(house.lake.place(each)))
    expect(await duck.all(`select order_id, user_id, discount_minor from read_parquet([${files.join(", ")}]) order by order_id`)).toEqual([
      { order_id: "o0", user_id: "#", discount_minor: 10 }, { order_id: "o1", user_id: ben, discount_minor: 11 },
    ])
  } finally {
    duck.close()
  }
  expect(await noticeParts(house.sql, house.lake)).toEqual([])
  expect(await marks()).toEqual(before)
}, START_MS_MAX)

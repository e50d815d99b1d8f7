// What is older than is kept: rows about persons go, sums stay, and nothing is due for it.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { badges } from "../../analytics/jobs/badges.ts"
import { risk } from "../../analytics/jobs/risk.ts"
import { dirtyPeriods, noticeParts } from "../../analytics/landed.ts"
import { periodAt, periodBefore } from "../../analytics/periods.ts"
import { dropAged } from "../../analytics/retention.ts"
import { runJob } from "../../analytics/runner.ts"
import { october, openHouse, rowOf, type TestHouse } from "./house.ts"
import { putRules, putScores, wealth } from "./scores.ts"

const KEEP_MONTHS = 24
let house: TestHouse
beforeAll(async () => { house = await openHouse() })
afterAll(() => house.close())

const monthsAgo = (months: number): string => {
  let month = periodAt(Date.now(), "month", "UTC")
  for (let i = 0; i < months; i += 1) month = periodBefore(month)
  return month
}

test("a month that is older than is kept loses its rows, and the one beside it keeps them; what the runs answered stays", async () => {
  const { sql, lake } = house
  const [aged, kept] = [monthsAgo(KEEP_MONTHS + 1), monthsAgo(KEEP_MONTHS)]
  await putRules(sql, "wealth", wealth({ effective_month: "2000-01" }))
  await putScores(lake, 1, [aged, kept].flatMap((month) => ["ann", "ben"].map((user_pin) => ({ user_pin, dt: `${month}-15`, fields: { lc_score: "200", gdlc_jy_flag: "0", hold_amt: "1" } }))))
  await putScores(lake, 2, [{ user_pin: "cleo", dt: `${aged}-20`, fields: { lc_score: "1", gdlc_jy_flag: "0", hold_amt: "1" } }])
  const runs = [await runJob(house, badges, { ...october, period: aged, is_first: true }), await runJob(house, badges, { ...october, period: kept })]
  expect(runs.map(({ state }) => state)).toEqual(["published", "published"])
  const answers = await Promise.all(runs.map(async ({ run_id }) => (await rowOf(sql, run_id))["answer"]))
  for (const [i, period] of [`${aged}-28`, `${kept}-01`].entries()) {
    await sql`insert into runs (run_id, job, period, state, requested_ms) values (${`risk ${i}`}, 'risk', ${period}, 'published', 1)`
    await sql`insert into risk_rows (run_id, dimension, key, user_no, amount_minor, count, users, refund_rate_bp, velocity_max, depth_bp, z, support) values (${`risk ${i}`}, 'user', '7', 7, 1, 1, 1, 0, 1, 0, '{}', '{}')`
  }
  for (const period of [aged, kept]) await sql`insert into badge_refusals (period, badge_id, level, campaign_id, user_id, run_id, code, tries, settled) values (${period}, 'wealth', 1, 'c', 'ann', 'r', 'stock_exhausted', 1, false)`
  const rejects = join(lake.root, "rejects", "scores")
  mkdirSync(rejects, { recursive: true })
  for (const name of ["old", "new"]) writeFileSync(join(rejects, `${name}.ndjson`), "{}\n")
  utimesSync(join(rejects, "old.ndjson"), new Date(`${aged}-01`), new Date(`${aged}-01`))
  await noticeParts(sql, lake)

  expect(await dropAged(house, KEEP_MONTHS)).toEqual({ kept_from: kept, runs: 1, rows: 3, files: 2 + 1 })
  expect(readdirSync(join(lake.root, "outputs", "badges"))).toEqual([kept])
  expect(lake.parts("scores").map(({ files }) => files.map(({ day }) => day))).toEqual([[`${kept}-15`]])
  expect(existsSync(join(lake.root, "scores", "import-2"))).toBe(false)
  expect(readdirSync(rejects)).toEqual(["new.ndjson"])
  expect([...await sql`select run_id from risk_rows`].map((row) => row["run_id"])).toEqual(["risk 1"])
  expect([...await sql`select period from badge_refusals`].map((row) => row["period"])).toEqual([kept])
  expect(await Promise.all(runs.map(async ({ run_id }) => (await rowOf(sql, run_id))["answer"]))).toEqual(answers)
  expect((await rowOf(sql, runs[0]!.run_id))["outputs"]).toEqual([])
  expect((await rowOf(sql, runs[1]!.run_id))["outputs"]).not.toEqual([])

  // Nothing has landed: no period is due for it, and the next day finds nothing to do.
  expect(await noticeParts(sql, lake)).toEqual([])
  expect(await dirtyPeriods(sql, badges, "UTC", 0)).toEqual([])
  expect(await dropAged(house, KEEP_MONTHS)).toEqual({ kept_from: kept, runs: 0, rows: 0, files: 0 })
})

test("the orders of days that were dropped stay away for the nights that come, and come back for their own day where it is asked for", async () => {
  const { sql, lake } = house
  const [aged, today] = [`${monthsAgo(KEEP_MONTHS + 2)}-10`, `${monthsAgo(1)}-10`]
  for (const [i, day] of [aged, today].entries()) {
    for (const [n, act, payload] of [
      [1, "reserved", { order: { region: "north", shipping_minor: 0, lines: [{ line_id: "1", sku: "tea", merchant_id: "m", unit_price_minor: 900, quantity: 1 }] }, applied: [{ campaign_id: "c", shipping_discount_minor: 0, benefit_minor: 0, lines: [{ line_id: "1", discount_minor: 100 }] }] }],
      [2, "confirmed", {}],
    ] as const) {
      await sql`insert into events (cell, epoch, n, act, at_ms, user_no, payload, ref) values (0, 1, ${2 * i + n}, ${act}, ${Date.parse(`${day}T12:00:00Z`)}, 7, ${sql.json(payload)}, ${`redemption-${day}`})`
    }
  }
  await sql`insert into cells (cell, epoch, n, at_ms) values (0, 1, 4, ${Date.parse(`${today}T13:00:00Z`)}) on conflict (cell) do update set epoch = 1, n = 4`
  const risked = (day: string) => runJob(house, risk, { ...october, period: day })
  const ordersOf = (day: string) => lake.part("risk_orders", day)?.files.length ?? 0
  expect((await risked(today)).state).toBe("published")
  expect([ordersOf(aged), ordersOf(today)]).toEqual([1, 1])
  const firsts = lake.part("risk_firsts", aged)!.sha256
  await noticeParts(sql, lake)
  await dropAged(house, KEEP_MONTHS)
  expect((await risked(`${today.slice(0, -2)}11`)).state).toBe("published")
  expect([ordersOf(aged), ordersOf(today), lake.part("risk_firsts", aged)!.sha256]).toEqual([0, 1, firsts])
  expect((await dropAged(house, KEEP_MONTHS)).files).toBe(0)
  expect(await risked(aged)).toMatchObject({ state: "published", outputs: [{ name: "risk", rows: 5 }, {}] })
})

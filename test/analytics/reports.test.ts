// Reports: pages that say what the published runs say, the same bytes from the same runs, and due again when a job publishes anew.

import { afterAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ADJUSTED_COLUMNS } from "../../analytics/books/closed.ts"
import { openDuck, quoted } from "../../analytics/duck.ts"
import { badges } from "../../analytics/jobs/badges.ts"
import { reports } from "../../analytics/jobs/reports.ts"
import { amountOf, barsChart, curveChart, flowChart, waterfallChart } from "../../analytics/reports/charts.ts"
import { pageHtml } from "../../analytics/reports/page.ts"
import { reconciliationReport } from "../../analytics/reports/reconciliation.ts"
import { changeOf, type ToldRun } from "../../analytics/reports/report.ts"
import { monthBefore, riskReport } from "../../analytics/reports/risk.ts"
import { publishedRun, runJob } from "../../analytics/runner.ts"
import { unpublishedPeriods } from "../../analytics/scheduler.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openHouse, october, type TestHouse } from "./house.ts"
import { putRules, putScores, wealth } from "./scores.ts"

const houses: TestHouse[] = []
const house = async (changed: Parameters<typeof openHouse>[0] = {}): Promise<TestHouse> => {
  const opened = await openHouse(changed)
  houses.push(opened)
  return opened
}
afterAll(async () => { for (const each of houses) await each.close() })

interface Person { readonly user: string; readonly score: number; readonly hold: number; readonly flag: number }
/** People whose values are spread by a plain rule, so that every kind of them is there. */
const people = (count: number, shift: number): Person[] =>
  Array.from({ length: count }, (_, i) => ({ user: `u${i}`, score: (i * 37 + shift) % 600, hold: (i * 61) % 5_000, flag: i % 17 === 0 ? 1 : 0 }))
const feed = (at: TestHouse, period: string, all: readonly Person[], import_no: number) =>
  putScores(at.lake, import_no, all.map(({ user, score, hold, flag }) => ({ user_pin: user, dt: `${period}-15`, fields: { lc_score: String(score), hold_amt: `${hold}.00`, gdlc_jy_flag: String(flag) } })))
const isGold = ({ score, hold, flag }: Person, least = 360) => (score >= least && hold >= 2_500) || flag === 1
const levelOf = (person: Person) => isGold(person) ? "Gold" : person.score >= 120 ? "Silver" : "none"

const pageOf = async (at: TestHouse, period: string) => {
  const run = (await publishedRun(at.sql, "reports", period, ""))!
  const duck = await openDuck({ memory_mb: 256, threads: 1, temp_dir: at.lake.temp() })
  try {
    return { run, html: (await duck.one<{ html: string }>(`select html from read_parquet(${quoted(at.lake.place(run.outputs[0]!))}) where job = 'badges'`)).html }
  } finally {
    duck.close()
  }
}
const month = (period: string, more = {}) => ({ ...october, period, ...more })
const numberIn = (html: string, pattern: RegExp): string => pattern.exec(html)?.[1] ?? "not there"

describe("a month's badges", () => {
  test("the page says who moved and what each moved threshold would do, as counted person by person", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", wealth({ rights: [{ level: 2, campaign_id: "gold", claim: "activate" }] }))
    await at.sql`insert into campaigns (campaign_id, line, currency, state, version, body, starts_ms, ends_ms, per_user, stock, fingerprint, created_ms, changed_ms)
      values ('gold', 'wealth', 'CNY', 'live', 1, ${'{"terms":{"amount_minor":250}}'}::text::jsonb, 0, 1, 1, 1, '', 0, 0)`
    const before = people(500, 0), now = people(520, 90)
    await feed(at, "2026-09", before, 1)
    await feed(at, "2026-10", now, 2)
    expect(await runJob(at, reports, month("2026-09"))).toMatchObject({ state: "failed", reason: "nothing_published" })
    expect(await runJob(at, badges, month("2026-09", { is_first: true }))).toMatchObject({ state: "published" })
    expect(await runJob(at, badges, month("2026-10"))).toMatchObject({ state: "published" })
    expect(await runJob(at, reports, month("2026-10"))).toMatchObject({ state: "published", revision: 1 })
    const { html } = await pageOf(at, "2026-10")

    const held = now.filter((person) => levelOf(person) !== "none").length, was = before.filter((person) => levelOf(person) !== "none").length
    expect(html).toContain(`<h1>${held} levels are held in 2026-10, ${changeOf(held, was)}.</h1>`)
    const moved = (from: string, to: string) => now.filter((person) => levelOf(person) === to && (before.find(({ user }) => user === person.user) ? levelOf(before.find(({ user }) => user === person.user)!) : "none") === from).length
    for (const [from, to] of [["none", "Silver"], ["Silver", "Gold"], ["Gold", "Silver"], ["Gold", "Gold"], ["Silver", "none"]] as const) {
      expect(numberIn(html, new RegExp(`<td>${from}</td><td>${to}</td><td class="number">(\\d+)</td>`))).toBe(moved(from, to) === 0 ? "not there" : String(moved(from, to)))
    }
    const signed = (n: number) => n === 0 ? "0" : n > 0 ? `+${n}` : `−${-n}`
    // Gold has a right that costs, Silver has none: a line that is not drawn is not spoken of.
    expect([html.includes("the dashed line is what"), html.includes("the level has no rights whose cost is known")]).toEqual([true, true])
    // The curve of Gold's score: 360 now, 18 a step.
    for (const least of [180, 342, 360, 378, 540]) {
      const users = now.filter((person) => isGold(person, least)).length
      expect(html).toContain(`<td class="number">${least}</td><td class="number">${users}</td><td class="number">${signed(users - now.filter((person) => isGold(person)).length)}</td><td class="number">${amountOf(users * 250)}</td>`)
    }
    expect(html).toContain('role="img" aria-label="Users by level')
    expect(html).not.toMatch(/<script|src=|<link|@import/)
    const shown = await at.sql`select job, period, sentence from reports`
    expect([...shown]).toMatchObject([{ job: "badges", period: "2026-10" }])
    expect(readFileSync(join(at.lake.root, "reports", "index.html"), "utf8")).toContain('href="badges-2026-10.html"')
    expect(readFileSync(join(at.lake.root, "reports", "badges-2026-10.html"), "utf8")).toBe(html)
  })

  test("the same runs make the same bytes, with one thread and with two", async () => {
    const shas: string[] = []
    for (const threads of [1, 2]) {
      const at = await house({ threads })
      await putRules(at.sql, "wealth", wealth())
      await feed(at, "2026-10", people(300, 7), 1)
      await runJob(at, badges, month("2026-10", { is_first: true }))
      await runJob(at, reports, month("2026-10"))
      shas.push((await pageOf(at, "2026-10")).run.outputs[0]!.sha256)
    }
    expect(shas[0]).toBe(shas[1]!)
  })

  test("a period is due when a job has published it, and again when it publishes anew", async () => {
    const at = await house()
    await at.sql`insert into epochs (cell, epoch, tail, at_ms) values (0, 1, '0-0', ${Date.parse("2026-08-20T00:00:00Z")})`
    await at.sql`insert into cells (cell, epoch, n, at_ms) values (0, 1, 9, ${Date.parse("2026-11-01T02:00:00Z")})`
    await at.sql`insert into events (cell, epoch, n, act, at_ms) values (0, 1, 8, 'tick', ${Date.parse("2026-11-01T01:00:00Z")})`
    await putRules(at.sql, "wealth", wealth())
    expect(await unpublishedPeriods(at.sql, reports, "UTC")).toEqual([])
    await feed(at, "2026-10", people(50, 0), 1)
    await runJob(at, badges, month("2026-10", { is_first: true }))
    const due = [["job", "reports", "--period", "2026-10"]]
    expect(await unpublishedPeriods(at.sql, reports, "UTC")).toEqual(due)
    expect(await runJob(at, reports, month("2026-10"))).toMatchObject({ state: "published" })
    expect(await unpublishedPeriods(at.sql, reports, "UTC")).toEqual([])
    await feed(at, "2026-10", people(60, 0), 2)
    await runJob(at, badges, month("2026-10", { is_first: true }))
    expect(await unpublishedPeriods(at.sql, reports, "UTC")).toEqual(due)
    expect(await runJob(at, reports, month("2026-10"))).toMatchObject({ state: "published", revision: 2 })
  })
})

/** A database with the outputs of a run as tables. */
const withTables = async <T>(tables: Readonly<Record<string, readonly Record<string, string | number | null>[]>>, columns: Readonly<Record<string, Readonly<Record<string, string>>>>, work: (duck: Awaited<ReturnType<typeof openDuck>>) => Promise<T>): Promise<T> => {
  const duck = await openDuck({ memory_mb: 256, threads: 1, temp_dir: scratchFolder() })
  try {
    for (const [name, rows] of Object.entries(tables)) await duck.table(name, columns[name]!, rows)
    return await work(duck)
  } finally {
    duck.close()
  }
}
const told = (answer: unknown): ToldRun => ({ period: "2026-10", revision: 1, answer, rules: null, report: "It ran.", outputs: [] })

test("the page of a month's books: its steps lead from the budgets to the orders, and each class to its keys", async () => {
  const text = "varchar", whole = "bigint"
  const key = (order_id: string, name: string, b: number, r: number, o: number, break_minor: number, carried_minor = 0) =>
    ({ order_id, coupon_id: "c", budget_id: "b", class: name, side: null, budget_minor: b, redeemed_minor: r, ordered_minor: o, break_minor, carried_minor, age_days: 3, party: "retail" })
  const keys = [key("o1", "matched", 100, 100, 100, 0), key("o2", "missing_in_orders", 250, 250, 0, 250), key("o3", "orphan_order_discount", 0, 0, 70, 70), key("o4", "timing", 40, 40, 0, 0, 40)]
  const answer = { totals: { budget_minor: 390, redeemed_minor: 390, ordered_minor: 175, breaks: 2, break_minor: 320, carried_minor: 40 },
    controls: [{ budget_id: "b", opening_minor: 1_000, added_minor: 0, transferred_minor: 0, held_minor: 0, spent_minor: 390, released_minor: 0, closing_minor: 610 }] }
  const pageWith = (totals: typeof answer.totals) => withTables({ keys, adjustments: [{ ...key("o5", "matched", 0, 0, 5, 0), of_period: "2026-09", resolved_minor: 5 }], allocation: [{ dimension: "merchant", key: "m1", amount_minor: 390 }] }, {
    adjustments: { ...ADJUSTED_COLUMNS, party: text },
    keys: { order_id: text, coupon_id: text, budget_id: text, class: text, side: text, budget_minor: whole, redeemed_minor: whole, ordered_minor: whole, break_minor: whole, carried_minor: whole, age_days: whole, party: text },
    allocation: { dimension: text, key: text, amount_minor: whole },
  }, (duck) => reconciliationReport.page(duck, { run: told({ ...answer, totals }), before: told({ totals: { ...answer.totals, break_minor: 160 } }), time_zone: "UTC", set: "", costs: {} }))
  const page = await pageWith(answer.totals)
  // Steps that do not meet the totals make no page.
  expect(pageWith({ ...answer.totals, ordered_minor: 174 })).rejects.toThrow("the steps of 2026-10 come to -215, and its totals differ by -216")
  expect(page.sentence).toBe("2 keys of 2026-10 do not agree, by 3.20, 100.0 % more than the period before.")
  expect(page.sections[0]!.chart!.alt).toBe("budgets 3.90; missing_in_orders −2.50; orphan_order_discount 0.70; timing −0.40, carried 0.40; of 2026-09 0.05; orders 1.75.")
  const html = pageHtml(page)
  for (const name of ["missing_in_orders", "orphan_order_discount", "timing"]) {
    expect(html).toContain(`<a href="#class-${name}">`)
    expect(html).toContain(`<section id="class-${name}">`)
  }
  expect(html).toContain("1 keys of 2026-09, which add breaks of 0.00 and resolve 0.05.")
  expect(html).toContain("<td>o2</td>")
  expect(html).not.toContain("<td>o1</td>")
  expect(html).toContain('<td class="number">6.10</td>')
})

test("the page of a day's risk: what stands out, and the largest with their shadow of a month before", async () => {
  const row = (dimension: string, key: string, amount_minor: number, z_amount_e4: number | null) => ({ dimension, key, amount_minor, count: 3, users: 2, refund_rate_bp: 125, velocity_max: 2, depth_bp: 1_000, z_amount_e4 })
  const columns = { dimension: "varchar", key: "varchar", amount_minor: "bigint", count: "bigint", users: "bigint", refund_rate_bp: "bigint", velocity_max: "bigint", depth_bp: "bigint", z_amount_e4: "bigint" }
  const page = await withTables({
    now: [row("sku", "s1", 900, 51_234), row("sku", "s2", 100, null), row("campaign", "k", 1_000, -20_000)], then: [row("sku", "s1", 300, null), row("campaign", "k", 500, null)],
    concentration: [{ dimension: "sku", share_top1_bp: 9_000, share_top10_bp: 10_000, hhi_bp: 8_200, keys: 41 }],
  }, { now: columns, then: columns, concentration: { dimension: "varchar", share_top1_bp: "bigint", share_top10_bp: "bigint", hhi_bp: "bigint", keys: "bigint" } },
  (duck) => riskReport.page(duck, { run: { ...told({}), period: "2026-10-31" }, before: told({}), time_zone: "UTC", set: "", costs: {} }))
  expect(page.sections.at(-1)!.says).toStartWith("Nothing was redeemed.")
  expect(page.sentence).toBe("10.00 were redeemed on 2026-10-31, 100.0 % more than a month before.")
  expect(page.sections[0]!.table!.rows.map(([dimension, key]) => [dimension, key])).toEqual([["sku", "s1"], ["campaign", "k"]])
  expect(page.sections[0]!.says).toBe("1 of the keys below is far from what was usual: z beyond 3.5.")
  expect(pageHtml(page)).toContain("5.1234")
  const empty = await withTables({ now: [], then: [], concentration: [] }, { now: columns, then: columns, concentration: { dimension: "varchar", share_top1_bp: "bigint", share_top10_bp: "bigint", hhi_bp: "bigint", keys: "bigint" } },
    (duck) => riskReport.page(duck, { run: { ...told({}), period: "2026-10-31" }, before: undefined, time_zone: "UTC", set: "", costs: {} }))
  expect(empty.sentence).toBe("0.00 were redeemed on 2026-10-31, and there is nothing a month before to compare with.")
  expect(empty.sections.slice(1).map(({ says, chart }) => [says, chart])).toEqual(Array(5).fill(["Nothing was redeemed.", undefined]))
  expect(page.sections.find(({ title }) => title === "By sku")!.chart!.alt).toBe("Redeemed amount by sku: s1 9.00 (a month before 3.00), stands out; s2 1.00 (a month before 0.00).")
  expect(["2026-10-31", "2026-03-31", "2024-03-30", "2026-01-15", "2026-05"].map(monthBefore)).toEqual(["2026-09-30", "2026-02-28", "2024-02-29", "2025-12-15", "2026-04"])
})

describe("charts", () => {
  test("each says its numbers to those who cannot see it, and is the same however many were drawn before", () => {
    const flow = () => flowChart([{ from: "none", to: "Gold", users: 1_234 }, { from: "Gold", to: "none", users: 5 }], ["none", "Gold"])
    expect(flow().svg).toBe(flow().svg)
    expect(flow().alt).toContain("none to Gold 1 234; Gold to none 5")
    expect(curveChart([{ value: 10, users: 3, cost_minor: 150 }], 10, "score", String).alt).toContain("10 3 users, cost 1.50 (now)")
    expect(barsChart([{ key: "a<b", value: 5, ghost: null }, { key: "c", value: 3, ghost: 9 }], "Count", String).alt).toBe("Count: a<b 5; c 3 (a month before 9).")
    expect(barsChart([], "Count", String).alt).toBe("Count: none.")
  })

  test("a waterfall's bars lead to what is behind them, also where the sum crosses zero", () => {
    const { svg, alt } = waterfallChart({ name: "budgets", minor: 1_000 }, [{ name: "missing", minor: -2_500, href: "#missing" }, { name: "timing", minor: 0, href: "#timing" }], { name: "orders", minor: -1_500 })
    expect(alt).toBe("budgets 10.00; missing −25.00; timing 0.00; orders −15.00.")
    expect(svg).toContain('<a href="#missing">')
    expect(svg).toContain('<a href="#timing">')
  })

  test("a waterfall whose steps are small beside its totals is looked at from nearby, and says so", () => {
    const told = waterfallChart({ name: "budgets", minor: 100 }, [{ name: "amount_mismatch", minor: 0, href: "#a", says: "break 0.50" }], { name: "orders", minor: 100 })
    expect(told.alt).toBe("budgets 1.00; amount_mismatch 0.00, break 0.50; orders 1.00.")
    expect(told.svg).toContain("0.00, break 0.50</text>")
    const near = waterfallChart({ name: "budgets", minor: 14_304_092 }, [{ name: "timing", minor: -124_778, href: "#timing" }], { name: "orders", minor: 14_179_314 })
    expect(near.note).toBe("The axis begins at 141 000.00, so that the steps can be seen.")
    expect(near.alt).toBe("budgets 143 040.92; timing −1 247.78; orders 141 793.14.")
    expect(near.svg).toContain(">−1 247.78</text>")
    for (const [budgets, orders] of [[1_000, 100], [0, 0], [500, 500], [-500_000, -501_000]] as const) {
      expect([budgets, waterfallChart({ name: "budgets", minor: budgets }, [{ name: "timing", minor: orders - budgets, href: "#t" }], { name: "orders", minor: orders }).note]).toEqual([budgets, undefined])
    }
    const most = 9_007_199_254_740_991
    expect(waterfallChart({ name: "budgets", minor: most }, [{ name: "a", minor: -1, href: "#a" }, { name: "b", minor: 1, href: "#b" }], { name: "orders", minor: most }).note).toBe("The axis begins at 90 071 992 547 409.90, so that the steps can be seen.")
  })

  test("charts of one page share no id, and none of them does anything", () => {
    const charts = [curveChart([{ value: 10, users: 3, cost_minor: 150 }, { value: 20, users: 1, cost_minor: 50 }], 10, "score", String), barsChart([{ key: "a", value: 5, ghost: 3 }], "Count", String), barsChart([{ key: "b", value: 5, ghost: 3 }], "Count", String)]
    const ids = charts.flatMap(({ svg }) => [...svg.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!))
    expect(ids.length).toBeGreaterThan(0)
    expect(new Set(ids).size).toBe(ids.length)
    expect(charts.map(({ svg }) => svg).join("")).not.toMatch(/<style|<script|ecmeta|class=/)
  })

  test("amounts are exact to the cent up to the largest number there is", () => {
    expect([0, 5, -5, 100, -123_456, 9_007_199_254_740_991].map(amountOf)).toEqual(["0.00", "0.05", "−0.05", "1.00", "−1 234.56", "90 071 992 547 409.91"])
  })
})

test("a page writes what people named as text, never as markup", () => {
  const html = pageHtml({ title: "<b>", sentence: "a & b", facts: ['"x"'], sections: [{ title: "<script>", table: { columns: ["<i>"], rows: [["<u>"], [{ text: "<a>", href: 'x"y' }], [{ number: "1" }]] } }] })
  expect(html).not.toMatch(/<b>|<script>|<i>|<u>|<a>|x"y/)
})

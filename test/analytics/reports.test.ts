// Reports: pages that say what the published runs say, the same bytes from the same runs, and due again when a job publishes anew.

import { afterAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { openDuck, quoted } from "../../analytics/duck.ts"
import { badges } from "../../analytics/jobs/badges.ts"
import { reports } from "../../analytics/jobs/reports.ts"
import { amountOf, barsChart, curveChart, flowChart, waterfallChart } from "../../analytics/reports/charts.ts"
import { pageHtml } from "../../analytics/reports/page.ts"
import { changeOf } from "../../analytics/reports/report.ts"
import { publishedRun, runJob } from "../../analytics/runner.ts"
import { unpublishedPeriods } from "../../analytics/scheduler.ts"
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
    // The curve of Gold's score: 360 now, 18 a step.
    for (const least of [180, 342, 360, 378, 540]) {
      const users = now.filter((person) => isGold(person, least)).length
      expect(html).toContain(`<td class="number">${least}</td><td class="number">${users}</td><td class="number">${users - now.filter((person) => isGold(person)).length}</td><td class="number">${amountOf(users * 250)}</td>`)
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

describe("charts", () => {
  test("each says its numbers to those who cannot see it, and is the same however many were drawn before", () => {
    const flow = () => flowChart([{ from: "none", to: "Gold", users: 1_234 }, { from: "Gold", to: "none", users: 5 }], ["none", "Gold"])
    expect(flow().svg).toBe(flow().svg)
    expect(flow().alt).toContain("none to Gold 1 234; Gold to none 5")
    expect(curveChart([{ value: 10, users: 3, cost_minor: 150 }], 10, "score").alt).toContain("10 3 users, cost 1.50 (now)")
    expect(barsChart([{ key: "a<b", value: 5, ghost: null }, { key: "c", value: 3, ghost: 9 }], "Count", String).alt).toBe("Count: a<b 5; c 3 (a month before 9).")
    expect(barsChart([], "Count", String).alt).toBe("Count: none.")
  })

  test("a waterfall's bars lead to what is behind them, also where the sum crosses zero", () => {
    const { svg, alt } = waterfallChart({ name: "budgets", minor: 1_000 }, [{ name: "missing", minor: -2_500, href: "#missing" }, { name: "timing", minor: 0, href: "#timing" }], { name: "orders", minor: -1_500 })
    expect(alt).toBe("budgets 10.00; missing −25.00; timing 0.00; orders −15.00.")
    expect(svg).toContain('<a href="#missing">')
    expect(svg).toContain('<a href="#timing">')
  })

  test("amounts are exact to the cent up to the largest number there is", () => {
    expect([0, 5, -5, 100, -123_456, 9_007_199_254_740_991].map(amountOf)).toEqual(["0.00", "0.05", "−0.05", "1.00", "−1 234.56", "90 071 992 547 409.91"])
  })
})

test("a page writes what people named as text, never as markup", () => {
  const html = pageHtml({ title: "<b>", sentence: "a & b", facts: ['"x"'], sections: [{ title: "<script>", table: { columns: ["<i>"], rows: [["<u>"], [{ text: "<a>", href: 'x"y' }], [{ number: "1" }]] } }] })
  expect(html).not.toMatch(/<b>|<script>|<i>|<u>|<a>|x"y/)
})

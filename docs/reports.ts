/**
 * The pictures of the reports: a made-up month and day with everything in them that a page has to bear, carried out by the jobs' own `run`,
 * written as pages, and looked at by a browser.
 *
 *   npm run docs:reports -- [FOLDER]     writes the pages into FOLDER; with docs/reports as FOLDER the pictures that the papers show
 *
 * What must stay true: no number is drawn by hand; whoever changes a page runs this and looks.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { spawnSync } from "node:child_process"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { badges } from "../analytics/jobs/badges.ts"
import { reconciliation } from "../analytics/jobs/reconciliation.ts"
import { risk } from "../analytics/jobs/risk.ts"
import { named, openDuck, type Duck } from "../analytics/duck.ts"
import type { Input, Job, Output, Work } from "../analytics/job.ts"
import { type Lake, type LakeFile, openLake } from "../analytics/lake.ts"
import { periodsBetween, periodSpan } from "../analytics/periods.ts"
import { badgesReport } from "../analytics/reports/badges.ts"
import { type Page, pageHtml } from "../analytics/reports/page.ts"
import { reconciliationReport } from "../analytics/reports/reconciliation.ts"
import type { Report, ToldRun } from "../analytics/reports/report.ts"
import { riskReport } from "../analytics/reports/risk.ts"
import { showInputs } from "../analytics/runner.ts"
import type { Rules } from "../engine/badges/rules.ts"

const CHROMIUM = "/usr/bin/chromium"
const WIDTH = 980
/** A picture shows the top of its page, so many pixels of it. */
const HEIGHTS = { badges: 1_400, reconciliation: 1_400, risk: 1_800 } as const
const PICTURE_BYTES_MAX = 200_000

const signal = new AbortController().signal
const told = (period: string, report: string, answer: unknown, rules: unknown, outputs: readonly Output[]): ToldRun => ({ period, revision: 1, answer, rules, report, outputs })

/** Carry out a job's own `run` over these inputs. */
const carryOut = async (lake: Lake, job: Job, period: string, set: string, rules: unknown, inputs: Readonly<Record<string, Input>>): Promise<ToldRun> => {
  const duck = await openDuck({ memory_mb: 1_000, threads: 2, temp_dir: lake.temp() })
  const outputs: Output[] = []
  try {
    await showInputs(duck, lake, inputs)
    const work: Work = {
      engine: duck, duck, period: periodSpan(period, "UTC"), time_zone: "UTC", set, options: {}, rules, signal, progress: () => {},
      write: async ({ name, select, key, order = key.map(named).join(", "), sums = [] }) => {
        outputs.push({ ...await lake.write(duck, { select, order, folder: `outputs/${job.name}/${period}`, name, sums }), name, key })
        return outputs.at(-1)!
      },
    }
    const { answer, report, checks } = await job.run(work)
    const broken = checks.find(({ left, right }) => left !== right)
    if (broken) throw new Error(`${broken.name}: ${broken.left} is not ${broken.right}`)
    return told(period, report, answer, rules, outputs)
  } finally {
    duck.close()
  }
}

const pageOf = async (lake: Lake, report: Report, run: ToldRun, before: ToldRun | undefined, set: string, costs: Readonly<Record<string, number>>): Promise<Page> => {
  const duck = await openDuck({ memory_mb: 1_000, threads: 2, temp_dir: lake.temp() })
  try {
    await showInputs(duck, lake, report.reads(run, before))
    return await report.page(duck, { run, before, time_zone: "UTC", set, costs })
  } finally {
    duck.close()
  }
}

// ── A month of badges ────────────────────────────────────────────────────────────────────────────────────────────

const wealth: Rules = {
  line: "wealth", name: "Wealth", effective_month: "2026-01", fields: { lc_score: { type: "integer" }, hold_amt: { type: "money", unit: "major" } },
  levels: [
    { level: 1, name: "Silver", when: { field: "lc_score", op: ">=", value: "300" } },
    { level: 2, name: "Gold", when: { all: [{ field: "lc_score", op: ">=", value: "450" }, { field: "hold_amt", op: ">=", value: "1500.00" }] } },
    { level: 3, name: "Platinum, by invitation only", when: { all: [{ field: "lc_score", op: ">=", value: "620" }, { field: "hold_amt", op: ">=", value: "6000.00" }] } },
  ],
  downgrade: "one_level", rights: [{ level: 1, campaign_id: "silver", claim: "automatic" }, { level: 2, campaign_id: "gold", claim: "automatic" }, { level: 3, campaign_id: "platinum", claim: "activate" }],
}
const drawBadges = async (lake: Lake, duck: Duck): Promise<Page> => {
  const ruled = [{ badge_no: 1, badge_id: "wealth", version: 3, rules: wealth }]
  const runs: ToldRun[] = []
  for (const [i, period] of ["2026-09", "2026-10"].entries()) {
    // Somebody's score moves by some points from month to month; some come and some go.
    const scores = await lake.write(duck, {
      select: `select 'user-' || i as user_pin, '${period}-28' as dt, 1::bigint as import_no, i as row,
          (hash(i, 1) % 500 + hash(i, 2) % 200 + hash(i, 3, ${i}) % 60 + ${i * 6})::varchar as lc_score, (exp((hash(i, 4) % 1000) / 100.0)::bigint % 20000)::varchar || '.00' as hold_amt
        from range(12000) r(i) where hash(i, 5, ${i}) % 20 > 0`, order: "row", folder: `scores/${period}`, name: "scores", day: `${period}-28`,
    })
    const then = runs[0]
    const rules = { badges: ruled, is_first: i === 0, previous: then === undefined ? null : { period: then.period, digits: 0, places: { wealth: 1 } } }
    const columns = { user_pin: "VARCHAR", dt: "VARCHAR", import_no: "BIGINT", row: "BIGINT" }
    runs.push(await carryOut(lake, badges, period, "", rules, {
      scores: { files: [scores], columns }, ...(then ? { previous_levels: { files: then.outputs.filter(({ name }) => name === "levels"), columns: { user_id: "VARCHAR" } } } : {}),
    }))
  }
  return pageOf(lake, badgesReport, runs[1]!, runs[0], "", { silver: 120, gold: 500, platinum: 3_000 })
}

// ── A month of books ─────────────────────────────────────────────────────────────────────────────────────────────

/** Keys of each class: how many, and what budget, redemption and order say of one, by its `amount`. */
const CLASSES: readonly { name: string; keys: number; sources: readonly (readonly [source: string, sign: string, at: string])[] }[] = [
  { name: "matched", keys: 6_400, sources: [["budget", "a", "inside"], ["redemption", "a", "inside"], ["order", "a", "inside"]] },
  { name: "timing", keys: 61, sources: [["budget", "a", "last"], ["redemption", "a", "last"], ["order", "a", "next"]] },
  { name: "reversed_but_order_kept", keys: 23, sources: [["budget", "a", "inside"], ["budget", "-a", "inside"], ["redemption", "a", "inside"], ["redemption", "-a", "inside"], ["order", "a", "inside"]] },
  { name: "duplicate_redemption", keys: 17, sources: [["budget", "2 * a", "inside"], ["redemption", "a", "inside"], ["redemption", "a", "inside"], ["order", "a", "inside"]] },
  { name: "orphan_order_discount", keys: 38, sources: [["order", "a", "inside"]] },
  { name: "budget_only", keys: 9, sources: [["budget", "a", "inside"]] },
  { name: "missing_in_orders", keys: 84, sources: [["budget", "a", "inside"], ["redemption", "a", "inside"]] },
  { name: "missing_in_budget", keys: 31, sources: [["redemption", "a", "inside"], ["order", "a", "inside"]] },
  { name: "amount_mismatch", keys: 52, sources: [["budget", "a", "inside"], ["redemption", "a", "inside"], ["order", "a + 7 - (hash(i) % 15)::bigint", "inside"]] },
]
const PARTIES = ["retail", "bank", "manufacturer of household appliances"]
const drawBooks = async (lake: Lake, duck: Duck): Promise<Page> => {
  const runs: ToldRun[] = []
  for (const [nth, period] of ["2026-09", "2026-10"].entries()) {
    const { opens_ms, closes_ms } = periodSpan(period, "UTC")
    const moment: Readonly<Record<string, string>> = { inside: `${opens_ms} + hash(i, 1) % ${closes_ms - opens_ms}`, last: `${closes_ms} - 1 - hash(i, 2) % 86400000`, next: `${closes_ms} + hash(i, 3) % 86400000` }
    const rows = CLASSES.flatMap(({ name, keys, sources }, c) => sources.map(([source, sign, at], s) => `
      select '${source}' as source, '${source}-${c}-${s}-' || i as entry_id, '${name.startsWith("m") ? "order" : "marketplace-order-2026"}-' || ${c} || lpad(i::varchar, 5, '0') as order_id, 'c-' || (hash(i, 5) % 40) as coupon_id,
        case hash(i, 6) % 7 when 0 then 'autumn-opening-of-the-flagship-store-2026' else 'budget-' || (hash(i, 6) % 7) end as budget_id,
        (${sign.replaceAll(/\ba\b/g, "(150 + (hash(i, 7) % 4000)::bigint)")})::bigint as amount_minor, (${moment[at]})::bigint as at_ms
      from range(${nth === 0 ? Math.ceil(keys * 0.9) : keys}) r(i)`))
    const books = await lake.write(duck, { select: rows.join(" union all "), order: "source, entry_id", folder: `books@partner/${period}`, name: "books" })
    const budgets = Array.from({ length: 7 }, (_, i) => ({ budget_no: i + 1, budget_id: i === 0 ? "autumn-opening-of-the-flagship-store-2026" : `budget-${i}`, line: i % 2 === 0 ? "wealth" : "gold bar", party: PARTIES[i % 3]! }))
    runs.push(await carryOut(lake, reconciliation, period, "partner", { budgets, controls: [], timing_days: 3, is_over: true, time_zone: "UTC", adjusted: [] }, {
      books: { files: [books], columns: {} }, orders: { files: [], columns: { order_id: "VARCHAR", coupon_id: "VARCHAR", budget_id: "VARCHAR", state: "VARCHAR", discount_minor: "BIGINT", at_ms: "BIGINT" } },
    }))
  }
  return pageOf(lake, reconciliationReport, runs[1]!, runs[0], "partner", {})
}

// ── A day of risk ────────────────────────────────────────────────────────────────────────────────────────────────

const drawRisk = async (lake: Lake, duck: Duck): Promise<Page> => {
  const DAYS = periodsBetween("2026-08-05", "2026-10-31")
  const files: LakeFile[] = []
  for (const [i, day] of DAYS.entries()) {
    const isLast = i === DAYS.length - 1
    const keysOf = (dimension: string, keys: number, spike: number, name: string) => `
      select '${day}' as day, '${dimension}' as dimension, ${name} as key, (count * (180 + hash(k, '${dimension}', ${i}) % 60))::bigint as amount_minor, (count * 2400)::bigint as price_minor, count::bigint as count, ${dimension === "user" ? "1" : "greatest(1, count * 7 // 10)"}::bigint as users,
        (count // 25)::bigint as refunds, (count // 12)::bigint as first_day_users, ${dimension === "user" ? "count" : `least(count, 1 + hash(k, 4, ${i}) % 3)`}::bigint as velocity_max
      from (select k, 1 + (20000 // (k + 6) * (80 + hash('${dimension}', k, ${i}) % 40) // 1000)${isLast ? ` * case k when ${spike} then 6 else 1 end` : ""} as count from range(${keys}) r(k)) where hash(k, 9, ${i}) % 30 > 0`
    const select = [
      keysOf("sku", 400, 4, "'sku-' || lpad((k * 7919 % 10000)::varchar, 4, '0')"),
      keysOf("merchant", 100, 11, "case k when 2 then 'The Very Long Name of a Merchant of Fine Teas and Kettles Ltd.' when 5 then '北京茶叶有限公司' when 9 then '' else 'merchant-' || k end"),
      keysOf("region", 7, -1, "['north', 'south', 'east', 'west', 'Inner Mongolia Autonomous Region', '上海', 'islands'][k + 1]"),
      keysOf("campaign", 24, 5, "'autumn-2026-' || ['silver', 'gold', 'welcome', 'tea'][k % 4 + 1] || '-' || k"),
      keysOf("user", 900, 17, "(100000 + k * 37)::varchar"),
    ].join(" union all ")
    files.push(await lake.write(duck, { select, order: "dimension, key", folder: `risk_days/${day}`, name: day, day }))
  }
  const runOn = (day: string) => carryOut(lake, risk, day, "", { day }, { days: { files: files.filter((file) => file.day! <= day).slice(-57), columns: {} } })
  return pageOf(lake, riskReport, await runOn("2026-10-31"), await runOn("2026-09-30"), "", {})
}

/** Have a browser look at a page: as a screen shows it, or as it is printed. */
const look = (...args: readonly string[]): void => {
  const { status, stderr } = spawnSync(CHROMIUM, ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", ...args], { encoding: "utf8", timeout: 60_000 })
  if (status !== 0) throw new Error(`the browser has ended with ${status}: ${stderr.slice(-400)}`)
}

const folder = resolve(process.argv[2] ?? "docs/reports")
const isForPapers = folder === resolve("docs/reports")
const pages_in = isForPapers ? mkdtempSync(join(tmpdir(), "scrip-reports-")) : folder
mkdirSync(folder, { recursive: true })
const root = mkdtempSync(join(tmpdir(), "scrip-reports-lake-"))
const lake = openLake(root)
const duck = await openDuck({ memory_mb: 1_000, threads: 2, temp_dir: lake.temp() })
try {
  for (const [name, draw] of [["badges", drawBadges], ["reconciliation", drawBooks], ["risk", drawRisk]] as const) {
    const html = join(pages_in, `${name}.html`)
    writeFileSync(html, pageHtml(await draw(lake, duck)))
    if (!existsSync(CHROMIUM)) {
      console.log(`${html}: there is no browser at ${CHROMIUM} to look at it`)
      continue
    }
    const picture = join(folder, `${name}.png`)
    look(`--window-size=${WIDTH},${HEIGHTS[name]}`, `--screenshot=${picture}`, `file://${html}`)
    if (!isForPapers) look(`--print-to-pdf=${join(folder, `${name}.pdf`)}`, "--no-pdf-header-footer", `file://${html}`)
    const { size } = statSync(picture)
    console.log(`${picture}: ${size} bytes`)
    if (isForPapers && size > PICTURE_BYTES_MAX) throw new Error(`${picture} has ${size} bytes, and a picture in the papers has at most ${PICTURE_BYTES_MAX}`)
  }
} finally {
  duck.close()
  rmSync(root, { recursive: true, force: true })
  if (isForPapers) rmSync(pages_in, { recursive: true, force: true })
}

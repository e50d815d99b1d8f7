/**
 * `reports`, monthly and on demand for a day: a page for each job that has published the period.
 *
 * What must stay true: a page follows from published runs; whoever publishes anew makes the period due again. The pages are an output like
 * any other (text in Parquet), go to a folder that a person may open, and into a table from which the API answers.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { named, quoted } from "../duck.ts"
import type { Input, Job, JobParts } from "../job.ts"
import { REPORTS } from "../reports/index.ts"
import { indexHtml, pageHtml } from "../reports/page.ts"
import type { Told, ToldRun } from "../reports/report.ts"

const REPORTS_FOLDER = join(import.meta.dir, "..", "reports")
const TIMEOUT_S = 1_800

interface ReportRules { readonly runs: Readonly<Record<string, { readonly run: ToldRun; readonly before: ToldRun | null }>>; readonly costs: Told["costs"] }

const toldRun = async ({ sql, published }: JobParts, job: string, period: string): Promise<ToldRun | undefined> => {
  const run = await published(job, period)
  if (!run) return undefined
  const [row] = await sql<{ rules: unknown; report: string | null }[]>`select rules, report from runs where run_id = ${run.run_id}`
  const { revision, answer, outputs } = run
  return { period, revision, answer, outputs, rules: row?.rules ?? null, report: row?.report ?? "" }
}

/** What a coupon of each campaign can cost at most, where its terms say so as an amount. */
const costsOf = async ({ sql }: JobParts): Promise<Record<string, number>> => {
  const rows = await sql<{ campaign_id: string; cost: string | null }[]>`
    select campaign_id, coalesce(body->'terms'->>'amount_minor', body->'terms'->>'max_minor', body->>'max_minor') as cost from campaigns order by campaign_id`
  return Object.fromEntries(rows.flatMap(({ campaign_id, cost }) => cost === null ? [] : [[campaign_id, Number(cost)]]))
}

export const reports: Job = {
  name: "reports",
  period: "month or day",
  has_sets: true,
  sources: [import.meta.path, ...["badges", "charts", "page", "reconciliation", "report", "risk"].map((name) => join(REPORTS_FOLDER, `${name}.ts`))],
  timeout_s: TIMEOUT_S,
  schedule: { follows: REPORTS.map(({ job }) => job) },

  inputs: async (parts) => {
    const runs: Record<string, { run: ToldRun; before: ToldRun | null }> = {}
    const inputs: Record<string, Input> = {}
    for (const { job, before: periodOf, reads } of REPORTS) {
      const run = await toldRun(parts, job, parts.period.period)
      if (!run) continue
      const before = await toldRun(parts, job, periodOf(parts.period.period))
      runs[job] = { run, before: before ?? null }
      for (const [name, input] of Object.entries(reads(run, before))) inputs[`${job}_${name}`] = input
    }
    const rules: ReportRules = { runs, costs: await costsOf(parts) }
    return Object.keys(runs).length > 0 ? { inputs, rules }
      : { inputs, rules, missing: { reason: "nothing_published", detail: `No job has published ${parts.period.period} yet.` } }
  },

  run: async ({ duck, rules, period, set, time_zone, write }) => {
    const { runs, costs } = rules as ReportRules
    const pages: { job: string; title: string; sentence: string; html: string }[] = []
    for (const { job, reads, page } of REPORTS) {
      const told = runs[job]
      if (!told) continue
      for (const name of Object.keys(reads(told.run, told.before ?? undefined))) await duck.run(`create or replace view ${named(name)} as select * from ${named(`${job}_${name}`)}`)
      const made = await page(duck, { run: told.run, before: told.before ?? undefined, time_zone, set, costs })
      pages.push({ job, title: made.title, sentence: made.sentence, html: pageHtml(made) })
    }
    await duck.table("pages", { job: "varchar", title: "varchar", sentence: "varchar", html: "varchar" }, pages)
    await write({ name: "pages", select: "select * from pages", key: ["job"] })
    return { checks: [], answer: { pages: pages.map(({ job, title, sentence }) => ({ job, title, sentence })) }, report: `${period.period}: ${pages.map(({ sentence }) => sentence).join(" ")}` }
  },

  stage: async ({ duck, sql, lake, run_id, period, set, outputs }) => {
    const rows = await duck.all<{ job: string; title: string; sentence: string; html: string }>(`select * from read_parquet(${quoted(lake.place(outputs[0]!))}) order by job`)
    for (const { job, title, sentence, html } of rows) {
      await sql`insert into reports (run_id, job, period, set_name, title, sentence, html) values (${run_id}, ${job}, ${period.period}, ${set}, ${title}, ${sentence}, ${html})
        on conflict (run_id, job) do update set title = excluded.title, sentence = excluded.sentence, html = excluded.html`
    }
  },

  after: async ({ sql, lake }) => {
    const shown = await sql<{ job: string; period: string; set_name: string; title: string; sentence: string; html: string }[]>`
      select r.job, r.period, r.set_name, r.title, r.sentence, r.html from reports r join run_periods p on p.job = 'reports' and p.run_id = r.run_id order by r.period desc, r.job`
    const root = join(lake.root, "reports")
    mkdirSync(root, { recursive: true })
    const put = (name: string, html: string) => { writeFileSync(join(root, `${name}.new`), html); renameSync(join(root, `${name}.new`), join(root, name)) }
    const named = shown.map((each) => ({ ...each, file: `${each.job}-${each.period}${each.set_name === "" ? "" : `@${each.set_name}`}.html` }))
    for (const { file, html } of named) put(file, html)
    put("index.html", indexHtml(named))
  },
}

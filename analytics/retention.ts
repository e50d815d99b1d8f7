/**
 * What is kept for so many months and no longer: rows about persons. Sums, and what the runs answered, stay.
 *
 *   outputs of `badges`, `badge_compensation`, `risk` and of the days' `reports`   their files, and the names of these in the runs
 *   risk_rows, badge_refusals, levels, pages of days                              their rows
 *   scores, risk_orders, risk_lines, risk_days, badge_refusals in the lake        the files of days past
 *   rejects of scores                                                             files written before
 *
 * Beside that, what runs and imports that were killed have left in the lake's `.tmp`, after a day.
 *
 * What must stay true: it may be cut off anywhere and is begun again each day; a month is dropped whole, once all of it is older. Events, orders and
 * ledgers are books and stay; `npm run forget` takes one person out of them at any time. Time is Postgres' time.
 */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import type { Sql } from "postgres"
import type { Lake } from "./lake.ts"
import { noteRewritten } from "./landed.ts"
import { periodAt, periodBefore, periodSpan } from "./periods.ts"
import { DROPPED, ORDERS } from "./risk/facts.ts"
import { NOW } from "./tables.ts"

/** Jobs whose outputs are rows about persons. */
const PERSONAL_JOBS = ["badges", "badge_compensation", "risk"]
/** Datasets of days, or of periods, whose rows are about persons. */
const PERSONAL_DATASETS = /^(scores(@.*)?|risk_orders|risk_lines|risk_days|badge_refusals)$/
/** Runs that are emptied in one round; the next day has the rest. */
const RUNS_MAX = 10_000
const DAY_CHARS = "YYYY-MM-DD".length

export interface Dropped {
  /** The first month that is kept. */
  readonly kept_from: string
  readonly runs: number
  readonly rows: number
  readonly files: number
}

/** The first month that is kept, when so many are kept before the one that runs. */
const keptFrom = async (sql: Sql, time_zone: string, keep_months: number): Promise<string> => {
  // Whoever was told nothing would keep nothing.
  if (!Number.isSafeInteger(keep_months) || keep_months < 1) throw new RangeError(`${keep_months} is no number of months to keep`)
  const [now] = await sql<{ at_ms: number }[]>`select ${sql.unsafe(NOW)} as at_ms`
  let month = periodAt(now!.at_ms, "month", time_zone)
  for (let i = 0; i < keep_months; i += 1) month = periodBefore(month)
  return month
}

/** Empty the runs of periods before a month: their files go first, so that none is left that nobody names. */
const dropRuns = async (sql: Sql, lake: Lake, kept_from: string): Promise<number> => {
  const runs = await sql<{ run_id: string; job: string; period: string; set_name: string }[]>`
    select run_id, job, period, set_name from runs
    where (job = any(${PERSONAL_JOBS}) or job = 'reports' and length(period) = ${DAY_CHARS}) and period < ${kept_from} and outputs is not null and json_array_length(outputs) > 0
    order by period limit ${RUNS_MAX}`
  for (const { run_id, job, period, set_name } of runs) {
    rmSync(join(lake.root, "outputs", job, `${period}${set_name === "" ? "" : `@${set_name}`}`), { recursive: true, force: true })
    if (job === "reports") for (const of of PERSONAL_JOBS) rmSync(join(lake.root, "reports", `${of}-${period}${set_name === "" ? "" : `@${set_name}`}.html`), { force: true })
    await sql`update runs set outputs = '[]', detail = ${`Its rows were about persons and are kept from ${kept_from} on.`} where run_id = ${run_id}`
  }
  return runs.length
}

const dropRows = async (sql: Sql, kept_from: string): Promise<number> => {
  const gone = await Promise.all([
    sql`delete from risk_rows where run_id in (select run_id from runs where job = 'risk' and period < ${kept_from})`,
    sql`delete from badge_refusals where period < ${kept_from}`,
    sql`delete from level_blocks where generation in (select generation from level_generations where period < ${kept_from})`,
    sql`delete from reports where length(period) = ${DAY_CHARS} and period < ${kept_from}`,
  ])
  return gone.reduce((sum, { count }) => sum + count, 0)
}

/** The files of days before a month; a part of which nothing is left goes whole. */
const dropFiles = async (sql: Sql, lake: Lake, kept_from: string): Promise<number> => {
  let files = 0
  for (const dataset of lake.datasets().filter((each) => PERSONAL_DATASETS.test(each))) {
    for (const manifest of lake.parts(dataset)) {
      const { part, facts } = manifest
      const kept = manifest.files.filter(({ day }) => (day ?? part) >= kept_from)
      if (kept.length === manifest.files.length) continue
      files += manifest.files.length - kept.length
      if (kept.length > 0) await noteRewritten(sql, lake.publish({ dataset, part, files: kept, facts }))
      else if (dataset === ORDERS) {
        // The next night's risk would make it again of the events, which stay.
        await noteRewritten(sql, lake.publish({ dataset, part, files: [], facts: DROPPED }))
      } else {
        // The mark first: one without its part is a loss.
        await sql`delete from lake_parts where dataset = ${dataset} and part = ${part}`
        rmSync(join(lake.root, dataset, part), { recursive: true, force: true })
      }
    }
  }
  return files
}

/** Refused rows of a feed say nothing of their days: a file goes by when it was written. */
const dropRejects = (lake: Lake, before_ms: number): number => {
  const folder = join(lake.root, "rejects", "scores")
  const old = !existsSync(folder) ? [] : readdirSync(folder).map((file) => join(folder, file)).filter((file) => statSync(file).mtimeMs < before_ms)
  for (const file of old) rmSync(file)
  return old.length
}

/** What was written by who died meanwhile: no run and no import goes on for so long. */
const TEMP_AGE_MS = 86_400_000

/** Drop what nobody writes to any more. */
export const dropTemp = (lake: Lake, now_ms = Date.now()): void => {
  const folder = dirname(lake.temp())
  for (const name of readdirSync(folder)) {
    const place = join(folder, name)
    if ((statSync(place, { throwIfNoEntry: false })?.mtimeMs ?? now_ms) < now_ms - TEMP_AGE_MS) rmSync(place, { recursive: true, force: true })
  }
}

/** Drop what is older than so many months. */
export const dropAged = async ({ sql, lake, time_zone }: { readonly sql: Sql; readonly lake: Lake; readonly time_zone: string }, keep_months: number): Promise<Dropped> => {
  const kept_from = await keptFrom(sql, time_zone, keep_months)
  const runs = await dropRuns(sql, lake, kept_from), rows = await dropRows(sql, kept_from)
  const files = await dropFiles(sql, lake, kept_from) + dropRejects(lake, periodSpan(kept_from, time_zone).opens_ms)
  return { kept_from, runs, rows, files }
}

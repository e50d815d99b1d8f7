/**
 * `badge_compensation`, on demand: the rights of a month that could not be issued (a campaign had ended, its stock was gone), listed and asked
 * for again.
 *
 * What must stay true: only what the published month still gives is asked for, so that whoever lost a level to a corrected revision gets nothing of
 * it. A right keeps its request_id, so one that was issued meanwhile is a repeat and not a second coupon. A run is known by what is open and how
 * often it was tried, so each attempt is a run of its own, and one that was cut off goes on as itself.
 */
import { join } from "node:path"
import { askFor, isRights, keepRefusals, type RightRow, RightsUnissued } from "../badges/rights.ts"
import { type Duck, quoted } from "../duck.ts"
import type { Job, JobParts } from "../job.ts"

const TIMEOUT_S = 6 * 3_600
/** Rights of one attempt, to a page; another run takes the rest. */
const RIGHTS_MAX = 1_000_000
const READ_ROWS = 20_000
const OPEN_COLUMNS = { badge_id: "varchar", level: "integer", campaign_id: "varchar", user_id: "varchar", code: "varchar", tries: "integer" }
const DATASET = "badge_refusals"

interface Open { readonly badge_id: string; readonly level: number; readonly campaign_id: string; readonly user_id: string; readonly code: string; readonly tries: number }
interface OpenAnswer { readonly period: string; readonly open: number; readonly by_code: readonly { readonly campaign_id: string; readonly code: string; readonly users: number }[] }

/** The rights that the month gives as it is published now, as a table of DuckDB. */
const tableGiven = async ({ lake, published, period: { period } }: Pick<JobParts, "lake" | "published" | "period">, duck: Duck): Promise<void> => {
  const files = (await published("badges", period))?.outputs.filter(isRights) ?? []
  await duck.run(`create or replace temp table given as select user_id, badge_id, level, campaign_id from ${
    files.length === 0 ? "(select '' as user_id, '' as badge_id, 0 as level, '' as campaign_id) where false" : `read_parquet([${files.map((file) => quoted(lake.place(file))).join(", ")}])`}`)
}
const IS_GIVEN = "semi join given using (user_id, badge_id, level, campaign_id)"

export const badge_compensation: Job = {
  name: "badge_compensation",
  period: "month",
  sources: [import.meta.path, join(import.meta.dir, "..", "badges", "rights.ts")],
  timeout_s: TIMEOUT_S,

  prepare: async (parts) => {
    const { sql, lake, duck, period: { period } } = parts
    await tableGiven(parts, duck)
    await duck.run(`create or replace temp table open_rights (${Object.entries(OPEN_COLUMNS).map(([name, type]) => `${name} ${type}`).join(", ")})`)
    let open = 0
    const refused = sql<Open[]>`
      select badge_id, level, campaign_id, user_id, code, tries from badge_refusals where period = ${period} and not settled order by badge_id, level, campaign_id, user_id`
    for await (const rows of refused.cursor(READ_ROWS)) {
      await duck.table("page", OPEN_COLUMNS, rows.map((row) => ({ ...row })))
      await duck.run(`insert into open_rights by name select page.* from page ${IS_GIVEN}`)
      await duck.run("drop table page")
      open = (await duck.one<{ open: number }>("select count(*) as open from open_rights")).open
      if (open >= RIGHTS_MAX) break
    }
    const file = await lake.write(duck, { select: "select * from open_rights", order: "badge_id, level, campaign_id, user_id", folder: `${DATASET}/${period}`, name: period })
    lake.publish({ dataset: DATASET, part: period, files: [file], facts: {} })
  },

  inputs: async ({ lake, period: { period } }) => ({ inputs: { open_refusals: { files: lake.part(DATASET, period)?.files ?? [], columns: {} } }, rules: {} }),

  run: async ({ duck, period: { period }, write }) => {
    await write({
      name: "open", key: ["badge_id", "level", "campaign_id", "user_id"],
      select: `select badge_id, level, campaign_id, user_id, code, tries, ${quoted(`badge:${period}:`)} || badge_id || ':' || cast(level as varchar) as request_id from open_refusals`,
    })
    const by_code = await duck.all<OpenAnswer["by_code"][number]>("select campaign_id, code, count(*) as users from open_refusals group by campaign_id, code order by campaign_id, code")
    const open = by_code.reduce((sum, { users }) => sum + users, 0)
    const answer: OpenAnswer = { period, open, by_code }
    return { checks: [], answer, report: open === 0 ? `No right of ${period} is open.` : `${open} rights of ${period} are asked for again: ${by_code.map(({ users, code, campaign_id }) => `${users} of ${campaign_id} (${code})`).join(", ")}.` }
  },

  after: async (parts) => {
    const { sql, lake, duck, api, signal, progress, run_id, outputs, period: { period } } = parts
    const [file] = outputs
    if (!file || file.rows === 0) return
    if (!api) throw new RightsUnissued("there are rights to issue and no address of the engine's API is known")
    // Another revision may have been published since the run: what was owed is not owed for ever.
    await tableGiven(parts, duck)
    for (let from = 0; from < file.rows; from += READ_ROWS) {
      progress("issuing rights", from / file.rows)
      const rights = await duck.all<RightRow>(`
        select user_id, badge_id, level, campaign_id, request_id from (select * from read_parquet(${quoted(lake.place(file))}, file_row_number = true)
          where file_row_number >= ${from} and file_row_number < ${from + READ_ROWS}) ${IS_GIVEN} order by file_row_number`)
      for await (const answers of askFor(api, rights, signal)) {
        const given = answers.filter(({ status }) => status < 300).map(({ right }) => right)
        await sql`
          update badge_refusals b set settled = true, tries = b.tries + 1
          from unnest(${given.map(({ badge_id }) => badge_id)}::text[], ${given.map(({ level }) => level)}::integer[], ${given.map(({ campaign_id }) => campaign_id)}::text[], ${given.map(({ user_id }) => user_id)}::text[]) as g (badge_id, level, campaign_id, user_id)
          where b.period = ${period} and b.badge_id = g.badge_id and b.level = g.level and b.campaign_id = g.campaign_id and b.user_id = g.user_id and not b.settled`
        await keepRefusals(sql, period, run_id, answers)
      }
    }
  },
}

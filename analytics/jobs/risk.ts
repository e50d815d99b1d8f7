/**
 * `risk`, nightly: what each sku, merchant, region, campaign and user took on a day, against its own eight weeks before, and how concentrated it is.
 *
 * Rows have the figures of every key; a user is his made-up number in files and in tables, and the API says who that is while he is known.
 */
import { join } from "node:path"
import { defineMacros } from "../dialects/dialect.ts"
import { named, quoted } from "../duck.ts"
import { EVENTS, extractEvents } from "../extract.ts"
import type { PortableJob } from "../job.ts"
import { periodBefore } from "../periods.ts"
import { DAY_COLUMNS } from "../risk/day.ts"
import { dayFiles, makeDays } from "../risk/facts.ts"
import { FIRST_ROW_DAYS_MIN, MEASURES, PAST_DAYS, scoreDay } from "../risk/score.ts"

const RISK = join(import.meta.dir, "..", "risk")
const TIMEOUT_S = 2 * 3_600
/** The schedule sees to the last closed week, and to all since the latest published day. */
const SCHEDULED_DAYS = 7
/** Keys of a dimension that are kept for the API by each measure: as many as a page has. */
const TOP_MAX = 1_000
const STAGE_ROWS = 500
/** z is kept in ten-thousandths. */
const Z_E4 = 10_000

const back = (day: string, days: number): string => {
  let at = day
  for (let i = 0; i < days; i++) at = periodBefore(at)
  return at
}

interface Top {
  dimension: string; key: string; amount_minor: number; count: number; users: number; refund_rate_bp: number; first_day_users_bp: number | null; velocity_max: number; depth_bp: number
  z: string; support: string
}

export const risk: PortableJob = {
  name: "risk",
  period: "day",
  sources: [import.meta.path, ...["day", "score"].map((name) => join(RISK, `${name}.ts`)), ...["dialect", "duckdb"].map((name) => join(import.meta.dir, "..", "dialects", `${name}.ts`))],
  timeout_s: TIMEOUT_S,
  schedule: { kind: "day", periods_max: SCHEDULED_DAYS },

  reads: async ({ period: { period } }) => ({ days: [{ dataset: EVENTS, from: back(period, PAST_DAYS), to: period }] }),
  prepare: async (parts) => {
    await extractEvents(parts)
    await defineMacros(parts.duck)
    await makeDays(parts, back(parts.period.period, PAST_DAYS), parts.period.period)
  },

  inputs: async ({ lake, period: { period } }) => ({ inputs: { days: { files: dayFiles({ lake }, back(period, PAST_DAYS), period), columns: DAY_COLUMNS } }, rules: { day: period } }),

  run: async ({ engine, period: { period }, write }) => {
    await defineMacros(engine)
    await scoreDay(engine, period, back(period, FIRST_ROW_DAYS_MIN), "days")
    const rows = await write({ name: "risk", select: "select * from risk", key: ["dimension", "key"], sums: ["amount_minor", "count"] })
    await write({ name: "concentration", select: "select * from concentration", key: ["dimension"] })
    const { figures } = await engine.one<{ figures: string }>(`select coalesce(text_of(sum(wide(amount_minor))), '0') as figures from days where day = ${quoted(period)}`)
    const { amount_minor, count } = await engine.one<{ amount_minor: number; count: number }>("select narrow(coalesce(sum(amount_minor), 0)) as amount_minor, narrow(coalesce(sum(count), 0)) as count from risk where dimension = 'campaign'")
    const [first] = await engine.all<{ dimension: string; key: string; z_amount_e4: number }>("select dimension, key, z_amount_e4 from risk where z_amount_e4 > 0 and dimension <> 'user' order by z_amount_e4 desc, dimension, key limit 1")
    return {
      checks: [{ name: "every key of the day is scored once", left: rows.sums!["amount_minor"]!, right: figures }],
      answer: { day: period, amount_minor, count, keys: rows.rows },
      report: `${amount_minor} were redeemed on ${period} in ${count} ${count === 1 ? "redemption" : "redemptions"} of a campaign${first ? `; the ${first.dimension} ${first.key} stands out most, at z ${first.z_amount_e4 / Z_E4}` : ""}.`,
    }
  },

  stage: async ({ duck, sql, lake, run_id, outputs }) => {
    const placeOf = (name: string): string => quoted(lake.place(outputs.find((output) => output.name === name)!))
    await sql`delete from risk_rows where run_id = ${run_id}`
    await sql`delete from risk_totals where run_id = ${run_id}`
    // Users are ranked by their ids where values are equal: who they are is known in Postgres only.
    const users = await duck.all<{ user_no: number }>(`select cast(key as bigint) as user_no from read_parquet(${placeOf("risk")}) where dimension = 'user'`)
    await duck.run("create or replace temp table names (key varchar, name varchar)")
    for (let from = 0; from < users.length; from += TOP_MAX) {
      const numbers = users.slice(from, from + TOP_MAX).map(({ user_no }) => user_no)
      const rows = await sql<{ key: string; name: string | null }[]>`select user_no::text as key, user_id as name from users where user_no = any(${numbers}::integer[])`
      if (rows.length > 0) await duck.run(`insert into names values ${rows.map(({ key, name }) => `(${quoted(key)}, ${name === null ? "null" : quoted(name)})`).join(", ")}`)
    }
    const ranks = Object.entries(MEASURES).map(([measure, value]) => `row_number() over (partition by r.dimension order by ${value} desc, coalesce(names.name, r.key)) as ${measure}_place`)
    const packed = (what: string) => `to_json({${Object.keys(MEASURES).map((measure) => `${measure}: ${what}_${measure}${what === "z" ? "_e4" : ""}`).join(", ")}})::varchar`
    const top = await duck.all<Top>(`
      select dimension, key, amount_minor, count, users, refund_rate_bp, first_day_users_bp, velocity_max, depth_bp, ${packed("z")} as z, ${packed("support")} as support
      from (select r.*, ${ranks.join(", ")} from read_parquet(${placeOf("risk")}) r left join names on r.dimension = 'user' and names.key = r.key)
      where ${Object.keys(MEASURES).map((measure) => `${measure}_place <= ${TOP_MAX}`).join(" or ")} order by dimension, key`)
    for (let from = 0; from < top.length; from += STAGE_ROWS) {
      await sql`insert into risk_rows ${sql(top.slice(from, from + STAGE_ROWS).map((row) => ({ ...row, z: sql.json(JSON.parse(row.z) as Record<string, number | null>), support: sql.json(JSON.parse(row.support) as Record<string, string>), run_id, user_no: row.dimension === "user" ? Number(row.key) : null })))}`
    }
    const totals = await duck.all<{ dimension: string; share_top1_bp: number; share_top10_bp: number; hhi_bp: number }>(`select dimension, ${["share_top1_bp", "share_top10_bp", "hhi_bp"].map(named).join(", ")} from read_parquet(${placeOf("concentration")})`)
    if (totals.length > 0) await sql`insert into risk_totals ${sql(totals.map((row) => ({ ...row, run_id })))}`
  },
}

/**
 * The page of a day's risk: what stood out, and the largest of each dimension with what it was a month before.
 *
 * Users are hashed here; who that is, the API says to those who may ask.
 */
import { quoted } from "../duck.ts"
import { amountOf, BARS_MAX, barsChart, grouped } from "./charts.ts"
import type { Section } from "./page.ts"
import { changeOf, filesOf, KEYED, type Report } from "./report.ts"

const DIMENSIONS = ["sku", "merchant", "region", "campaign", "user"] as const
const OUTLIERS_MAX = 20
/** Of the hash of a user's made-up number. */
const USER_CHARS = 12
/** |z| above 3.5 is far from what was usual (Iglewicz and Hoaglin, 1993); in ten-thousandths. */
const STANDS_OUT_E4 = 35_000

const standsOut = (z_e4: number | null): boolean => z_e4 !== null && Math.abs(z_e4) > STANDS_OUT_E4

interface Row {
  readonly dimension: string; readonly key: string; readonly amount_minor: number; readonly count: number; readonly users: number; readonly refund_rate_bp: number
  readonly velocity_max: number; readonly depth_bp: number; readonly z_amount_e4: number | null; readonly ghost_minor: number | null
}
const percent = (bp: number) => ({ number: `${Math.floor(bp / 100)}.${String(bp % 100).padStart(2, "0")} %` })
const zOf = (e4: number | null) => ({ number: e4 === null ? "" : `${e4 < 0 ? "−" : ""}${Math.floor(Math.abs(e4) / 10_000)}.${String(Math.abs(e4) % 10_000).padStart(4, "0")}` })
const COLUMNS = ["key", "amount", "a month before", "redemptions", "users", "refunded", "most by one user", "depth", "z"]
const cellsOf = (row: Row) => [row.key === "" ? "(none)" : row.key, { number: amountOf(row.amount_minor) }, { number: row.ghost_minor === null ? "" : amountOf(row.ghost_minor) },
  { number: grouped(row.count) }, { number: grouped(row.users) }, percent(row.refund_rate_bp), { number: grouped(row.velocity_max) }, percent(row.depth_bp), zOf(row.z_amount_e4)]

/** The same day of the month before, or that month's last. */
export const monthBefore = (day: string): string => {
  const [year, month, date] = day.split("-").map(Number) as [number, number, number | undefined]
  const last = new Date(Date.UTC(year, month - 1, 0))
  return new Date(Date.UTC(last.getUTCFullYear(), last.getUTCMonth(), Math.min(date ?? 1, last.getUTCDate()))).toISOString().slice(0, day.length)
}

export const riskReport: Report = {
  job: "risk",
  before: monthBefore,
  reads: (run, before) => ({
    now: { files: filesOf(run, "risk"), columns: KEYED },
    then: { files: filesOf(before, "risk"), columns: { dimension: "VARCHAR", ...KEYED, amount_minor: "BIGINT" } },
    concentration: { files: filesOf(run, "concentration"), columns: KEYED },
  }),
  page: async (duck, { run, before, time_zone }) => {
    const rowsOf = (where: string, order: string, limit: number) => duck.all<Row>(`
      select n.dimension, case when n.dimension = 'user' then left(sha256(n.key), ${USER_CHARS}) else n.key end as key, n.amount_minor, n.count, n.users, n.refund_rate_bp, n.velocity_max, n.depth_bp, n.z_amount_e4, ${before ? "coalesce(t.amount_minor, 0)" : "cast(null as bigint)"} as ghost_minor
      from "now" n left join "then" t on t.dimension = n.dimension and t.key = n.key where ${where} order by ${order} limit ${limit}`)
    const sections: Section[] = []
    const outliers = await rowsOf("n.z_amount_e4 is not null", "abs(n.z_amount_e4) desc, n.dimension, n.key", OUTLIERS_MAX)
    const far = outliers.filter(({ z_amount_e4 }) => standsOut(z_amount_e4)).length
    sections.push(outliers.length === 0 ? { title: "What stands out against its own eight weeks", says: "Nothing has a past that is long enough to compare with." } : {
      title: "What stands out against its own eight weeks", says: `${far === OUTLIERS_MAX ? `At least ${far}` : far} of the keys below ${far === 1 ? "is" : "are"} far from what was usual: z beyond 3.5.`, table: { columns: ["dimension", ...COLUMNS], rows: outliers.map((row) => [row.dimension, ...cellsOf(row)]) } })
    const shares = await duck.all<{ dimension: string; share_top1_bp: number; share_top10_bp: number; hhi_bp: number; keys: number }>("select * from concentration order by dimension")
    for (const dimension of DIMENSIONS) {
      const rows = await rowsOf(`n.dimension = ${quoted(dimension)}`, "n.amount_minor desc, n.key", BARS_MAX)
      const share = shares.find((each) => each.dimension === dimension)
      sections.push({
        title: `By ${dimension}`,
        says: !share ? "Nothing was redeemed." : `${dimension === "user" ? `Users are hashed; who they are: /v1/risk/top?dimension=user&day=${run.period}. ` : ""}${share.keys > rows.length ? `The ${rows.length} largest of ${grouped(share.keys)}. ` : ""}The largest has ${percent(share.share_top1_bp).number} of the amount, the ten largest ${percent(share.share_top10_bp).number}; Herfindahl ${grouped(share.hhi_bp)} of 10 000.`,
        ...(rows.length > 0 ? { chart: barsChart(rows.map((row) => ({ key: row.key === "" ? "(none)" : row.key, value: row.amount_minor, ghost: row.ghost_minor, stands_out: standsOut(row.z_amount_e4) })), `Redeemed amount by ${dimension}`, amountOf), caption: `${before ? "Grey: a month before. " : ""}Red: z beyond 3.5.` } : {}),
        ...(rows.length > 0 ? { table: { columns: COLUMNS, rows: rows.map(cellsOf) } } : {}),
      })
    }
    const { total, count } = await duck.one<{ total: number; count: number }>("select coalesce(sum(amount_minor), 0)::bigint as total, coalesce(sum(count), 0)::bigint as count from \"now\" where dimension = 'campaign'")
    const { was } = await duck.one<{ was: number }>("select coalesce(sum(amount_minor), 0)::bigint as was from \"then\" where dimension = 'campaign'")
    return {
      title: `Risk on ${run.period}`, sentence: `${amountOf(total)} were redeemed on ${run.period}, ${changeOf(total, before ? was : undefined).replace("the period before", "a month before").replace("nothing before", "nothing a month before")}.`,
      facts: [`${grouped(count)} ${count === 1 ? "redemption" : "redemptions"} of a campaign`, `revision ${run.revision}`, `business days in ${time_zone}`], sections,
    }
  },
}

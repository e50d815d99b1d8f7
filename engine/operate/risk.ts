/** Risk: the published rows of a day, read from Postgres; a user is told by his id while he is known. */
import type { Answered } from "../answers.ts"
import { dayFault, type TopRiskAsk } from "../contract/risk.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"

/** The column by which each measure ranks. */
const COLUMNS = { amount: "amount_minor", count: "count", users: "users", refund_rate: "refund_rate_bp", depth: "depth_bp" } as const
const Z_UNIT = 10_000

interface Row {
  key: string; amount_minor: number; count: number; users: number; refund_rate_bp: number; first_day_users_bp: number | null; velocity_max: number; depth_bp: number
  z_e4: number | null; support: string
}

/** The keys of a day by a measure. */
export const topRiskWith = ({ postgres: { sql } }: Parts) => async ({ dimension, day, by = "amount", limit }: TopRiskAsk): Promise<Answered> => {
  const fault = dayFault({ day })
  if (fault) return { outcome: "request_invalid", ...fault }
  const [run] = await answeringPostgres(() => sql<{ run_id: string }[]>`select run_id from run_periods where job = 'risk' and period = ${day} and set_name = '' and run_id is not null`)
  if (!run) return { outcome: "run_unknown", day }
  const rows = await answeringPostgres(() => sql<Row[]>`
    select case when r.user_no is null then r.key else coalesce(u.user_id, '#' || r.user_no::text) end collate "C" as key, r.amount_minor, r.count, r.users, r.refund_rate_bp, r.first_day_users_bp,
      r.velocity_max, r.depth_bp, (r.z->>${by})::bigint as z_e4, r.support->>${by} as support
    from risk_rows r left join users u on u.user_no = r.user_no
    where r.run_id = ${run.run_id} and r.dimension = ${dimension} order by r.${sql(COLUMNS[by])} desc, 1 limit ${limit}`)
  const [total] = await answeringPostgres(() => sql<{ share_top1_bp: number; share_top10_bp: number; hhi_bp: number }[]>`
    select share_top1_bp, share_top10_bp, hhi_bp from risk_totals where run_id = ${run.run_id} and dimension = ${dimension}`)
  return {
    outcome: "found",
    body: {
      day, dimension, by, rows: rows.map(({ z_e4, ...row }) => ({ ...row, z: z_e4 === null ? null : z_e4 / Z_UNIT })),
      share_top1_bp: total?.share_top1_bp ?? null, share_top10_bp: total?.share_top10_bp ?? null, hhi_bp: total?.hhi_bp ?? null,
    },
  }
}

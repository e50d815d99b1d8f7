/**
 * Closes that were begun and not finished: Postgres says that a budget is closed, and its home cell has not said so yet.
 */
import { homeOf } from "../../lua/keys.ts"
import type { Parts } from "../parts.ts"
import { closeEverywhere, type Closing } from "../quota/close.ts"
import { answeringPostgres } from "../store/away.ts"

/** A close may be under way for so long before it counts as left. */
const LEFT_MS = 10_000
/** So many are taken up in one round of the worker. */
const CLOSES_MAX = 100

interface Row extends Closing { closed_in: number[] | null }

/** Finish what was left; how many that were. */
export const closeBehind = async (parts: Parts, now_ms: number): Promise<number> => {
  const rows = await answeringPostgres(() => parts.postgres.sql<Row[]>`
    select b.budget_no, b.budget_id, b.opens_ms, b.closes_ms, array_agg(s.cell) filter (where s.closed_ms is not null) as closed_in
    from budgets b left join cell_budgets s using (budget_no) where b.closed_ms <= ${now_ms - LEFT_MS} group by b.budget_no
    having count(s.closed_ms) < ${parts.cells} order by b.budget_no desc limit ${CLOSES_MAX}`)
  const left = rows.filter(({ budget_no, closed_in }) => !(closed_in ?? []).includes(homeOf(`b${budget_no}`, parts.cells)))
  for (const closing of left) await closeEverywhere(parts, closing, now_ms)
  return left.length
}

/**
 * Closes of budgets that nobody asked for by name: those of a month that was closed, those that were begun and not finished, and what came
 * back to a closed budget since.
 *
 * What must stay true: closing is repeatable, and each close is an entry of the ledger. What comes back after a close stays for a while, because
 * it may pay for a late confirm; then it goes the way of the rest.
 */
import { homeOf } from "../../lua/keys.ts"
import type { Parts } from "../parts.ts"
import { closeEverywhere, type Closing } from "../quota/close.ts"
import { answeringPostgres } from "../store/away.ts"

/** A close may be under way for so long before it counts as left. */
const LEFT_MS = 10_000
/** So many are taken up in one round of the worker. */
const CLOSES_MAX = 100
/** A budget that was closed so long ago has nothing out any more that could come back. */
const BACK_DAYS_MAX = 400
const DAY_MS = 86_400_000
/** What came back to a closed budget is left to late confirms until nothing has moved in it for so long. */
const BACK_MS = 3_600_000

interface Row extends Closing { closed_in: number[] | null }

/** Begin the close of every budget whose month's books are closed. */
const closeMonths = ({ postgres: { sql } }: Parts, now_ms: number): Promise<Closing[]> => answeringPostgres(async () => [...await sql<Closing[]>`
  update budgets b set closed_ms = ${now_ms} where budget_no in (
    select b.budget_no from budgets b join run_periods p on p.job = 'reconciliation' and p.set_name = '' and p.period = b.month and p.closed_ms is not null
    where b.closed_ms is null order by b.budget_no limit ${CLOSES_MAX})
  returning b.budget_no, b.budget_id, b.opens_ms, b.closes_ms`])

/** Closes that were begun, and their budget's home cell has not said so yet. */
const leftBehind = async ({ cells, postgres: { sql } }: Parts, now_ms: number): Promise<Closing[]> => {
  const rows = await answeringPostgres(() => sql<Row[]>`
    select b.budget_no, b.budget_id, b.opens_ms, b.closes_ms, array_agg(s.cell) filter (where s.closed_ms is not null) as closed_in
    from budgets b left join cell_budgets s using (budget_no) where b.closed_ms <= ${now_ms - LEFT_MS} group by b.budget_no
    having count(s.closed_ms) < ${cells} order by b.budget_no desc limit ${CLOSES_MAX}`)
  return rows.filter(({ budget_no, closed_in }) => !(closed_in ?? []).includes(homeOf(`b${budget_no}`, cells)))
}

/** Closed budgets that something came back to, and that have been still since. */
const cameBack = ({ postgres: { sql } }: Parts, now_ms: number): Promise<Closing[]> => answeringPostgres(async () => [...await sql<Closing[]>`
  select b.budget_no, b.budget_id, b.opens_ms, b.closes_ms from budgets b join cell_budgets s using (budget_no)
  where b.closed_ms <= ${now_ms - BACK_MS} and b.closed_ms > ${now_ms - BACK_DAYS_MAX * DAY_MS} group by b.budget_no
  having sum(s.limit_minor - s.held_minor - s.spent_minor) > 0 and (select max(e.at_ms) from budget_entries e where e.budget_no = b.budget_no) <= ${now_ms - BACK_MS}
  order by b.budget_no limit ${CLOSES_MAX}`])

/** Close what is due; how many that were. */
export const closeBehind = async (parts: Parts, now_ms: number): Promise<number> => {
  let closed = 0
  for (const due of [closeMonths, leftBehind, cameBack]) {
    for (const closing of await due(parts, now_ms)) {
      await closeEverywhere(parts, closing, now_ms)
      closed += 1
    }
  }
  return closed
}

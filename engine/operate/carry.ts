/**
 * What becomes of a month's unspent money: its close takes it out of the budget, and where the budget's policy says so it is added to the
 * budget of the month after.
 *
 *   ledger of the closed budget   closed  -X   in entry 3-1-812
 *   ledger of the next one        funded  +X   as addition carry:<closed budget>:3-1-812
 *
 * What must stay true: the giver is debited first, and nothing is carried before Postgres has that debit. Each of them is carried under its own
 * entry's name, so no repeat, no second worker and no restored Redis carries it twice; and one that has no counterpart yet is carried by whoever
 * looks next. Where the next budget is not there yet, or is none that may take it, the money waits, and nobody can spend it.
 */
import type { Fragment, Sql } from "postgres"
import { fingerprintOf, idHash } from "../../lua/keys.ts"
import { CARRY } from "../contract/budgets.ts"
import type { Log } from "../log.ts"
import { monthAfter } from "../months.ts"
import type { Parts } from "../parts.ts"
import { changeLimit } from "../quota/cut.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Budget } from "./catalogue.ts"

/** So many are carried in one round of the worker. */
const CARRIES_MAX = 100
/** A budget that was closed so long ago has been carried, or nobody has made the next month's. */
const CARRY_DAYS_MAX = 400
const DAY_MS = 86_400_000

/** Why a budget may not take what another leaves, as the end of a sentence; nothing when it may. */
export const cannotTake = (target: Pick<Budget, "line" | "month" | "currency">, { line, month, currency }: Pick<Budget, "line" | "month" | "currency">): string | undefined =>
  target.line !== line ? "is of another line"
  : target.currency !== currency ? `is in ${target.currency}`
  : target.month !== monthAfter(month) ? `is of ${target.month}` : undefined

const additionOf = (budget_id: string, { cell, epoch, n }: { cell: number; epoch: number; n: number }): string => `${CARRY}${budget_id}:${cell}-${epoch}-${n}`

/** Whether the next budget has what entry `e` took out of one: an addition under its name. The two acts are the condition of the index. */
const isCarried = (sql: Sql, closed_ms: Fragment, budget_id: Fragment): Fragment => sql`exists (
  select 1 from events t where t.act in ('funded', 'closed') and t.act = 'funded' and t.at_ms >= ${closed_ms}
    and t.ref = ${CARRY} || ${budget_id} || ':' || e.cell || '-' || e.epoch || '-' || e.n)`

/** What the closes of a budget took out of it, and how much of that the next one has. */
export const carriedOf = async ({ postgres: { sql } }: Parts, { budget_no, budget_id }: Budget, closed_ms: number): Promise<{ taken_minor: number; carried_minor: number }> => {
  const [row] = await answeringPostgres(() => sql<{ taken_minor: number; carried_minor: number }[]>`
    select coalesce(sum(-e.limit_minor), 0)::bigint as taken_minor, coalesce(sum(-e.limit_minor) filter (where ${isCarried(sql, sql`${closed_ms}`, sql`${budget_id}::text`)}), 0)::bigint as carried_minor
    from budget_entries e where e.budget_no = ${budget_no} and e.at_ms >= ${closed_ms} and e.act = 'closed' and e.limit_minor < 0`)
  return row ?? { taken_minor: 0, carried_minor: 0 }
}

interface Left { budget_no: number; cell: number; epoch: number; n: number; amount_minor: number }

/** Carry over what closes took and no next budget has yet; how many entries found their place. */
export const carryBehind = async (parts: Parts, log: Log, now_ms: number): Promise<number> => {
  const { catalogue, postgres: { sql } } = parts
  const rows = await answeringPostgres(() => sql<Left[]>`
    select e.budget_no, e.cell, e.epoch, e.n, -e.limit_minor as amount_minor
    from budgets b
      join budgets target on target.budget_id = b.carry_to and target.line = b.line and target.currency = b.currency and target.month = to_char(to_date(b.month, 'YYYY-MM') + interval '1 month', 'YYYY-MM')
      join budget_entries e on e.budget_no = b.budget_no and e.at_ms >= b.closed_ms
    where b.closed_ms > ${now_ms - CARRY_DAYS_MAX * DAY_MS} and e.act = 'closed' and e.limit_minor < 0 and not ${isCarried(sql, sql`b.closed_ms`, sql`b.budget_id`)}
    order by e.at_ms, e.budget_no limit ${CARRIES_MAX}`)
  let carried = 0
  for (const { budget_no, amount_minor, ...entry } of rows) {
    const from = await catalogue.budgetByNo(budget_no)
    const to = from?.carry_to == null ? undefined : await catalogue.budgetById(from.carry_to)
    if (!from || !to) throw new Error(`budget ${budget_no} or what it is carried to has gone`)
    const addition_id = additionOf(from.budget_id, entry), addition = idHash(`${to.budget_no}\0${addition_id}`)
    const fingerprint = fingerprintOf({ budget_id: to.budget_id, addition_id, amount_minor })
    const { budget_id, opens_ms, closes_ms } = to
    const { outcome } = await changeLimit(parts, {
      budget_no: to.budget_no, opens_ms, closes_ms, addition, fingerprint, amount_minor, payload: JSON.stringify({ budget_id, addition_id, addition, fingerprint, amount_minor }),
    }, now_ms)
    if (outcome === "funded" || outcome === "replayed") carried += 1
    else if (outcome !== "busy") log.warn(`money cannot be carried over: ${outcome}`, { budget_id: from.budget_id })
  }
  return carried
}

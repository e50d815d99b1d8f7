/**
 * The money checks that stand after every run: what each budget says of itself, what its ledger adds up to, what is open and what
 * was spent must be one and the same, to the cent.
 *
 * What must stay true: each sum comes from another place. The budget from the engine's answer (Redis), the ledger from the entries,
 * the open holds and the spent money from the redemptions and coupons themselves.
 */
import type { Sql } from "../../engine/store/postgres.ts"

/** What the checks need of an engine: its answers, its tables, and its own check. */
export interface Books {
  call(method: string, path: string): Promise<{ status: number; body: any }>
  readonly sql: Sql
  /** Every difference that the engine's own check finds between Redis and Postgres. */
  verify(): Promise<readonly unknown[]>
}

interface Sums { readonly budget_no: number; readonly budget_id: string; readonly limit_minor: number; readonly held_minor: number; readonly spent_minor: number }

/** Every budget with the sum of its ledger. */
const ledgers = (sql: Sql) => sql<Sums[]>`
  select b.budget_no, b.budget_id, coalesce(sum(e.limit_minor), 0)::bigint as limit_minor, coalesce(sum(e.held_minor), 0)::bigint as held_minor,
    coalesce(sum(e.spent_minor), 0)::bigint as spent_minor
  from budgets b left join budget_entries e using (budget_no) group by b.budget_no, b.budget_id order by b.budget_no`

/**
 * What open holds, unused coupons and confirmed redemptions come to, by budget. A redemption's head has its coupons at place 8, each with
 * its shares [budget, held, to spend, back] at place 4; states are as packed: 1 reserved, 2 confirmed, 5 and 6 refunded.
 */
const bySource = async (sql: Sql) => {
  const rows = await sql<{ budget_no: number; held_minor: number; spent_minor: number }[]>`
    with shares as (
      select d.state, (c.value->>3)::int as at_issue, (s.value->>0)::int as budget_no, (s.value->>1)::bigint as held, (s.value->>2)::bigint as spent, (s.value->>3)::bigint as back
      from redemptions d, json_array_elements(d.head->8) c, json_array_elements(c.value->4) s
    ), parts as (
      select budget_no, case when state = 1 and at_issue = 0 then held else 0 end as held_minor,
        case when state in (2, 5, 6) then spent - back else 0 end as spent_minor from shares
      union all
      select (h.value->>0)::int, (h.value->>1)::bigint, 0 from coupons c join campaigns k using (campaign_no), json_array_elements(c.holds) h
      where c.state = 2 or (c.state = 1 and k.state <> 'stopped')
    )
    select budget_no, sum(held_minor)::bigint as held_minor, sum(spent_minor)::bigint as spent_minor from parts group by budget_no`
  return new Map(rows.map((row) => [row.budget_no, row]))
}

/** What does not balance: every budget against its ledger and its sources, and Redis against Postgres. The journals must be flushed and what is due be swept. */
export const imbalances = async ({ call, sql, verify }: Books): Promise<readonly unknown[]> => {
  const sources = await bySource(sql)
  const faults: unknown[] = []
  for (const ledger of await ledgers(sql)) {
    const { body } = await call("GET", `/v1/budgets/${encodeURIComponent(ledger.budget_id)}`)
    const said = { limit_minor: body.limit_minor, held_minor: body.held_minor, spent_minor: body.spent_minor }
    const { limit_minor, held_minor, spent_minor } = ledger
    const { held_minor: open_minor = 0, spent_minor: kept_minor = 0 } = sources.get(ledger.budget_no) ?? {}
    const isOver = body.available_minor < 0 || held_minor < 0 || spent_minor < 0
    const isBalanced = body.limit_minor === body.available_minor + body.held_minor + body.spent_minor
    const isLedger = said.limit_minor === limit_minor && said.held_minor === held_minor && said.spent_minor === spent_minor
    if (isOver || !isBalanced || !isLedger || open_minor !== held_minor || kept_minor !== spent_minor) {
      faults.push({ budget_id: ledger.budget_id, said: { ...said, available_minor: body.available_minor }, ledger: { limit_minor, held_minor, spent_minor }, open_minor, kept_minor })
    }
  }
  return [...faults, ...await verify()]
}

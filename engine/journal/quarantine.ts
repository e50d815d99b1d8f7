/**
 * What lies in quarantine, and how a person settles it.
 *
 * An entry there did something in Redis that Postgres does not have. To settle it as `skip` is to say: Postgres goes on without it, and
 * the next rebuild of its cell takes from Redis what it did. Its bytes stay, with who decided that, when and why.
 */
import type { Sql } from "../store/postgres.ts"
import { textOf, type EntryId } from "./entry.ts"

/** How an entry may be settled. */
export const SETTLINGS = ["skip"] as const
export type Settling = (typeof SETTLINGS)[number]

/** So many are listed; those that are settled make room for the next. */
const LIST_MAX = 1_000

export interface Quarantined { readonly cell: number; readonly entry: string; readonly at_ms: number; readonly bytes: number; readonly reason: string }

/** What nobody has settled yet, oldest first in each cell, and how many there are in all. */
export const listQuarantined = async (sql: Sql): Promise<{ entries: Quarantined[]; total: number }> => {
  const rows = await sql<(EntryId & { cell: number; at_ms: number; bytes: number; reason: string; total: number })[]>`
    select cell, epoch, n, at_ms, length(raw) as bytes, reason, (count(*) over ())::integer as total from quarantine
    where settled_ms is null order by cell, epoch, n limit ${LIST_MAX}`
  return { entries: rows.map(({ cell, epoch, n, at_ms, bytes, reason }) => ({ cell, entry: textOf({ epoch, n }), at_ms, bytes, reason })), total: rows[0]?.total ?? 0 }
}

export interface SettleAsk { readonly cell: number; readonly id: EntryId; readonly as: Settling; readonly by: string; readonly why: string; readonly now_ms: number }
export type Settled =
  /** `left`: entries of the cell that still wait. */
  | { readonly outcome: "settled"; readonly left: number }
  | { readonly outcome: "settled_before"; readonly by: string; readonly at_ms: number }
  | { readonly outcome: "not_there" }

/** Settle one entry. The first who does it is kept. */
export const settleQuarantined = (sql: Sql, { cell, id: { epoch, n }, as, by, why, now_ms }: SettleAsk): Promise<Settled> =>
  sql.begin(async (tx): Promise<Settled> => {
    const [row] = await tx<{ settled_ms: number | null; settled_by: string | null }[]>`
      select settled_ms, settled_by from quarantine where cell = ${cell} and epoch = ${epoch} and n = ${n} for update`
    if (!row) return { outcome: "not_there" }
    if (row.settled_ms !== null) return { outcome: "settled_before", by: row.settled_by ?? "", at_ms: row.settled_ms }
    await tx`update quarantine set settled_ms = ${now_ms}, settled_as = ${as}, settled_by = ${by}, settled_why = ${why} where cell = ${cell} and epoch = ${epoch} and n = ${n}`
    const [rest] = await tx<{ left: number }[]>`select count(*)::integer as left from quarantine where cell = ${cell} and settled_ms is null`
    return { outcome: "settled", left: rest!.left }
  }) as Promise<Settled>

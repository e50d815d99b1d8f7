/**
 * Another number of cells: every user moves to the cell that his hash now names, and each cell is rebuilt.
 *
 * What must stay true:
 * - No engine is at work: an engine that counts cells otherwise would look for users where they are no longer. The caller sees to it.
 * - Nothing is flushed afterwards that was decided before: every journal is flushed first, and every cell is shut and marked.
 * - The cells' sums are counted anew from coupons and redemptions, and over all cells they come to what they were, or nothing is changed.
 * - Entries keep the cell in which they were written, and epochs go on: a new cell begins after the last epoch of all.
 * - A crash after the commit leaves cells that are marked and a Redis that says the old number, which stops every start until this
 *   is run again and finishes.
 */
import { homeOf, journalKey, quotaKey } from "../../lua/keys.ts"
import type { Log } from "../log.ts"
import type { Sql } from "../store/postgres.ts"
import { ask, type Servers } from "../store/redis.ts"
import { compareIds, textOf } from "./entry.ts"
import type { Ages } from "./expected.ts"
import { INSTALLATION_KEY } from "./gate.ts"
import { clear, type Progress, rebuildCell, shut, waitForFlush } from "./rebuild.ts"

export interface ReshardParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly log: Log
  readonly ages: Ages
  /** How long the journals are given to be flushed. */
  readonly wait_ms: number
  readonly onProgress?: (progress: Progress) => void
}

export type Resharded =
  | { readonly outcome: "resharded"; readonly cells_then: number; readonly cells: number; readonly coupons: number; readonly redemptions: number }
  /** Both stores have this number already. */
  | { readonly outcome: "unchanged"; readonly cells: number }
  | { readonly outcome: "quarantined"; readonly entries: number }
  | { readonly outcome: "unflushed"; readonly cell: number; readonly cursor: string; readonly tail: string }

type Tx = Parameters<Parameters<Sql["begin"]>[1]>[0]

/** The cell of a user's hash, as `cellOf` counts it: its first 32 bits, big endian. */
const cellInSql = (tx: Tx, hash: string, cells: number) => tx.unsafe(
  `((('x' || encode(decode(translate(left(${hash}, 6), '-_', '+/') || '==', 'base64'), 'hex'))::bit(32)::bigint) % ${cells})::integer`,
)

/** The sums over all cells, which a move of users leaves as they are. */
const totalsOf = async (tx: Tx): Promise<string> => JSON.stringify([
  await tx`select budget_no, sum(limit_minor)::text, sum(held_minor)::text, sum(spent_minor)::text from cell_budgets group by 1 order by 1`,
  await tx`select campaign_no, max(version), sum(stock)::text, sum(issued)::text, sum(revoked)::text, sum(reserved)::text, sum(redeemed)::text from cell_campaigns group by 1 order by 1`,
  await tx`select campaign_no, budget_no, sum(held_minor)::text from cell_idle group by 1, 2 having sum(held_minor) <> 0 order by 1, 2`,
])

/** Move the rows and count the sums anew, all in one transaction. */
const moveRows = async (tx: Tx, cells: number): Promise<void> => {
  const before = await totalsOf(tx)
  await tx`update coupons set cell = ${cellInSql(tx, "coupon_id", cells)}`
  await tx`update redemptions set cell = ${cellInSql(tx, "redemption_id", cells)}`
  await tx`update wallet_counts w set cell = ${cellInSql(tx, "u.user_hash", cells)} from users u where u.user_no = w.user_no`

  const budgets = await tx<{ budget_no: number; limit_minor: number; closed_ms: number | null }[]>`
    select budget_no, sum(limit_minor)::bigint as limit_minor, min(closed_ms) as closed_ms from cell_budgets group by 1`
  const campaigns = await tx<{ campaign_no: number; version: number; state: number; stock: number; issued: number; revoked: number }[]>`
    select campaign_no, max(version) as version, (array_agg(state order by version desc))[1] as state, sum(stock)::bigint as stock, sum(issued)::bigint as issued, sum(revoked)::bigint as revoked
    from cell_campaigns group by 1`
  await tx`delete from cell_idle`
  await tx`insert into cell_idle (cell, campaign_no, budget_no, held_minor)
    select c.cell, c.campaign_no, (hold ->> 0)::integer, sum((hold ->> 1)::bigint) from coupons c, json_array_elements(c.holds) hold
    where c.state = 1 and c.campaign_no not in (select campaign_no from cell_campaigns where state = 3) group by 1, 2, 3`
  await tx`delete from cell_budgets`
  await tx`insert into cell_budgets (cell, budget_no, limit_minor, held_minor, spent_minor)
    select cell, budget_no, 0, sum(held), sum(spent) from (
      select d.cell, (share ->> 0)::integer as budget_no, case when d.state = 1 then (share ->> 1)::bigint else 0 end as held,
        case when d.state in (2, 5, 6) then (share ->> 2)::bigint - (share ->> 3)::bigint else 0 end as spent
      from redemptions d, json_array_elements(d.head -> 8) held, json_array_elements(held -> 4) share
      union all select cell, budget_no, held_minor, 0 from cell_idle
    ) moved group by 1, 2`
  for (const { budget_no, limit_minor, closed_ms } of budgets) {
    await tx`insert into cell_budgets as b (cell, budget_no, limit_minor, held_minor, spent_minor, closed_ms)
      values (${homeOf(`b${budget_no}`, cells)}, ${budget_no}, ${limit_minor}, 0, 0, ${closed_ms})
      on conflict (cell, budget_no) do update set limit_minor = excluded.limit_minor, closed_ms = excluded.closed_ms`
  }
  await tx`delete from cell_campaigns`
  for (const { campaign_no, version, state, stock, issued, revoked } of campaigns) {
    const home = homeOf(`k${campaign_no}`, cells)
    await tx`insert into cell_campaigns (cell, campaign_no, version, state, stock, issued, revoked, reserved, redeemed)
      select cell, ${campaign_no}, ${version}, ${state}, case when cell = ${home} then ${stock}::bigint else 0 end, coalesce(issued, 0), coalesce(revoked, 0), coalesce(reserved, 0), coalesce(redeemed, 0)
      from generate_series(0, ${cells - 1}::integer) cell left join (
        select cell, count(*) as issued, count(*) filter (where state = 5) as revoked, count(*) filter (where state = 2) as reserved, count(*) filter (where state = 3) as redeemed
        from coupons where campaign_no = ${campaign_no} group by cell
      ) counted using (cell)`
    // A coupon whose id was forgotten and given again has one row for both: what it counted for stays with the home cell.
    await tx`update cell_campaigns set issued = issued + ${issued}::bigint - (select sum(issued) from cell_campaigns where campaign_no = ${campaign_no}),
      revoked = revoked + ${revoked}::bigint - (select sum(revoked) from cell_campaigns where campaign_no = ${campaign_no}) where campaign_no = ${campaign_no} and cell = ${home}`
  }
  const after = await totalsOf(tx)
  if (after !== before) throw new Error(`the sums over all cells would change, so nothing is: ${before} became ${after}`)
  await tx`insert into cells (cell, epoch, n, at_ms)
    select cell, (select max(epoch) from (select epoch from cells union all select epoch from epochs) all_epochs), 0, (select max(at_ms) from cells)
    from generate_series(0, ${cells - 1}::integer) cell on conflict (cell) do nothing`
  await tx`update settings set value = ${String(cells)} where key = 'cells'`
}

/** Give the installation another number of cells. No engine may be at work meanwhile. */
export const reshard = async (parts: ReshardParts, cells: number): Promise<Resharded> => {
  const { redis, sql } = parts
  const [row] = await sql<{ value: string }[]>`select value from settings where key = 'cells'`
  const inRedis = Number(await ask(redis, INSTALLATION_KEY, (node) => node.hget(INSTALLATION_KEY, "cells")) ?? 0)
  const cells_then = Number(row?.value ?? cells)
  if (cells_then === cells && inRedis === cells) return { outcome: "unchanged", cells }

  const [quarantined] = await sql<{ entries: number }[]>`select count(*)::integer as entries from quarantine where settled_ms is null`
  if (quarantined!.entries > 0) return { outcome: "quarantined", entries: quarantined!.entries }
  const most = Math.max(cells, cells_then, inRedis)
  if (cells_then !== cells) {
    for (let cell = 0; cell < cells_then; cell += 1) {
      await shut(redis, cell)
      const { cursor, tail } = await waitForFlush(parts, cell)
      if (compareIds(cursor, tail) < 0) return { outcome: "unflushed", cell, cursor: textOf(cursor), tail: textOf(tail) }
    }
    await sql.begin("read write", async (tx) => {
      await tx`select cell from cells order by cell for update`
      await moveRows(tx, cells)
    })
  }
  // All of the old cells leave before any is written anew, so that no lease is read from one that is gone.
  for (let cell = 0; cell < most; cell += 1) {
    await shut(redis, cell)
    await clear(parts, cell)
    if (cell >= cells) await ask(redis, quotaKey(cell), (node) => node.unlink(quotaKey(cell), journalKey(cell)))
  }
  let coupons = 0, redemptions = 0
  for (let cell = 0; cell < cells; cell += 1) {
    const rebuilt = await rebuildCell({ ...parts, cells, discard_unflushed: false }, cell)
    if (rebuilt.outcome !== "rebuilt") throw new Error(`cell ${cell} was not rebuilt: ${rebuilt.outcome}`)
    coupons += rebuilt.coupons
    redemptions += rebuilt.redemptions
  }
  await ask(redis, INSTALLATION_KEY, (node) => node.hset(INSTALLATION_KEY, "cells", String(cells)))
  return { outcome: "resharded", cells_then, cells, coupons, redemptions }
}

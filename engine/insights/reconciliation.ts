/**
 * The month's books as they are published: totals and classes stand with the run, keys in a table of their own.
 */
import type { Answered, Caller } from "../answers.ts"
import type { CloseReconciliationAsk, ReconciliationAsk, ReconciliationKeysAsk } from "../contract/insights.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"

interface Published { run_id: string; revision: number; answer: Record<string, unknown>; closed_ms: number | null }

const publishedOf = async ({ postgres: { sql } }: Parts, period: string, set: string): Promise<Published | undefined> => {
  const [row] = await answeringPostgres(() => sql<Published[]>`
    select r.run_id, r.revision, r.answer, p.closed_ms from run_periods p join runs r on r.run_id = p.run_id
    where p.job = 'reconciliation' and p.period = ${period} and p.set_name = ${set}`)
  return row
}

/** The month's books. */
export const getReconciliationWith = (parts: Parts) => async ({ period, set = "" }: ReconciliationAsk): Promise<Answered> => {
  const run = await publishedOf(parts, period, set)
  if (!run) return { outcome: "run_unknown", period }
  const { is_over: _, ...books } = run.answer
  return { outcome: "found", body: { run_id: run.run_id, revision: run.revision, ...books, closed: run.closed_ms !== null } }
}

interface KeyRow {
  order_id: string; coupon_id: string; budget_id: string; class: string; side: string | null; budget_minor: number; redeemed_minor: number; ordered_minor: number
  break_minor: number; carried_minor: number; age_days: number; party: string | null; of_period: string; resolved_minor: number
}

const CURSOR_PLACES = 4
/** A text that Postgres can compare with its own. */
const isComparable = (value: unknown): value is string => typeof value === "string" && !value.includes("\0")
const cursorOf = ({ order_id, coupon_id, budget_id, of_period }: KeyRow): string => Buffer.from(JSON.stringify([order_id, coupon_id, budget_id, of_period])).toString("base64url")

/** The key after which a page begins; nothing when the text is no cursor. */
const readCursor = (cursor: string): [string, string, string, string] | undefined => {
  try {
    const read: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"))
    return Array.isArray(read) && read.length === CURSOR_PLACES && read.every(isComparable) ? read as [string, string, string, string] : undefined
  } catch {
    // Whatever was sent, it is no cursor of ours.
    return undefined
  }
}

/** The keys of the month's books. */
export const listReconciliationKeysWith = (parts: Parts) => async ({ period, set = "", class: wanted, cursor, limit }: ReconciliationKeysAsk): Promise<Answered> => {
  const { sql } = parts.postgres
  const after = cursor === undefined ? undefined : readCursor(cursor)
  if (cursor !== undefined && after === undefined) return { outcome: "request_invalid", field: "cursor", detail: "cursor must be the `next` of a page." }
  const run = await publishedOf(parts, period, set)
  if (!run) return { outcome: "run_unknown", period }
  const rows = await answeringPostgres(() => sql<KeyRow[]>`
    select order_id, coupon_id, budget_id, class, side, budget_minor, redeemed_minor, ordered_minor, break_minor, carried_minor, age_days, party, of_period, resolved_minor from reconciliation_keys
    where run_id = ${run.run_id} ${wanted === undefined ? sql`` : sql`and class = ${wanted}`}
      ${after === undefined ? sql`` : sql`and (order_id, coupon_id, budget_id, of_period) > (${after[0]}, ${after[1]}, ${after[2]}, ${after[3]})`}
    order by order_id, coupon_id, budget_id, of_period limit ${limit + 1}`)
  const page = rows.slice(0, limit), last = page.at(-1)
  return {
    outcome: "found",
    body: {
      keys: page.map(({ side, coupon_id, budget_id, of_period, resolved_minor, ...row }) => ({
        ...row, coupon_id: coupon_id || null, budget_id: budget_id || null, ...(side === null ? {} : { side }), ...(of_period === "" ? {} : { of_period, resolved_minor }),
      })),
      next: rows.length > limit && last ? cursorOf(last) : null,
    },
  }
}

/** Close a month: its books are locked. */
export const closeReconciliationWith = (parts: Parts) => async ({ period }: CloseReconciliationAsk, _caller: Caller): Promise<Answered> => {
  const { sql } = parts.postgres
  const run = await publishedOf(parts, period, "")
  if (!run) return { outcome: "run_unknown", period }
  if (run.answer["is_over"] !== true) return { outcome: "period_open", period }
  const [row] = await answeringPostgres(() => sql<{ closed_ms: number }[]>`
    update run_periods set closed_ms = coalesce(closed_ms, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
    where job = 'reconciliation' and period = ${period} and set_name = '' returning closed_ms`)
  return { outcome: "changed", body: { period, run_id: run.run_id, closed_at: new Date(row?.closed_ms ?? 0).toISOString() }, hit: run.closed_ms !== null }
}

/**
 * The tables, as jobs see them: a small pool of connections, Postgres' time, and which periods are closed.
 *
 * What must stay true: a whole number comes back as a number or not at all; no host's own clock decides.
 */
import postgres, { type Sql } from "postgres"
import { periodAt, periodBefore, type PeriodKind, periodSpan } from "./periods.ts"

const CONNECTIONS_MAX = 4
/** A process at the lowest priority may wait so long for its turn to answer. */
const CONNECT_S_MAX = 20
const BIGINT_OID = 20

const wholeNumber = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is beyond 2^53-1`)
  return value
}

/** Open a pool. Nothing is sent until the first statement. */
export const openTables = (database_url: string): Sql<{ bigint: number }> => postgres(database_url, {
  max: CONNECTIONS_MAX, connect_timeout: CONNECT_S_MAX, onnotice: () => {}, connection: { application_name: "scrip-jobs" },
  types: { bigint: { to: BIGINT_OID, from: [BIGINT_OID], serialize: (value: number) => String(value), parse: wholeNumber } },
})

/** Postgres' clock in milliseconds, as SQL. */
export const NOW = "floor(extract(epoch from clock_timestamp()) * 1000)::bigint"

/** A period is closed when every cell has journalled a tick at or after its end and the cursor has passed it. */
export const isClosed = async (sql: Sql, closes_ms: number): Promise<boolean> => {
  const [row] = await sql<{ is_closed: boolean }[]>`
    select count(*) > 0 and bool_and(c.at_ms >= ${closes_ms} and exists (
      select 1 from events e where e.cell = c.cell and e.act = 'tick' and e.at_ms >= ${closes_ms})) as is_closed from cells c`
  return row?.is_closed === true
}

/**
 * The closed periods of a kind since the installation's first opening, the latest first: at most so many, or, where that is more, all after `since`, at most `since_max`
 * of them. What every cell has passed the end of, it has passed the end of all before too.
 */
export const closedPeriods = async (sql: Sql, kind: PeriodKind, zone: string, periods_max: number, since?: { readonly period: string; readonly periods_max: number }): Promise<string[]> => {
  const [born] = await sql<{ at_ms: number | null }[]>`select min(at_ms) as at_ms from epochs`
  const [now] = await sql<{ at_ms: number | null }[]>`select min(at_ms) as at_ms from cells`
  if (born?.at_ms == null || now?.at_ms == null) return []
  const birth = periodAt(born.at_ms, kind, zone)
  const isWanted = (period: string, nth: number): boolean =>
    period >= birth && (nth < periods_max || since !== undefined && period > since.period && nth < since.periods_max)
  const closed: string[] = []
  for (let period = periodBefore(periodAt(now.at_ms, kind, zone)), nth = 0; isWanted(period, nth); period = periodBefore(period), nth += 1) {
    if (closed.length > 0 || await isClosed(sql, periodSpan(period, zone).closes_ms)) closed.push(period)
  }
  return closed
}

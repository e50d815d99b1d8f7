/**
 * What a job is: a schedule and a query.
 *
 * What must stay true: a job may run twice, late or after a crash and leaves the same tables. Its schedule only wakes it;
 * which periods are closed and not yet done it asks the tables, so nothing hangs on the minute at which it was woken.
 */
import type { Sql } from "postgres"

/** What a run is given. Time is Postgres' time at the start of the run. */
export interface JobParts {
  readonly sql: Sql
  readonly now_ms: number
  readonly time_zone: string
  /** Raised when the run has taken `timeout_s`, or when the process must end. */
  readonly signal: AbortSignal
}

export interface Job {
  readonly name: string
  /** In UTC: no hour is missing or comes twice. */
  readonly cron: string
  readonly timeout_s: number
  readonly run: (parts: JobParts) => Promise<{ readonly rows: number }>
}

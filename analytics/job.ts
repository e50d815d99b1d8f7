/**
 * What a job is: inputs, a computation, checks, outputs, and how its answers become visible. One file in analytics/jobs, its `.sql`
 * beside it where that is long, and one line in analytics/jobs/index.ts.
 *
 *   prepare   bring the lake up to date                                may be left out; safe to repeat
 *   inputs    which files and rules this period is computed from       nothing is read yet: their hashes make the run's identity
 *   run       DuckDB over the inputs; writes outputs, answers checks    pure: same inputs, same bytes, with any number of threads
 *   stage     put the answers' rows into Postgres, keyed by run_id      invisible; as long as it takes; repeats overwrite
 *   (the runner publishes: one pointer moves, and what was staged under the run's id is what is read)
 *   after     effects on others, each under an id of its own            resumed until it has come to its end
 *
 * What must stay true: a run is known by job, period, set, code (`sources`), rules and inputs. The same again is the finished run; another
 * input is a revision. Anybody may be killed anywhere, and the next attempt comes to the same outputs. So `run` reads no clock, no chance
 * and no table: what it needs of Postgres, `inputs` reads into `rules` (small) or `prepare` extracts into the lake (large). Every output
 * has an order without ties. Money and counts are whole numbers in SQL.
 */
import type { Sql } from "postgres"
import type { Engine } from "./dialects/dialect.ts"
import type { Duck } from "./duck.ts"
import type { Lake, LakeFile } from "./lake.ts"
import type { Period, PeriodKind } from "./periods.ts"
import type { Progress } from "./progress.ts"

/** What is asked of a job. */
export interface Ask {
  readonly period: Period
  /** A named set of a foreign feed in place of our own; "" for none. */
  readonly set: string
  /** `--first`: there is no period before this one. */
  readonly is_first: boolean
  /** What else a request carries for this job; part of its rules where it matters. */
  readonly options: Readonly<Record<string, unknown>>
}

/** What every step is given. */
export interface JobParts extends Ask {
  readonly sql: Sql
  readonly lake: Lake
  readonly time_zone: string
  /** How far from its redemption, over a month's edge, an order may be booked; as the job has it where it is not told. */
  readonly timing_days: number | undefined
  /** The engine's API, for effects; nothing where none is known. */
  readonly api: { readonly url: string; readonly key: string } | undefined
  /** Raised when the run has taken `timeout_s`, has lost its lease, or the process must end. */
  readonly signal: AbortSignal
  /** A database within the run's limits, for `prepare` and effects too. */
  readonly duck: Duck
  /** Say how far a step is: 0 to 1 where it is known. */
  readonly progress: Progress
  /** The published run of a job for a period: its outputs may be inputs. */
  readonly published: (job: string, period: string) => Promise<PublishedRun | undefined>
}

/** A run that others may read. */
export interface PublishedRun {
  readonly run_id: string
  readonly period: string
  readonly revision: number
  readonly outputs: readonly Output[]
  readonly answer: unknown
}

/** An input by its name: `run` finds it as a view of that name. An input without files has the columns that are said here. */
export interface Input {
  readonly files: readonly LakeFile[]
  /** Columns and their types in DuckDB, in their order. Files may have more. */
  readonly columns: Readonly<Record<string, string>>
}

export interface Inputs {
  readonly inputs: Readonly<Record<string, Input>>
  /** JSON: rules, budgets, funding: all that the outputs depend on and is no file. Its hash is the run's rules hash. */
  readonly rules: unknown
  /** A reason why this period cannot be computed, as one word; the run fails with it. */
  readonly missing?: { readonly reason: string; readonly detail: string }
}

/** A file that a run has written. */
export interface Output extends LakeFile {
  readonly name: string
  /** The columns that tell one row from another: the diff of two revisions counts by them. */
  readonly key: readonly string[]
}

/** What `run` is given. Each input is a view; nothing else is to be read. */
export interface PortableWork {
  /** Where the SQL runs: DuckDB, or whatever else reads the lake. */
  readonly engine: Engine
  readonly period: Period
  readonly time_zone: string
  readonly set: string
  readonly options: Readonly<Record<string, unknown>>
  readonly rules: unknown
  readonly signal: AbortSignal
  readonly progress: Progress
  /**
   * Write an output. `order` defaults to `key`; both together must leave no ties between rows that differ. `is_sorted`: the query reads one kept
   * table, whose rows stand in that order, which DuckDB keeps: nothing is sorted again.
   */
  readonly write: (output: { readonly name: string; readonly select: string; readonly key: readonly string[]; readonly order?: string; readonly is_sorted?: boolean; readonly sums?: readonly string[] }) => Promise<Output>
}

/** What the `run` of a job that runs in DuckDB alone is given too. */
export interface Work extends PortableWork { readonly duck: Duck }

/** Two figures that were counted on different ways and must be one. */
export interface Check { readonly name: string; readonly left: string; readonly right: string }

export interface Ran {
  /** One that does not agree fails the run by its name. They are kept with the run. */
  readonly checks: readonly Check[]
  /** Why a person has to look before this is published; nothing to publish at once. */
  readonly hold?: string
  /** JSON that is kept with the run and answered by the API: totals, counts. */
  readonly answer: unknown
  /** One sentence with the number that matters, for status and reports. */
  readonly report: string
}

/** A run whose outputs are there. */
export interface Finished extends JobParts {
  readonly run_id: string
  readonly revision: number
  readonly outputs: readonly Output[]
  readonly answer: unknown
  readonly rules: unknown
}

/** Due is what one of these jobs has published, whatever the period, and again whenever it publishes anew. */
export interface Follows { readonly follows: readonly string[] }

/** What a job reads for a period: business days of datasets, both ends too, and the instant at which anything else of it changed last. */
export interface Reads {
  readonly days: readonly { readonly dataset: string; readonly from: string; readonly to: string }[]
  readonly changed_ms?: number
}

export interface Job {
  /** As it is called everywhere: `npm run job -- <name>`. */
  readonly name: string
  readonly period: PeriodKind | "month or day"
  /** Whether a named set of a foreign feed may be asked for. Others have none, and do what they do once. */
  readonly has_sets?: true
  /** The files whose text is the job's code: its own and what its outputs depend on beside the room's ground. */
  readonly sources: readonly string[]
  readonly timeout_s: number
  /**
   * Which closed periods the schedule sees to: the last so many, and all since the latest that is published (scheduler.ts). Nothing: only on demand.
   * In order: one at a time, and none while an earlier one is held or has just failed.
   * What has been published with the inputs of today is not run again.
   */
  readonly schedule?: { readonly kind: PeriodKind; readonly periods_max: number; readonly isInOrder?: true } | Follows
  /** Whether the schedule has anything to see to; yes where this is left out. */
  readonly isWanted?: (sql: Sql) => Promise<boolean>
  /** What a published period is due again for, once it lands. Nothing: a period is run again when it is asked for. */
  readonly reads?: (parts: Pick<JobParts, "sql" | "time_zone" | "period" | "set">) => Promise<Reads>
  readonly prepare?: (parts: JobParts) => Promise<void>
  readonly inputs: (parts: JobParts) => Promise<Inputs>
  readonly run: (work: Work) => Promise<Ran>
  readonly stage?: (finished: Finished) => Promise<void>
  readonly after?: (finished: Finished) => Promise<void>
}

/** A job whose `run` is written for every engine in analytics/dialects. */
export interface PortableJob extends Job { readonly run: (work: PortableWork) => Promise<Ran> }

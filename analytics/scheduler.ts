/**
 * The scheduler: a process of its own that wakes jobs, so that a long query never stands in a checkout's way.
 *
 * What must stay true: it is told everything in the first line on its standard input and lives as long as that input is
 * open, so it ends with whoever started it. One job runs once at a time over all hosts (a lock in Postgres); one that
 * fails is reported and woken again at its next time.
 */
import { Cron } from "croner"
import postgres from "postgres"
import type { Job, JobParts } from "./job.ts"
import { JOBS } from "./jobs/index.ts"

/** What the scheduler is told. */
interface Settings {
  readonly database_url: string
  readonly time_zone: string
}

const CONNECTIONS_MAX = 4
/** A run that must end has this long to notice. */
const STOP_S_MAX = 2

const say = (level: "info" | "error", msg: string, fields: Record<string, string | number> = {}): void =>
  console.error(JSON.stringify({ at: new Date().toISOString(), level, msg, ...fields }))

/** Run a job once, unless another host is at it. Returns what happened, as a word. */
export const runJob = async (job: Job, { sql, time_zone, signal }: Omit<JobParts, "now_ms">): Promise<"done" | "taken" | "failed"> => {
  const session = await sql.reserve()
  try {
    const [got] = await session<{ taken: boolean; now_ms: string }[]>`
      select pg_try_advisory_lock(hashtextextended(${`job ${job.name}`}, 0)) as taken, floor(extract(epoch from now()) * 1000) as now_ms`
    if (!got?.taken) return "taken"
    try {
      const { rows } = await job.run({ sql, time_zone, now_ms: Number(got.now_ms), signal: AbortSignal.any([signal, AbortSignal.timeout(job.timeout_s * 1000)]) })
      say("info", "a job is done", { job: job.name, rows })
      return "done"
    } catch (fault) {
      say("error", "a job has failed", { job: job.name, error: String(fault) })
      return "failed"
    } finally {
      await session`select pg_advisory_unlock(hashtextextended(${`job ${job.name}`}, 0))`
    }
  } finally {
    session.release()
  }
}

/** Wake jobs at their times until the returned function is called. */
export const schedule = (jobs: readonly Job[], { database_url, time_zone }: Settings): (() => Promise<void>) => {
  const sql = postgres(database_url, { max: CONNECTIONS_MAX, onnotice: () => {}, connection: { application_name: "scrip-jobs" } })
  const ending = new AbortController()
  const timers = jobs.map((job) => new Cron(job.cron, { name: job.name, timezone: "UTC", protect: true }, async () => {
    try {
      await runJob(job, { sql, time_zone, signal: ending.signal })
    } catch (fault) {
      say("error", "a job could not start", { job: job.name, error: String(fault) })
    }
  }))
  return async () => {
    for (const timer of timers) timer.stop()
    ending.abort()
    await sql.end({ timeout: STOP_S_MAX })
  }
}

const main = async (): Promise<void> => {
  let stop: (() => Promise<void>) | undefined
  let text = ""
  const end = async () => {
    await stop?.()
    process.exit(0)
  }
  process.on("SIGTERM", () => void end())
  process.on("SIGINT", () => void end())
  for await (const chunk of process.stdin) {
    text += String(chunk)
    if (stop === undefined && text.includes("\n")) {
      stop = schedule(JOBS, JSON.parse(text.slice(0, text.indexOf("\n"))) as Settings)
      text = ""
    }
  }
  await end()
}

if (import.meta.main) await main()

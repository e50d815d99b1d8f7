/**
 * The scheduler: a process of its own that begins runs, each in another process at the lowest priority, so that a long query never
 * stands in a checkout's way.
 *
 * What must stay true: it is told everything in the first line on its standard input and lives as long as that input is open. It asks the
 * tables what there is to do: runs that were requested, effects that a published run still owes, closed periods without a published
 * run, and published ones whose days have been given rows since. So a missed hour or a night on which clocks change costs nothing, and any number of hosts may ask: a run's lease decides.
 */
import { join } from "node:path"
import { Cron } from "croner"
import type { Sql } from "postgres"
import { lowerPriority } from "../engine/priority.ts"
import type { Follows, Job } from "./job.ts"
import { JOBS } from "./jobs/index.ts"
import { dirtyPeriods, noticeParts } from "./landed.ts"
import { openLake } from "./lake.ts"
import { dropAged, dropTemp } from "./retention.ts"
import { readSettings, type Settings } from "./settings.ts"
import { closedPeriods, NOW, openTables } from "./tables.ts"

/** In UTC: no hour is missing or comes twice. It only wakes; what is due is asked. */
const CLOSED_CRON = "*/5 * * * *"
const REQUESTED_CRON = "* * * * * *"
/** A run that must end has this long to notice. */
const STOP_S_MAX = 2
/** So many periods of a job that follows others are begun before it is asked again what is due. */
const FOLLOWED_MAX = 100
/** A closed period whose run has failed is tried again after this long. */
const FAILED_WAIT_MS = 3_600_000
/** Periods that nobody was there to run are made up for since the latest published one, however many a job looks back by itself; this many at most. */
const MISSED_MAX = { day: 92, month: 24 }
/** What is older than the installation keeps is dropped so often. */
const DROP_EVERY_MS = 86_400_000
/** What was requested or is owed and could not be carried out is tried again after this long. */
const REQUEST_WAIT_MS = 60_000

const say = (level: "info" | "error", msg: string, fields: Record<string, string | number> = {}): void =>
  console.error(JSON.stringify({ at: new Date().toISOString(), level, msg, ...fields }))

/** One thing to do, as the words of a command. */
export type Due = readonly string[]

/** The oldest of what was requested, what died while it was carried out, and what published runs still owe, but for those that wait. */
export const requestedRuns = async (sql: Sql, waiting: readonly string[] = []): Promise<Due[]> => {
  const rows = await sql<{ run_id: string }[]>`
    select r.run_id from runs r left join run_periods p on p.job = r.job and p.period = r.period and p.set_name = r.set_name
    where (r.state in ('requested', 'running') and r.requested_by is not null or r.state = 'published' and r.after_ms is null)
      and (p.lease_owner is null or p.lease_until_ms < ${sql.unsafe(NOW)}) and r.run_id <> all(${[...waiting]}::text[])
    order by r.requested_ms limit 1`
  return rows.map(({ run_id }) => ["job", "run", run_id])
}

/** The periods and sets that one of the followed jobs has published since the job itself has come to an end with them. */
const followedPeriods = async (sql: Sql, job: string, { follows }: Follows): Promise<Due[]> => {
  const rows = await sql<{ period: string; set_name: string }[]>`
    select p.period, p.set_name from run_periods p join runs r on r.run_id = p.run_id
    where p.job = any(${[...follows]})
      and r.published_ms > coalesce((select max(o.finished_ms) from runs o where o.job = ${job} and o.period = p.period and o.set_name = p.set_name and not o.is_dry), 0)
    group by p.period, p.set_name order by p.period, p.set_name limit ${FOLLOWED_MAX}`
  return rows.map(({ period, set_name }) => ["job", job, "--period", period, ...(set_name === "" ? [] : ["--set", set_name])])
}

/** The closed periods of a job that have no published run, the earliest first: months run in their order. */
export const unpublishedPeriods = async (sql: Sql, job: Job, zone: string): Promise<Due[]> => {
  if (!job.schedule || job.isWanted && !await job.isWanted(sql)) return []
  if ("follows" in job.schedule) return followedPeriods(sql, job.name, job.schedule)
  const { kind, periods_max, isInOrder } = job.schedule
  const [latest] = await sql<{ period: string | null }[]>`select max(period) as period from run_periods where job = ${job.name} and set_name = '' and run_id is not null`
  const since = latest?.period == null ? undefined : { period: latest.period, periods_max: MISSED_MAX[kind] }
  const closed = (await closedPeriods(sql, kind, zone, periods_max, since)).toReversed()
  if (closed.length === 0) return []
  const published = await sql<{ period: string }[]>`select period from run_periods where job = ${job.name} and set_name = '' and period = any(${closed}) and run_id is not null`
  const done = new Set(published.map(({ period }) => period))
  const waiting = await sql<{ period: string }[]>`
    select period from runs where job = ${job.name} and set_name = '' and period = any(${closed}) and not is_dry
      and (state = 'held' or state = 'failed' and finished_ms > ${sql.unsafe(NOW)} - ${FAILED_WAIT_MS})`
  const waits = new Set(waiting.map(({ period }) => period))
  const open = closed.filter((period) => !done.has(period))
  // One whose periods follow from each other is asked again once the first of them has ended.
  return (isInOrder ? open.slice(0, 1) : open).filter((period) => !waits.has(period)).map((period) => ["job", job.name, "--period", period])
}

/** Everything of a job that is due: what was never published, and what is published and has other inputs now. */
const duePeriods = async (sql: Sql, job: Job, zone: string): Promise<Due[]> => [
  ...await unpublishedPeriods(sql, job, zone),
  ...(await dirtyPeriods(sql, job, zone, FAILED_WAIT_MS)).map(({ period, set_name }) => ["job", job.name, "--period", period, ...(set_name === "" ? [] : ["--set", set_name])]),
]

/** Carry out one thing in a process of its own; false when it has failed. */
const carryOut = async (settings: Settings, words: Due, signal: AbortSignal): Promise<boolean> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "command.ts")], { stdin: "pipe", stdout: "pipe", stderr: "inherit", signal, killSignal: "SIGTERM", detached: true })
  lowerPriority(child.pid)
  child.stdin.write(`${JSON.stringify({ ...settings, words })}\n`)
  await child.stdin.flush()
  const [text, exit_code] = await Promise.all([new Response(child.stdout).text(), child.exited])
  if (!signal.aborted) say(exit_code === 1 ? "error" : "info", "a run has ended", { words: words.join(" "), exit_code, last: text.trimEnd().split("\n").at(-1) ?? "" })
  return exit_code !== 1
}

/** Begin runs at their times until the returned function is called. One run at a time, so that a host gives one job's memory and no more. */
export const schedule = (jobs: readonly Job[], settings: Settings): (() => Promise<void>) => {
  const sql = openTables(settings.database_url)
  const ending = new AbortController()
  let working: Promise<void> = Promise.resolve()
  /** Take turns with what is running already; a fault is said, and the next time is another. */
  const inTurn = (work: () => Promise<void>): Promise<void> => (working = working.then(async () => {
    if (ending.signal.aborted) return
    try {
      await work()
    } catch (fault) {
      if (!ending.signal.aborted) say("error", "what is due could not be asked or begun", { error: String(fault) })
    }
  }))
  /** What has failed while it was carried out, and when it is tried again: a run whose effects cannot be had now must not fill every second. */
  const waits = new Map<string, number>()
  const requested = async () => {
    for (const [run_id, until] of waits) if (performance.now() > until) waits.delete(run_id)
    for (const words of await requestedRuns(sql, [...waits.keys()])) {
      if (!await carryOut(settings, words, ending.signal)) waits.set(words.at(-1)!, performance.now() + REQUEST_WAIT_MS)
    }
  }
  const lake = openLake(settings.lake_dir)
  let dropped_at = -Infinity
  const closed = async () => {
    for (const fault of await noticeParts(sql, lake)) say("error", "the lake is not what its manifests say", { error: fault })
    for (const job of jobs) {
      for (const words of await duePeriods(sql, job, settings.time_zone)) {
        if (ending.signal.aborted) return
        await carryOut(settings, words, ending.signal)
        await requested()
      }
    }
    // Last: what is wrong with one dataset keeps no other job from its turn.
    if (performance.now() - dropped_at >= DROP_EVERY_MS) {
      const { kept_from, runs, rows, files } = await dropAged({ sql, lake, time_zone: settings.time_zone }, settings.keep_months)
      if (runs + rows + files > 0) say("info", "what is older than is kept was dropped", { kept_from, runs, rows, files })
      dropTemp(lake)
      dropped_at = performance.now()
    }
  }
  const timers = [
    new Cron(REQUESTED_CRON, { timezone: "UTC", protect: true }, () => inTurn(requested)),
    new Cron(CLOSED_CRON, { timezone: "UTC", protect: true }, () => inTurn(closed)),
  ]
  return async () => {
    for (const timer of timers) timer.stop()
    ending.abort()
    await working
    await sql.end({ timeout: STOP_S_MAX })
  }
}

if (import.meta.main) {
  let stop: (() => Promise<void>) | undefined
  const end = async () => {
    await stop?.()
    process.exit(0)
  }
  process.on("SIGTERM", () => void end())
  process.on("SIGINT", () => void end())
  stop = schedule(JOBS, await readSettings(process.stdin, () => void end()))
}

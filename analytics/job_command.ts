/**
 * `npm run job -- <name> --period P …`, `publish`, `rollback`, `status`, `diff`, `explain`: what is asked in words, and what is answered.
 *
 * What must stay true: the last line says how it ended, as JSON; 0: published (or there already), 3: held, 1: anything else.
 */
import { explainUser, type ToldMonth } from "./badges/explain.ts"
import { openDuck } from "./duck.ts"
import type { Job } from "./job.ts"
import { isPeriod, periodsBetween } from "./periods.ts"
import type { Progress } from "./progress.ts"
import { diffOutputs, type Ended, type House, movePointer, publishedRun, runAfter, runJob, runRow } from "./runner.ts"
import type { Settings } from "./settings.ts"

export interface Out {
  readonly say: (line: string) => void
  readonly progress: Progress
}

export interface Ask { readonly words: readonly string[]; readonly house: House; readonly settings: Settings; readonly signal: AbortSignal }

const SET = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
const THREADS_MAX = 256
const STATUS_ROWS_MAX = 50

const HOW = `npm run job -- <name> --period YYYY-MM|YYYY-MM-DD [--set NAME] [--dry-run] [--first] [--threads N]
npm run job -- <name> --backfill A..B [--set NAME] [--first]
npm run job -- publish|rollback RUN_ID
npm run job -- status [<name>]
npm run job -- diff RUN_ID [--against RUN_ID]
npm run job -- explain USER [--period YYYY-MM]`

interface Flags { period?: string; set?: string; backfill?: string; against?: string; run?: string; threads?: string; "dry-run"?: true; first?: true }
const VALUED = new Set(["period", "set", "backfill", "against", "run", "threads"])
const PLAIN = new Set(["dry-run", "first"])

/** Why a run was not published or rolled back, by the word that Postgres gave. */
const WHY_NOT: Readonly<Record<string, string>> = {
  run_unknown: "There is no run of this id.",
  run_not_published: "The run is not published, so there is nothing to go back from.",
  run_not_publishable: "The run is a dry run, has failed, or is not at its end: only a held one or one that was published before can be published.",
  run_without_earlier: "No run was published before this one.",
  period_closed: "The month is closed: its books stay as they are.",
}

/** Words and flags; a text where a flag is not known. */
const flagsOf = (words: readonly string[]): { names: string[]; flags: Flags } | string => {
  const names: string[] = []
  const flags: Record<string, string | true> = {}
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!
    if (!word.startsWith("--")) { names.push(word); continue }
    const [name = "", ...rest] = word.slice(2).split("=")
    if (PLAIN.has(name) && rest.length === 0) flags[name] = true
    else if (VALUED.has(name)) {
      const value = rest.length > 0 ? rest.join("=") : words[i += 1]
      if (value === undefined) return `--${name} needs a value.`
      flags[name] = value
    } else return `There is no ${word}.`
  }
  return { names, flags: flags as Flags }
}

const exitOf = (state: Ended["state"]): number => state === "held" ? 3 : state === "failed" ? 1 : 0

/** The last line: the words of the contract, and why where it was not published. */
const lastLine = ({ run_id, job, period, revision, state, outputs, reason, detail }: Ended): string =>
  JSON.stringify({ run_id, job, period, revision, state, outputs, ...(reason === undefined ? {} : { reason }), ...(detail === undefined ? {} : { detail }) })

const refused = (out: Out, detail: string, fields: Partial<Ended> = {}): number => {
  out.say(`${detail}\n\n${HOW}`)
  out.say(JSON.stringify({ run_id: null, job: fields.job ?? null, period: fields.period ?? null, revision: null, state: "failed", outputs: [], reason: "request_invalid", detail }))
  return 1
}

const kindsOf = (job: Job) => job.period === "month or day" ? ["month", "day"] as const : [job.period]

const runOne = async (house: House, job: Job, flags: Flags, period: string, out: Out): Promise<Ended> => {
  const ended = await runJob(house, job, { period, set: flags.set ?? "", is_dry: flags["dry-run"] === true, is_first: flags.first === true, options: {} })
  if (ended.report !== undefined) out.say(`${job.name} ${period}: ${ended.report}`)
  if (ended.state === "failed") out.say(`${job.name} ${period} has failed: ${ended.reason}. ${ended.detail}`)
  return ended
}

/** Carry out a run that was requested over HTTP, or what a published one still owes. */
const runRequested = async (house: House, jobs: readonly Job[], run_id: string, out: Out): Promise<number> => {
  const row = await runRow(house.sql, run_id)
  const job = jobs.find(({ name }) => name === row?.job)
  if (!row || !job) return refused(out, `There is no run ${run_id} of a job that is known here.`)
  if (row.state === "published") {
    await runAfter(house, job, row)
    out.say(JSON.stringify({ run_id, job: job.name, period: row.period, revision: row.revision, state: "published", outputs: [] }))
    return 0
  }
  const ended = await runJob(house, job, { period: row.period, set: row.set_name, is_dry: row.is_dry, is_first: row.is_first, options: row.options, run_id })
  out.say(lastLine(ended))
  return exitOf(ended.state)
}

const status = async ({ sql }: House, name: string | undefined, out: Out): Promise<number> => {
  const rows = await sql<{ run_id: string; job: string; period: string; set_name: string; state: string; revision: number | null; reason: string | null; report: string | null; is_dry: boolean }[]>`
    select run_id, job, period, set_name, state, revision, reason, report, is_dry from runs where ${name === undefined ? sql`true` : sql`job = ${name}`}
    order by requested_ms desc limit ${STATUS_ROWS_MAX}`
  for (const row of rows) {
    out.say(`${row.run_id}  ${row.job} ${row.period}${row.set_name === "" ? "" : ` set ${row.set_name}`}  ${row.state}${row.revision === null ? "" : ` revision ${row.revision}`}${row.is_dry ? " dry run" : ""}${
      row.reason === null ? "" : ` (${row.reason})`}${row.report === null ? "" : `  ${row.report}`}`)
  }
  out.say(JSON.stringify({ runs: rows.map(({ run_id, job, period, set_name, state, revision }) => ({ run_id, job, period, ...(set_name === "" ? {} : { set: set_name }), state, revision })) }))
  return 0
}

const diff = async (house: House, { memory_mb, threads }: Settings, run_id: string, against: string | undefined, out: Out): Promise<number> => {
  const row = await runRow(house.sql, run_id)
  if (!row?.outputs) return refused(out, `There is no finished run ${run_id}.`)
  // What is published is held against what it took the place of.
  const published = await publishedRun(house.sql, row.job, row.period, row.set_name)
  const other_id = against ?? (published?.run_id === run_id ? row.diff?.against ?? row.replaced : published?.run_id) ?? undefined
  const other = other_id === undefined ? undefined : await runRow(house.sql, other_id)
  if (!other?.outputs) return refused(out, other_id === undefined ? `No other run of ${row.job} ${row.period} is published or was before.` : `There is no finished run ${other_id}.`)
  if (other.job !== row.job) return refused(out, `--against must be a run of ${row.job} too: ${other_id} is one of ${other.job}.`)
  const duck = await openDuck({ memory_mb, threads, temp_dir: house.lake.temp() })
  try {
    const outputs = await diffOutputs(duck, house.lake, row.outputs, other.outputs)
    for (const each of outputs) out.say(`${each.name}: ${each.added} added, ${each.removed} removed, ${each.changed} changed; rows ${each.rows}, against ${each.rows_against}`)
    out.say(JSON.stringify({ run_id, against: other.run_id, outputs }))
    return 0
  } finally {
    duck.close()
  }
}

/** Why a user has his levels: of the month that is asked for, or the latest that is published. */
const explain = async (house: House, { memory_mb, threads }: Settings, user_id: string, asked: string | undefined, out: Out): Promise<number> => {
  if (asked !== undefined && !isPeriod(asked, "month")) return refused(out, `${asked} is no month: it must be as in 2026-10.`)
  const [row] = await house.sql<(ToldMonth & { run_id: string; period: string; report: string | null })[]>`
    select r.run_id, r.period, r.outputs, r.rules from run_periods p join runs r on r.run_id = p.run_id
    where p.job = 'badges' and p.set_name = '' and ${asked === undefined ? house.sql`true` : house.sql`p.period = ${asked}`} order by p.period desc limit 1`
  if (!row) return refused(out, asked === undefined ? "No month of badges is published." : `No run of badges ${asked} is published.`)
  const duck = await openDuck({ memory_mb, threads, temp_dir: house.lake.temp() })
  try {
    const told = await explainUser(duck, house.lake, row, user_id)
    if (!told) return refused(out, `${row.period} has nothing of this user: no row of the feed, and no level the month before. What is older than the installation keeps is gone too.`)
    if (!told.has_row) out.say(`${row.period} has no row of this user.`)
    for (const { badge_id, level, name, level_by_score, since_period, conditions } of told.badges) {
      out.say(`${badge_id}: level ${level}${name === null ? "" : ` (${name})`}${since_period === null ? "" : ` since ${since_period}`}${level_by_score === level ? "" : `, by the score alone ${level_by_score}`}`)
      for (const each of conditions) {
        out.say(`  level ${each.level}: ${each.field ?? `badge ${each.badge}`} ${each.op} ${each.threshold}: ${each.value ?? each.why} ${each.met ? "met" : "not met"}`)
      }
    }
    out.say(JSON.stringify({ run_id: row.run_id, period: row.period, user_id, ...told }))
    return 0
  } finally {
    duck.close()
  }
}

/** Carry out one command; answers the exit code. */
export const jobCommand = async ({ words, house, settings }: Ask, jobs: readonly Job[], out: Out): Promise<number> => {
  const read = flagsOf(words)
  if (typeof read === "string") return refused(out, read)
  const { names: [name, id, ...more], flags } = read
  if (more.length > 0) return refused(out, `${more[0]} is one word too many.`)
  const { threads } = flags
  if (threads !== undefined && !(/^[1-9][0-9]{0,2}$/.test(threads) && Number(threads) <= THREADS_MAX)) return refused(out, `--threads must be a whole number of 1 to ${THREADS_MAX}.`)
  const within: House = threads === undefined ? house : { ...house, threads: Number(threads) }

  if (name === "status") return status(house, id, out)
  if (name === "diff") return id === undefined ? refused(out, "diff needs a RUN_ID.") : diff(within, settings, id, flags.against, out)
  if (name === "explain") return id === undefined ? refused(out, "explain needs a USER.") : explain(within, settings, id, flags.period, out)
  if (name === "run") return id === undefined ? refused(out, "run needs a RUN_ID.") : runRequested(within, jobs, id, out)
  if (name === "publish" || name === "rollback") {
    if (id === undefined) return refused(out, `${name} needs a RUN_ID.`)
    const moved = await movePointer(within, jobs, name, id)
    if ("word" in moved) {
      const { word, asked } = moved, detail = WHY_NOT[word] ?? `It could not be done: ${word}.`
      out.say(detail)
      out.say(JSON.stringify({ run_id: id, job: asked?.job ?? null, period: asked?.period ?? null, revision: asked?.revision ?? null, state: "failed", outputs: [], reason: word, detail }))
      return 1
    }
    out.say(lastLine(moved))
    return exitOf(moved.state)
  }

  const job = jobs.find((each) => each.name === name)
  if (!job) return refused(out, `There is no job ${name ?? ""}. There are: ${jobs.map((each) => each.name).join(", ")}.`, name === undefined ? {} : { job: name })
  if (id !== undefined) return refused(out, `${id} is one word too many.`)
  if (flags.set !== undefined && !SET.test(flags.set)) return refused(out, "--set must be 1 to 64 letters, digits, dots, dashes and underscores.")
  if (flags.set !== undefined && !job.has_sets) return refused(out, `--set is of ${jobs.filter((each) => each.has_sets).map((each) => each.name).join(" and ")}: ${job.name} has no sets.`, { job: job.name })
  const [first, last, ...rest] = flags.backfill === undefined ? [flags.period, flags.period] : flags.backfill.split("..")
  if (first === undefined || last === undefined || rest.length > 0) return refused(out, "--period, or --backfill A..B, is missing.", { job: job.name })
  const kind = kindsOf(job).find((each) => isPeriod(first, each) && isPeriod(last, each))
  if (kind === undefined) return refused(out, `${first === last ? first : `${first}..${last}`} is no period of ${job.name}: it must be a ${job.period}, as in ${kindsOf(job).map((each) => each === "month" ? "2026-10" : "2026-10-31").join(" or ")}.`, { job: job.name, period: first })
  if (first > last) return refused(out, `${first} is after ${last}.`, { job: job.name })

  let worst = 0
  const periods = periodsBetween(first, last)
  for (const [i, period] of periods.entries()) {
    if (periods.length > 1) out.progress(`${job.name} ${period}`, i / periods.length)
    const ended = await runOne(within, job, flags, period, out)
    out.say(lastLine(ended))
    const exit = exitOf(ended.state)
    // The first failure is what a backfill ends with: what comes after it may build on it.
    if (exit === 1) return 1
    worst = Math.max(worst, exit)
  }
  return worst
}

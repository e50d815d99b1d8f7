/**
 * The runner: one run of one job for one period, from the lease to the published answer.
 *
 *   lease -> prepare -> identity -> (the same again? answer it) -> run -> checks -> diff -> stage -> held, or published -> after
 *
 * What must stay true: two hosts never run one period at once, because whoever runs it holds a lease in Postgres and stops when he cannot
 * push its end on. A run that dies is adopted by the next attempt, which comes to the same outputs, since these follow from code, rules and
 * inputs alone. Publishing is `publish_run` in Postgres: one transaction, one pointer. Time is Postgres' time.
 */
import { readFileSync } from "node:fs"
import { randomBytes } from "node:crypto"
import { basename } from "node:path"
import type { Sql } from "postgres"
import { type Duck, named, openDuck, quoted } from "./duck.ts"
import type { Finished, Input, Inputs, Job, JobParts, Output, PublishedRun, Work } from "./job.ts"
import { holdParts, noticeParts } from "./landed.ts"
import { canonical, type Lake, type LakeFile, sha256Of } from "./lake.ts"
import { type Period, periodSpan } from "./periods.ts"
import { type Progress, withStatements } from "./progress.ts"
import { NOW } from "./tables.ts"

/** Whoever does not push his lease on for so long is dead to the others; he pushes it on six times as often. */
const LEASE_MS = 30_000
const HEARTBEAT_MS = 5_000
/** Between two tries to get a lease that another holds. */
const LEASE_POLL_MS = 250
const RUN_ID_BYTES = 9

/** What a run needs of its process. */
export interface House {
  readonly sql: Sql
  readonly lake: Lake
  readonly time_zone: string
  readonly memory_mb: number
  readonly threads: number
  readonly timing_days?: number | undefined
  readonly api: JobParts["api"]
  readonly signal: AbortSignal
  readonly progress: Progress
}

/** What is asked of the runner. */
export interface RunAsk {
  readonly period: string
  readonly set: string
  readonly is_dry: boolean
  readonly is_first: boolean
  readonly options: Readonly<Record<string, unknown>>
  /** A run that was requested over HTTP, to be carried out under its id. */
  readonly run_id?: string
}

export interface Ended {
  readonly run_id: string
  readonly job: string
  readonly period: string
  readonly revision: number | null
  readonly state: "published" | "held" | "failed" | "already_published"
  readonly outputs: readonly { readonly name: string; readonly uri: string; readonly rows: number; readonly sha256: string }[]
  readonly reason?: string
  readonly detail?: string
  readonly report?: string
}

/** The run's lease went to another: this process was away for too long. */
export class LeaseLost extends Error { override readonly name = "LeaseLost" }
/** Two figures that must be one are two. */
export class CheckFailed extends Error { override readonly name = "CheckFailed" }
/** The run has taken more than its job allows. */
export class RunTimeout extends Error { override readonly name = "RunTimeout" }

/** A run's own row, as the runner reads it. */
export interface RunRow {
  run_id: string; job: string; period: string; set_name: string; state: string; is_dry: boolean; is_first: boolean; options: Record<string, unknown>
  reason: string | null; detail: string | null; revision: number | null; identity: string | null; outputs: Output[] | null; answer: unknown; rules: unknown
  report: string | null; requested_by: string | null; replaced: string | null; diff: { readonly against: string } | null
}

export const newRunId = (): string => randomBytes(RUN_ID_BYTES).toString("hex")

export const runRow = async (sql: Sql, run_id: string): Promise<RunRow | undefined> =>
  (await sql<RunRow[]>`select run_id, job, period, set_name, state, is_dry, is_first, options, reason, detail, revision, identity, outputs, answer, rules, report, requested_by, replaced, diff from runs where run_id = ${run_id}`)[0]

const uriOf = (lake: Lake, output: Pick<LakeFile, "path">): string => `file://${lake.place(output)}`

/** What is told of a run, in the words of the contract. */
export const endedOf = (lake: Lake, row: RunRow, state: Ended["state"]): Ended => ({
  run_id: row.run_id, job: row.job, period: row.period, revision: row.revision, state,
  outputs: (row.outputs ?? []).map((output) => ({ name: output.name, uri: uriOf(lake, output), rows: output.rows, sha256: output.sha256 })),
  ...(row.reason === null ? {} : { reason: row.reason }), ...(row.detail === null ? {} : { detail: row.detail }), ...(row.report === null ? {} : { report: row.report }),
})

interface Lease { readonly signal: AbortSignal; readonly owner: string; release(): Promise<void> }

/** Take the lease of a period, waiting for whoever holds it. */
const takeLease = async ({ sql, signal, progress }: House, job: string, period: string, set: string): Promise<Lease> => {
  const owner = newRunId()
  const lost = new AbortController()
  await sql`insert into run_periods (job, period, set_name) values (${job}, ${period}, ${set}) on conflict do nothing`
  for (;;) {
    signal.throwIfAborted()
    const got = await sql`
      update run_periods set lease_owner = ${owner}, lease_until_ms = ${sql.unsafe(NOW)} + ${LEASE_MS}
      where job = ${job} and period = ${period} and set_name = ${set} and (lease_owner is null or lease_until_ms < ${sql.unsafe(NOW)}) returning 1`
    if (got.length > 0) break
    progress("waiting for another host")
    await Bun.sleep(LEASE_POLL_MS)
  }
  const beat = setInterval(() => void (async () => {
    const kept = await sql`
      update run_periods set lease_until_ms = ${sql.unsafe(NOW)} + ${LEASE_MS}
      where job = ${job} and period = ${period} and set_name = ${set} and lease_owner = ${owner} returning 1`
    if (kept.length === 0) lost.abort(new LeaseLost(`${job} ${period} went to another host`))
  })().catch(() => undefined), HEARTBEAT_MS)
  return {
    signal: lost.signal, owner,
    release: async () => {
      clearInterval(beat)
      await sql`update run_periods set lease_owner = null, lease_until_ms = null where job = ${job} and period = ${period} and set_name = ${set} and lease_owner = ${owner}`
    },
  }
}

/**
 * The row of this attempt. Whoever holds the lease finds only dead runs beside him: one that the command or the schedule began is adopted,
 * one that was requested is put back for whoever carries out requests.
 */
const beginRun = async (sql: Sql, job: string, ask: RunAsk, run_id: string): Promise<string> => sql.begin(async (tx) => {
  const dead = await tx<{ run_id: string; requested_by: string | null; is_dry: boolean }[]>`
    select run_id, requested_by, is_dry from runs where job = ${job} and period = ${ask.period} and set_name = ${ask.set} and state in ('running', 'ready') and run_id <> ${run_id} order by requested_ms for update`
  const adopted = ask.run_id === undefined ? dead.find((each) => each.requested_by === null && each.is_dry === ask.is_dry)?.run_id : undefined
  for (const each of dead) {
    if (each.run_id === adopted) continue
    if (each.requested_by !== null) await tx`update runs set state = 'requested' where run_id = ${each.run_id}`
    else await tx`update runs set state = 'failed', reason = 'crashed', detail = 'Its process ended before it did.' where run_id = ${each.run_id}`
  }
  const mine = adopted ?? run_id
  await tx`
    insert into runs (run_id, job, period, set_name, state, is_dry, is_first, options, requested_ms, started_ms)
    values (${mine}, ${job}, ${ask.period}, ${ask.set}, 'running', ${ask.is_dry}, ${ask.is_first}, ${canonical(ask.options)}::text::json, ${tx.unsafe(NOW)}, ${tx.unsafe(NOW)})
    on conflict (run_id) do update set state = 'running', started_ms = ${tx.unsafe(NOW)}, is_first = excluded.is_first, options = excluded.options, reason = null, detail = null`
  return mine
})

/** The hash of a job's code: the text of its sources, whatever machine they lie on. */
const codeHash = (job: Job): string => sha256Of(job.sources.map((path) => [basename(path), sha256Of(readFileSync(path, "utf8"))]))

const hashesOf = (job: Job, ask: Pick<RunAsk, "period" | "set">, { inputs, rules }: Inputs) => {
  const code_sha256 = codeHash(job), rules_sha256 = sha256Of(rules)
  const inputs_sha256 = sha256Of(Object.entries(inputs).map(([name, { files }]) => [name, files.map(({ sha256 }) => sha256)]).sort(([a], [b]) => String(a) < String(b) ? -1 : 1))
  return { code_sha256, rules_sha256, inputs_sha256, identity: sha256Of([job.name, ask.period, ask.set, code_sha256, rules_sha256, inputs_sha256]) }
}

/** Make each input a view of its name. */
export const showInputs = async (duck: Duck, lake: Lake, inputs: Readonly<Record<string, Input>>): Promise<void> => {
  for (const [name, { files, columns }] of Object.entries(inputs)) {
    const source = files.length === 0
      ? `select ${Object.entries(columns).map(([column, type]) => `null::${type} as ${named(column)}`).join(", ")} where false`
      : `select * from read_parquet([${files.map((file) => quoted(lake.place(file))).join(", ")}], union_by_name = true)`
    await duck.run(`create or replace view ${named(name)} as ${source}`)
  }
}

const folderOf = (job: string, period: string, set: string, identity: string): string =>
  `outputs/${job}/${period}${set === "" ? "" : `@${set}`}/${identity.slice(0, 16)}`

interface OutputDiff { readonly name: string; readonly rows: number; readonly rows_against: number; readonly added: number; readonly removed: number; readonly changed: number }

/** What differs between two runs' outputs, in rows by their keys. */
export const diffOutputs = async (duck: Duck, lake: Lake, ours: readonly Output[], theirs: readonly Output[]): Promise<OutputDiff[]> => {
  const diffs: OutputDiff[] = []
  for (const output of ours) {
    const other = theirs.find(({ name }) => name === output.name)
    const base = { name: output.name, rows: output.rows, rows_against: other?.rows ?? 0 }
    if (!other || other.sha256 === output.sha256) {
      diffs.push({ ...base, added: other ? 0 : output.rows, removed: 0, changed: 0 })
      continue
    }
    const columnsOf = async (file: LakeFile) => (await duck.all<{ column_name: string }>(`describe select * from read_parquet(${quoted(lake.place(file))})`)).map(({ column_name }) => column_name)
    const theirColumns = new Set(await columnsOf(other))
    const values = (await columnsOf(output)).filter((column) => theirColumns.has(column) && !output.key.includes(column))
    const isChanged = values.length === 0 ? "false" : values.map((column) => `a.${named(column)} is distinct from b.${named(column)}`).join(" or ")
    const counted = await duck.one<{ added: number; removed: number; changed: number }>(`
      select count(*) filter (where b.is_there is null) as added, count(*) filter (where a.is_there is null) as removed,
        count(*) filter (where a.is_there and b.is_there and (${isChanged})) as changed
      from (select *, true as is_there from read_parquet(${quoted(lake.place(output))})) a
      full join (select *, true as is_there from read_parquet(${quoted(lake.place(other))})) b
      on ${output.key.map((column) => `a.${named(column)} is not distinct from b.${named(column)}`).join(" and ")}`)
    diffs.push({ ...base, ...counted })
  }
  return diffs
}

/** The published run of a period, or nothing. */
export const publishedRun = async (sql: Sql, job: string, period: string, set: string): Promise<PublishedRun | undefined> => {
  const [row] = await sql<{ run_id: string; period: string; revision: number; outputs: Output[]; answer: unknown }[]>`
    select r.run_id, r.period, r.revision, r.outputs, r.answer from run_periods p join runs r on r.run_id = p.run_id
    where p.job = ${job} and p.period = ${period} and p.set_name = ${set}`
  return row
}

/** A fault as a word and a sentence. */
const reasonOf = (fault: unknown): { reason: string; detail: string } => {
  const detail = fault instanceof Error ? fault.message : String(fault)
  const name = fault instanceof Error ? fault.name : "Fault"
  const word = name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase()
  return { reason: ["error", "type_error", "range_error"].includes(word) ? "fault" : word, detail: detail.slice(0, 2_000) }
}

const publish = async (sql: Sql, run_id: string): Promise<string> => {
  const [row] = await sql.unsafe<{ word: string }[]>(`select publish_run($1, ${NOW}) as word`, [run_id])
  return row?.word ?? "run_unknown"
}

/** The parts of a run outside its lease: for effects of a run that was published elsewhere. */
const partsOf = (house: House, duck: Duck, ask: Pick<RunAsk, "set" | "is_first" | "options">, period: Period, signal: AbortSignal): JobParts => ({
  sql: house.sql, lake: house.lake, time_zone: house.time_zone, timing_days: house.timing_days, api: house.api, progress: house.progress, duck, signal,
  period, set: ask.set, is_first: ask.is_first, options: ask.options,
  published: (name, wanted) => publishedRun(house.sql, name, wanted, ask.set),
})

const duckOf = (house: House): Promise<Duck> => openDuck({ memory_mb: house.memory_mb, threads: house.threads, temp_dir: house.lake.temp() })

/** What follows from publishing, until it has come to its end; repeats are safe. */
export const runAfter = async (house: House, job: Job, row: RunRow): Promise<void> => {
  if (job.after) {
    const duck = await duckOf(house)
    try {
      const parts = partsOf(house, duck, { set: row.set_name, is_first: row.is_first, options: row.options }, periodSpan(row.period, house.time_zone), house.signal)
      await job.after({ ...parts, run_id: row.run_id, revision: row.revision ?? 0, outputs: row.outputs ?? [], answer: row.answer, rules: row.rules })
    } finally {
      duck.close()
    }
  }
  await house.sql`update runs set after_ms = ${house.sql.unsafe(NOW)} where run_id = ${row.run_id} and state = 'published'`
}

/** Run a job for a period. Answers how it ended; a fault of the job is an end too, and is kept with the run. */
export const runJob = async (given: House, job: Job, ask: RunAsk): Promise<Ended> => {
  const period = periodSpan(ask.period, given.time_zone)
  const lease = await takeLease(given, job.name, ask.period, ask.set)
  let duck: Duck | undefined
  const steps = withStatements(given.progress, () => duck)
  const house: House = { ...given, progress: steps.progress }
  const { sql, lake, progress } = house
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(new RunTimeout(`${job.name} has taken more than ${job.timeout_s} s`)), job.timeout_s * 1000)
  const signal = AbortSignal.any([house.signal, lease.signal, late.signal])
  let run_id = ask.run_id ?? newRunId()
  try {
    run_id = await beginRun(sql, job.name, ask, run_id)
    const run = duck = await duckOf(house)
    signal.addEventListener("abort", () => run.interrupt(), { once: true })
    const parts = partsOf(house, duck, ask, period, signal)
    if (job.prepare) {
      progress("bringing the lake up to date")
      await job.prepare(parts)
    }
    await noticeParts(sql, lake)
    if (job.reads) await holdParts(sql, lake, (await job.reads(parts)).days)
    const [looked] = await sql<{ at_ms: number }[]>`select ${sql.unsafe(NOW)} as at_ms`
    const look = () => ask.is_dry ? undefined : sql`update run_periods set looked_ms = ${looked!.at_ms} where job = ${job.name} and period = ${ask.period} and set_name = ${ask.set}`
    const inputs = await job.inputs(parts)
    if (inputs.missing) return await endFailed(house, run_id, inputs.missing)
    const hashes = hashesOf(job, ask, inputs)
    const same = await sameRun(sql, job.name, ask, hashes.identity, run_id)
    // Where one of its files is gone it is written again: the same inputs, the same bytes.
    if (same && (same.outputs ?? []).every(lake.has)) {
      await look()
      return await answerSame(house, job, ask, run_id, same)
    }
    progress("checking what is read")
    await lake.verify(Object.values(inputs.inputs).flatMap(({ files }) => files), signal)

    await sql`
      update runs set identity = ${hashes.identity}, code_sha256 = ${hashes.code_sha256}, rules_sha256 = ${hashes.rules_sha256}, inputs_sha256 = ${hashes.inputs_sha256},
        inputs = ${canonical(Object.fromEntries(Object.entries(inputs.inputs).map(([name, { files }]) => [name, files.map(({ path, rows, sha256 }) => ({ path, rows, sha256 }))])))}::text::json,
        rules = ${canonical(inputs.rules)}::text::json
      where run_id = ${run_id}`
    const folder = folderOf(job.name, ask.period, ask.set, hashes.identity)
    const outputs: Output[] = []
    const work: Work = {
      engine: duck, duck, period, time_zone: house.time_zone, set: ask.set, options: ask.options, rules: inputs.rules, signal, progress,
      write: async ({ name, select, key, order = key.map(named).join(", "), is_sorted = false, sums = [] }) => {
        signal.throwIfAborted()
        progress(`writing ${name}`)
        const output: Output = { ...await lake.write(run, { select, ...(is_sorted ? {} : { order }), folder, name, sums }), name, key }
        outputs.push(output)
        return output
      },
    }
    await showInputs(duck, lake, inputs.inputs)
    progress("computing")
    const ran = await job.run(work)
    signal.throwIfAborted()
    const broken = ran.checks.find(({ left, right }) => left !== right)
    if (broken) {
      await sql`update runs set checks = ${canonical(ran.checks)}::text::json, outputs = ${canonical(outputs)}::text::json, answer = ${canonical(ran.answer)}::text::json where run_id = ${run_id}`
      throw new CheckFailed(`${broken.name}: ${broken.left} is not ${broken.right}`)
    }
    if (same) {
      const other = (same.outputs ?? []).find(({ name, sha256 }) => outputs.find((output) => output.name === name)?.sha256 !== sha256)
      if (other) throw new CheckFailed(`${other.path} is gone and was written again as another: ${outputs.find(({ name }) => name === other.name)?.sha256} is not ${other.sha256}`)
      await look()
      return await answerSame(house, job, ask, run_id, same)
    }

    const before = await publishedRun(sql, job.name, ask.period, ask.set)
    progress("comparing")
    const diff = before ? { against: before.run_id, outputs: await diffOutputs(duck, lake, outputs, before.outputs) } : null
    const [last] = await sql<{ revision: number | null }[]>`select max(revision) as revision from runs where job = ${job.name} and period = ${ask.period} and set_name = ${ask.set} and not is_dry`
    const revision = (last?.revision ?? 0) + 1
    const finished: Finished = { ...parts, run_id, revision, outputs, answer: ran.answer, rules: inputs.rules }
    if (job.stage && !ask.is_dry) {
      progress("staging")
      await job.stage(finished)
    }
    signal.throwIfAborted()
    const hold = ask.is_dry ? "dry_run" : ran.hold
    // Only who still holds the lease may say that the run is ready.
    const told = await sql`
      update runs set state = ${hold === undefined ? "ready" : "held"}, reason = ${hold ?? null}, revision = ${revision}, finished_ms = ${sql.unsafe(NOW)},
        outputs = ${canonical(outputs.map((output) => ({ ...output, uri: uriOf(lake, output) })))}::text::json, checks = ${canonical(ran.checks)}::text::json, answer = ${canonical(ran.answer)}::text::json, report = ${ran.report},
        diff = ${diff === null ? null : canonical(diff)}::text::json
      where run_id = ${run_id} and exists (
        select 1 from run_periods where job = ${job.name} and period = ${ask.period} and set_name = ${ask.set} and lease_owner = ${lease.owner}) returning 1`
    if (told.length === 0) throw new LeaseLost(`${job.name} ${ask.period} went to another host`)
    await look()
    if (hold !== undefined) return endedOf(lake, (await runRow(sql, run_id))!, "held")
    return await publishAndFollow(house, job, run_id, "published")
  } catch (fault) {
    const why = signal.aborted && signal.reason instanceof Error ? signal.reason : fault
    return await endFailed(house, run_id, reasonOf(why))
  } finally {
    clearTimeout(timer)
    steps.end()
    duck?.close()
    await lease.release()
  }
}

const endFailed = async ({ sql, lake }: House, run_id: string, { reason, detail }: { reason: string; detail: string }): Promise<Ended> => {
  await sql`update runs set state = 'failed', reason = ${reason}, detail = ${detail}, finished_ms = ${sql.unsafe(NOW)} where run_id = ${run_id} and state <> 'published'`
  return endedOf(lake, (await runRow(sql, run_id))!, "failed")
}

/** A finished run of this identity whose outputs are still there: a dry one counts for a dry ask only. */
const sameRun = async (sql: Sql, job: string, ask: RunAsk, identity: string, run_id: string): Promise<RunRow | undefined> => {
  const [row] = await sql<{ run_id: string }[]>`
    select run_id from runs where job = ${job} and period = ${ask.period} and set_name = ${ask.set} and identity = ${identity} and run_id <> ${run_id}
      and (state = 'published' or not is_dry and state in ('held', 'superseded') or is_dry and state = 'held' and ${ask.is_dry})
    order by state = 'published' desc, is_dry, revision desc limit 1`
  return row && await runRow(sql, row.run_id)
}

const publishAndFollow = async (house: House, job: Job, run_id: string, state: Ended["state"]): Promise<Ended> => {
  const word = await publish(house.sql, run_id)
  if (word !== "published" && word !== "already_published") return endFailed(house, run_id, { reason: word, detail: `The run could not be published: ${word}.` })
  return follow(house, job, (await runRow(house.sql, run_id))!, state)
}

/** What follows from publishing. Where that breaks the run is published all the same, with the reason beside it: the scheduler goes on with what is owed. */
const follow = async (house: House, job: Job, row: RunRow, state: Ended["state"]): Promise<Ended> => {
  house.progress("what follows")
  try {
    await runAfter(house, job, row)
  } catch (fault) {
    return { ...endedOf(house.lake, row, state), ...reasonOf(fault) }
  }
  return endedOf(house.lake, row, state)
}

/** The same inputs again: the finished run is the answer, published anew where another has taken its place meanwhile. */
const answerSame = async (house: House, job: Job, ask: RunAsk, run_id: string, same: RunRow): Promise<Ended> => {
  const { sql, lake } = house
  if (ask.run_id === undefined) await sql`delete from runs where run_id = ${run_id}`
  else await sql`update runs set state = 'already_published', same_as = ${same.run_id}, revision = ${same.revision}, finished_ms = ${sql.unsafe(NOW)} where run_id = ${run_id}`
  if (same.state === "held") return endedOf(lake, same, "held")
  if (same.state === "superseded" && !ask.is_dry) return publishAndFollow(house, job, same.run_id, "published")
  return endedOf(lake, same, "already_published")
}

/** Publish a held or superseded run, or go back from a published one to the run before it. */
export const movePointer = async (house: House, jobs: readonly Job[], act: "publish" | "rollback", run_id: string): Promise<Ended | { readonly word: string; readonly asked?: RunRow }> => {
  const { sql } = house
  const asked = await runRow(sql, run_id)
  if (!asked) return { word: "run_unknown" }
  const [row] = await sql.unsafe<{ word: string }[]>(`select ${act}_run($1, ${NOW}) as word`, [run_id])
  const word = row?.word ?? "run_unknown"
  if (word !== "published" && word !== "already_published") return { word, asked }
  const moved = (await runRow(sql, act === "publish" ? run_id : asked.replaced ?? run_id))!
  const job = jobs.find(({ name }) => name === asked.job)
  // Whoever published another meanwhile sees to what follows from that.
  return job && word === "published" && moved.state === "published" ? follow(house, job, moved, word) : endedOf(house.lake, moved, word)
}

/**
 * Runs of jobs over HTTP: asked for, looked at, published and rolled back. The jobs process carries them out; nothing is computed here.
 *
 * What must stay true: publishing and rolling back are `publish_run` and `rollback_run` in Postgres, the same that the jobs call. Whoever
 * publishes what is held for sign-off must have the right to sign.
 */
import { randomBytes } from "node:crypto"
import { AFTER_INVALID, type Answered, type Caller } from "../answers.ts"
import type { CreateRunAsk, DiffRunAsk, ListRunsAsk, RunAnswer, RunAsk } from "../contract/insights.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"

const RUN_ID_BYTES = 9

interface StoredOutput { name: string; path: string; rows: number; sha256: string; uri?: string }
interface Row {
  run_id: string; job: string; period: string; set_name: string; state: RunAnswer["state"]; is_dry: boolean; revision: number | null; reason: string | null; detail: string | null
  report: string | null; same_as: string | null; replaced: string | null; code_sha256: string | null; rules_sha256: string | null; inputs_sha256: string | null
  outputs: StoredOutput[] | null; checks: RunAnswer["checks"] | null; answer: unknown; diff: { against: string; outputs: Difference[] } | null
  requested_ms: number; started_ms: number | null; finished_ms: number | null; published_ms: number | null
}
interface Difference { name: string; rows: number; rows_against: number; added: number; removed: number; changed: number }

const COLUMNS = ["run_id", "job", "period", "set_name", "state", "is_dry", "revision", "reason", "detail", "report", "same_as", "replaced", "code_sha256", "rules_sha256", "inputs_sha256",
  "outputs", "checks", "answer", "diff", "requested_ms", "started_ms", "finished_ms", "published_ms"]

const rowOf = async ({ postgres: { sql } }: Parts, run_id: string): Promise<Row | undefined> => {
  const [row] = await answeringPostgres(() => sql<Row[]>`select ${sql(COLUMNS)} from runs where run_id = ${run_id}`)
  return row
}

const instant = (name: string, at_ms: number | null) => at_ms === null ? {} : { [name]: new Date(at_ms).toISOString() }
const said = (name: string, value: unknown) => value === null || value === undefined ? {} : { [name]: value }

const answerOf = (row: Row, same?: Row): object => ({
  run_id: row.run_id, job: row.job, period: row.period, ...(row.set_name === "" ? {} : { set: row.set_name }), dry_run: row.is_dry, revision: row.revision, state: row.state,
  ...said("reason", row.reason), ...said("detail", row.detail), ...said("report", row.report ?? same?.report), ...said("same_as", row.same_as),
  ...said("code_sha256", row.code_sha256), ...said("rules_sha256", row.rules_sha256), ...said("inputs_sha256", row.inputs_sha256),
  outputs: (row.outputs ?? same?.outputs ?? []).map(({ name, path, uri, rows, sha256 }) => ({ name, uri: uri ?? path, rows, sha256 })),
  checks: row.checks ?? same?.checks ?? [], ...said("answer", row.answer ?? same?.answer),
  requested_at: new Date(row.requested_ms).toISOString(), ...instant("started_at", row.started_ms), ...instant("finished_at", row.finished_ms), ...instant("published_at", row.published_ms),
})

/** A run with what stands in the run that it repeats. */
const wholeAnswer = async (parts: Parts, row: Row): Promise<object> => answerOf(row, row.same_as === null ? undefined : await rowOf(parts, row.same_as))

/** Ask for a run. */
export const createRunWith = (parts: Parts) => async ({ job, period, set = "", dry_run = false, first = false }: CreateRunAsk, caller: Caller): Promise<Answered> => {
  const run_id = randomBytes(RUN_ID_BYTES).toString("hex")
  // Jobs tell the time by Postgres, and these rows are theirs.
  await answeringPostgres(() => parts.postgres.sql`
    insert into runs (run_id, job, period, set_name, state, is_dry, is_first, requested_by, requested_ms)
    values (${run_id}, ${job}, ${period}, ${set}, 'requested', ${dry_run}, ${first}, ${caller.key_id}, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)`)
  return { outcome: "accepted", body: { run_id } }
}

/** One run. */
export const getRunWith = (parts: Parts) => async ({ run_id }: RunAsk): Promise<Answered> => {
  const row = await rowOf(parts, run_id)
  return row ? { outcome: "found", body: await wholeAnswer(parts, row) } : { outcome: "run_unknown", run_id }
}

/** Where a page of runs ended: when the last was asked for, and which it was. */
const RUN_PLACE = /^(\d{1,15})-(\S+)$/

/** Runs, the latest first. */
export const listRunsWith = (parts: Parts) => async ({ job, period, set, limit, after }: ListRunsAsk): Promise<Answered> => {
  const { sql } = parts.postgres
  const [, before_ms, before_id = ""] = RUN_PLACE.exec(after ?? "") ?? []
  if (after !== undefined && before_ms === undefined) return AFTER_INVALID
  const rows = await answeringPostgres(() => sql<Row[]>`
    select ${sql(COLUMNS)} from runs where true ${job === undefined ? sql`` : sql`and job = ${job}`} ${period === undefined ? sql`` : sql`and period = ${period}`}
      ${set === undefined ? sql`` : sql`and set_name = ${set}`} ${after === undefined ? sql`` : sql`and (requested_ms, run_id) < (${Number(before_ms)}, ${before_id})`}
    order by requested_ms desc, run_id desc limit ${limit + 1}`)
  const page = rows.slice(0, limit), last = page.at(-1)
  return { outcome: "found", body: { items: await Promise.all(page.map((row) => wholeAnswer(parts, row))), next: rows.length > limit && last ? `${last.requested_ms}-${last.run_id}` : null } }
}

const NO = ["run_unknown", "run_not_published", "run_not_publishable", "run_without_earlier", "period_closed"] as const

const moved = async (parts: Parts, act: "publish" | "rollback", { run_id }: RunAsk, caller: Caller): Promise<Answered> => {
  const { sql } = parts.postgres
  const row = await rowOf(parts, run_id)
  if (!row) return { outcome: "run_unknown", run_id }
  if (act === "publish" && row.state === "held" && !caller.scopes.includes("approve")) return { outcome: "scope_missing", scopes: ["approve"] }
  const [reply] = await answeringPostgres(() => sql<{ word: string }[]>`select ${sql(`${act}_run`)}(${run_id}, floor(extract(epoch from clock_timestamp()) * 1000)::bigint) as word`)
  const no = NO.find((word) => word === reply?.word)
  if (no !== undefined) return { outcome: no, run_id, state: row.state }
  // Whoever publishes another run of the period at the same time is answered with his own: of the two, one says superseded.
  const now = await rowOf(parts, act === "publish" ? run_id : row.replaced ?? run_id)
  if (!now) throw new Error(`${run_id} was moved and is not there`)
  return { outcome: "changed", body: await wholeAnswer(parts, now), hit: reply?.word === "already_published" }
}

/** Publish a run that is held or was published before. */
export const publishRunWith = (parts: Parts) => (ask: RunAsk, caller: Caller): Promise<Answered> => moved(parts, "publish", ask, caller)
/** Go back to the run before. */
export const rollbackRunWith = (parts: Parts) => (ask: RunAsk, caller: Caller): Promise<Answered> => moved(parts, "rollback", ask, caller)

/** What differs between two runs: their outputs, and what each answers. Rows are counted where the runs were compared when this one ended. */
export const diffRunWith = (parts: Parts) => async ({ run_id, against }: DiffRunAsk): Promise<Answered> => {
  const row = await rowOf(parts, run_id)
  if (!row) return { outcome: "run_unknown", run_id }
  const other_id = against ?? row.diff?.against ?? row.replaced ?? undefined
  const other = other_id === undefined ? undefined : await rowOf(parts, other_id)
  if (other_id !== undefined && !other) return { outcome: "run_unknown", run_id: other_id }
  if (other && other.job !== row.job) return { outcome: "request_invalid", field: "against", detail: `against must be a run of ${row.job} too: ${other_id} is one of ${other.job}.` }
  const counted = row.diff?.against === other_id ? row.diff?.outputs ?? [] : []
  return {
    outcome: "found",
    body: {
      run_id, against: other_id ?? null,
      outputs: (row.outputs ?? []).map(({ name, rows, sha256 }) => {
        const theirs = other?.outputs?.find((output) => output.name === name)
        const count = counted.find((each) => each.name === name)
        const is_same = theirs?.sha256 === sha256
        return {
          name, rows, rows_against: theirs?.rows ?? 0, is_same,
          ...(count ? { added: count.added, removed: count.removed, changed: count.changed } : is_same ? { added: 0, removed: 0, changed: 0 } : {}),
        }
      }),
      ...said("answer", row.answer), ...said("answer_against", other?.answer),
    },
  }
}

/**
 * The rights of a published month, issued through the engine's own API.
 *
 * What must stay true: a right is known by its request_id, so that no attempt, run or claim gives it twice. What has been asked for is kept per
 * file, so that a run that was cut off goes on; what was refused for good is listed for `badge_compensation`; a corrected revision asks only for
 * what the run that it replaced did not ask for; and a run whose place another has taken, by a revision or a rollback, asks for nothing more.
 */
import type { Sql } from "postgres"
import { quoted } from "../duck.ts"
import type { Duck } from "../duck.ts"
import type { Finished, JobParts, Output } from "../job.ts"

/** One right: a line of the engine's bulk issue, and what it is of. */
export interface RightRow { readonly user_id: string; readonly badge_id: string; readonly level: number; readonly campaign_id: string; readonly request_id: string }

/** Rights in one call: a sixth of a second of work. The engine has few of them under way at a time, so a checkout is never behind many of them. */
const CALL_RIGHTS = 400
/**
 * Calls at a time: while a job of the lowest priority waits for its turn to read the answers of one, the engine works on the next. With one
 * at a time it had nothing to do for as long as that took.
 */
const CALLS_AT_ONCE = 2
/** Rights asked for in a second at most: the engine issues them at its own priority, so a job that has the night for them takes its time. */
const RIGHTS_PER_S = 2_500
const CALL_MS = (CALL_RIGHTS / RIGHTS_PER_S) * 1_000
/** An engine that is busy or away is asked again so often, with a pause between. */
const TRIES_MAX = 20
const PAUSE_MS = 500

/** The engine did not take the rights: what was asked for stays asked for, and the next attempt goes on. */
export class RightsUnissued extends Error { override readonly name = "RightsUnissued" }

export interface Answered { readonly right: RightRow; readonly status: number; readonly code?: string; readonly is_repeat: boolean }

const isAgain = ({ status }: { status: number }): boolean => status >= 500 || status === 429

/** Ask for some rights in one call; answers them in their order. What the engine could not take now is asked again. */
const ask = async (api: NonNullable<JobParts["api"]>, rights: readonly RightRow[], signal: AbortSignal): Promise<Answered[]> => {
  const done = new Map<number, Answered>()
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    signal.throwIfAborted()
    const open = rights.map((right, i) => ({ right, i })).filter(({ i }) => !done.has(i))
    if (open.length === 0) break
    if (tries > 0) await Bun.sleep(PAUSE_MS)
    let text = ""
    try {
      const response = await fetch(`${api.url}/v1/coupons/bulk`, {
        method: "POST", signal, headers: { authorization: `Bearer ${api.key}`, "content-type": "application/x-ndjson" },
        body: open.map(({ right: { request_id, campaign_id, user_id } }) => JSON.stringify({ request_id, campaign_id, user_id })).join("\n"),
      })
      text = await response.text()
      if (response.status !== 200 && !isAgain(response)) throw new RightsUnissued(`the engine answered ${response.status} ${text.slice(0, 200)}`)
      if (response.status !== 200) continue
    } catch (fault) {
      if (signal.aborted || fault instanceof RightsUnissued) throw fault
      continue
    }
    for (const [n, line] of text.split("\n").entries()) {
      if (line === "" || !open[n]) continue
      const answer = JSON.parse(line) as { status: number; code?: string; idempotency_hit?: boolean }
      if (isAgain(answer)) continue
      done.set(open[n].i, { right: open[n].right, status: answer.status, is_repeat: answer.idempotency_hit === true, ...(answer.code === undefined ? {} : { code: answer.code }) })
    }
  }
  if (done.size < rights.length) throw new RightsUnissued(`the engine has not taken ${rights.length - done.size} of ${rights.length} rights`)
  return rights.map((_, i) => done.get(i)!)
}

/** Ask for rights, as many as there are, no faster than RIGHTS_PER_S, and answer them in their order. */
export const askFor = async function* (api: NonNullable<JobParts["api"]>, rights: readonly RightRow[], signal: AbortSignal): AsyncGenerator<Answered[]> {
  const asked: Promise<Answered[]>[] = []
  let due_ms = performance.now()
  for (let from = 0; from < rights.length; from += CALL_RIGHTS) {
    if (asked.length === CALLS_AT_ONCE) yield await asked.shift()!
    const now_ms = performance.now()
    if (due_ms > now_ms) await Bun.sleep(due_ms - now_ms)
    // Who was late by more than a call does not hurry to make up for it.
    due_ms = Math.max(due_ms, now_ms - CALL_MS) + CALL_MS
    const answers = ask(api, rights.slice(from, from + CALL_RIGHTS), signal)
    answers.catch(() => undefined) // whoever takes it hears of it
    asked.push(answers)
  }
  for (const answers of asked) yield await answers
}

/** Keep what was refused; what was issued is settled. */
export const keepRefusals = async (sql: Sql, period: string, run_id: string, answers: readonly Answered[]): Promise<void> => {
  const refused = answers.filter(({ status }) => status >= 300)
  if (refused.length === 0) return
  const column = <T>(of: (answer: Answered) => T) => refused.map(of)
  await sql`
    insert into badge_refusals (period, badge_id, level, campaign_id, user_id, run_id, code, tries, settled)
    select ${period}, r.badge_id, r.level, r.campaign_id, r.user_id, ${run_id}, r.code, 1, false
    from unnest(${column(({ right }) => right.badge_id)}::text[], ${column(({ right }) => right.level)}::integer[], ${column(({ right }) => right.campaign_id)}::text[],
      ${column(({ right }) => right.user_id)}::text[], ${column(({ code }) => code ?? "refused")}::text[]) as r (badge_id, level, campaign_id, user_id, code)
    on conflict (period, badge_id, level, campaign_id, user_id) do update set code = excluded.code, run_id = excluded.run_id, tries = badge_refusals.tries + 1`
}

export const isRights = ({ name }: Output): boolean => name === "rights" || name.startsWith("rights_")

/** The rights files of the run that this one replaced; all of its rights were asked for or it would not have been followed up. */
const replacedOutputs = async (sql: Sql, run_id: string): Promise<Output[]> => {
  const [row] = await sql<{ outputs: Output[] | null }[]>`
    select r.outputs from runs mine join runs r on r.run_id = mine.replaced
    where mine.run_id = ${run_id} and not exists (
      select 1 from json_array_elements(r.outputs) o where o->>'name' like 'rights%' and coalesce((select done from badge_rights b where b.run_id = r.run_id and b.output = o->>'name'), 0) < (o->>'rows')::bigint)`
  return row?.outputs?.filter(isRights) ?? []
}

const readRights = (duck: Duck, place: string, without: readonly string[], from: number, count: number): Promise<RightRow[]> => {
  const theirs = without.length === 0 ? "" : `where not exists (select 1 from read_parquet([${without.map(quoted).join(", ")}]) t where t.user_id = r.user_id and t.request_id = r.request_id and t.campaign_id = r.campaign_id)`
  return duck.all<RightRow>(`select user_id, badge_id, level, campaign_id, request_id from (select * from read_parquet(${quoted(place)}, file_row_number = true) where file_row_number >= ${from} and file_row_number < ${from + count}) r ${theirs} order by file_row_number`)
}

/** Rows of a file that are read at once, eight seconds of rights: so soon a run that is published no more ends. */
const READ_ROWS = 20_000

const isPublished = async (sql: Sql, run_id: string): Promise<boolean> => (await sql`select 1 from runs where run_id = ${run_id} and state = 'published'`).length > 0

/** Issue the rights of a published run, from where an attempt before has come to, for as long as it is the published one. */
export const issueRights = async ({ sql, lake, duck, api, signal, progress, run_id, period, outputs }: Finished): Promise<void> => {
  const files = outputs.filter(isRights)
  if (files.every(({ rows }) => rows === 0)) return
  if (!api) throw new RightsUnissued("there are rights to issue and no address of the engine's API is known")
  const without = (await replacedOutputs(sql, run_id)).map((output) => lake.place(output))
  const total = files.reduce((sum, { rows }) => sum + rows, 0)
  let passed = 0
  for (const file of files) {
    await sql`insert into badge_rights (run_id, output, done, issued, repeated, refused) values (${run_id}, ${file.name}, 0, 0, 0, 0) on conflict do nothing`
    const [then] = await sql<{ done: string }[]>`select done::text from badge_rights where run_id = ${run_id} and output = ${file.name}`
    for (let from = Number(then!.done); from < file.rows; from += READ_ROWS) {
      if (!await isPublished(sql, run_id)) return
      progress("issuing rights", (passed + from) / total)
      const rights = await readRights(duck, lake.place(file), without, from, READ_ROWS)
      let issued = 0, repeated = 0, refused = 0
      for await (const answers of askFor(api, rights, signal)) {
        await keepRefusals(sql, period.period, run_id, answers)
        for (const { status, is_repeat } of answers) if (status >= 300) refused += 1; else if (is_repeat) repeated += 1; else issued += 1
      }
      await sql`update badge_rights set done = ${Math.min(from + READ_ROWS, file.rows)}, issued = issued + ${issued}, repeated = repeated + ${repeated}, refused = refused + ${refused} where run_id = ${run_id} and output = ${file.name}`
    }
    passed += file.rows
  }
}

/**
 * A dry run of a badge's rules on last month's scores: asked of the job process through the table of runs, and waited for.
 *
 * What must stay true: nothing hangs on the sidecar. Where no job process is connected, where the month has no scores, or where the answer has
 * not come in time, there is none, and the rules are written all the same.
 */
import { randomBytes } from "node:crypto"
import type { Caller } from "../answers.ts"
import type { Right } from "../badges/rules.ts"
import { monthBefore } from "../badges/packed.ts"
import type { DryRun } from "../contract/badges.ts"
import { monthAt } from "../months.ts"
import type { Parts } from "../parts.ts"
import { boundMinor } from "../pricing/compile.ts"
import { answeringPostgres } from "../store/away.ts"

/**
 * A dry run over ten million users takes longer than this and is then asked for as a run of its own. Runs take turns, so on a busy machine two
 * that stand before it were already 15 s (load 15, 2026-11-22); a connection on which nothing moves is closed after 30.
 */
const WAIT_MS_MAX = 25_000
const POLL_MS = 100
const RUN_ID_BYTES = 9
/** How the job process calls its connections. */
const JOBS_NAME = "scrip-jobs"

interface Judged { readonly badge_id: string; readonly levels: { readonly level: number; readonly users: number }[]; readonly events: DryRun["events"] }
interface RunRow { state: string; answer: { readonly badges?: readonly Judged[] } | null; same_as: string | null }

const readRun = async ({ postgres }: Parts, run_id: string): Promise<RunRow | undefined> =>
  (await answeringPostgres(() => postgres.sql<RunRow[]>`select state, answer, same_as from runs where run_id = ${run_id}`))[0]

/** The most that a month's rights can cost, or null where a campaign is not there or its terms do not bound it. */
const rightsCost = async ({ catalogue }: Parts, rights: readonly Right[], levels: Judged["levels"]): Promise<number | null> => {
  let cost = 0
  for (const { level, campaign_id } of rights) {
    const campaign = await catalogue.campaignById(campaign_id)
    const bound = campaign && boundMinor(campaign.body)
    if (bound === undefined) return null
    cost += bound * (levels.find((each) => each.level === level)?.users ?? 0)
  }
  return Number.isSafeInteger(cost) ? cost : null
}

/** What a version of a badge's rules makes of last month's scores; null where nobody can say. */
export const dryRunOf = async (parts: Parts, badge_id: string, version: number, rights: readonly Right[], { now_ms, key_id }: Caller): Promise<DryRun | null> => {
  const { sql } = parts.postgres
  const [jobs] = await answeringPostgres(() => sql`select 1 from pg_stat_activity where datname = current_database() and application_name = ${JOBS_NAME} limit 1`)
  if (!jobs) return null
  const period = monthBefore(monthAt(now_ms, parts.zone).month, 1)
  const run_id = randomBytes(RUN_ID_BYTES).toString("hex")
  await answeringPostgres(() => sql`
    insert into runs (run_id, job, period, state, is_dry, options, requested_by, requested_ms)
    values (${run_id}, 'badges', ${period}, 'requested', true, ${JSON.stringify({ badge_id, version })}::text::json, ${key_id}, floor(extract(epoch from now()) * 1000)::bigint)`)
  for (const until = performance.now() + WAIT_MS_MAX; performance.now() < until;) {
    await Bun.sleep(POLL_MS)
    let run = await readRun(parts, run_id)
    if (run?.same_as) run = await readRun(parts, run.same_as)
    if (!run || run.state === "requested" || run.state === "running" || run.state === "ready") continue
    const judged = run.answer?.badges?.find((each) => each.badge_id === badge_id)
    if (!judged) return null
    const levels = judged.levels.filter(({ level }) => level > 0).map(({ level, users }) => ({ level, users }))
    return { period, levels, events: judged.events, rights_cost_minor: await rightsCost(parts, rights, levels) }
  }
  return null
}

/**
 * Badges: versions of rules are written and activated in Postgres, where the monthly job finds them.
 *
 * Rules that were written are never changed: another content is the next version, and the same content as the newest is a repeat.
 */
import { fingerprintOf } from "../../lua/keys.ts"
import type { Answered, Caller } from "../answers.ts"
import { badgesIn, circleFrom, type Rules } from "../badges/rules.ts"
import { BADGES_MAX } from "../badges/packed.ts"
import type { ActivateBadgeAsk, BadgeAsk, PutBadgeAsk } from "../contract/badges.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"
import type { Sql } from "../store/postgres.ts"
import { dryRunOf } from "./dry_run.ts"
import { mayTouch } from "./lines.ts"

interface VersionRow { badge_no: number; version: number; line: string; body: Rules | string; fingerprint: string; activated_ms: number | null }

const rulesOf = ({ body }: Pick<VersionRow, "body">): Rules => typeof body === "string" ? JSON.parse(body) as Rules : body

/** Held while a version is written or activated, so that no two make a circle together. */
const LOCK = "scrip badges"

const newest = async (sql: Sql, badge_id: string): Promise<VersionRow | undefined> => (await sql<VersionRow[]>`
  select v.badge_no, v.version, v.line, v.body, v.fingerprint, v.activated_ms from badges b join badge_versions v using (badge_no)
  where b.badge_id = ${badge_id} order by v.version desc limit 1`)[0]

/** What each badge looks at, in its newest version and in every version that is active: any of them may judge a month. */
const readGraph = async (sql: Sql): Promise<Map<string, string[]>> => {
  const rows = await sql<(Pick<VersionRow, "body"> & { badge_id: string })[]>`
    select b.badge_id, v.body from badges b join badge_versions v using (badge_no)
    where v.activated_ms is not null or v.version = (select max(w.version) from badge_versions w where w.badge_no = v.badge_no)`
  const graph = new Map<string, string[]>()
  for (const row of rows) graph.set(row.badge_id, [...(graph.get(row.badge_id) ?? []), ...badgesIn(rulesOf(row))])
  return graph
}

const wrote = (badge_id: string, { line, version, activated_ms }: Pick<VersionRow, "line" | "version" | "activated_ms">) =>
  ({ badge_id, line, version, state: activated_ms === null ? "draft" : "active" })

/** Write the next version of a badge's rules, and try it on last month's scores. */
export const putBadgeWith = (parts: Parts) => async ({ badge_id, ...body }: PutBadgeAsk, caller: Caller): Promise<Answered> => {
  if (!mayTouch(caller, body.line)) return { outcome: "scope_missing", line: body.line }
  const rules = body as unknown as Rules
  const fingerprint = fingerprintOf(body)
  const done = await answeringPostgres(() => parts.postgres.sql.begin(async (transaction): Promise<{ no: Answered } | { row: VersionRow; isRepeat: boolean }> => {
    const sql = transaction as unknown as Sql
    await sql`select pg_advisory_xact_lock(hashtextextended(${LOCK}, 0))`
    const last = await newest(sql, badge_id)
    if (last && !mayTouch(caller, last.line)) return { no: { outcome: "scope_missing", line: last.line } }
    if (last?.fingerprint === fingerprint) return { row: last, isRepeat: true }
    const graph = await readGraph(sql)
    const looks_at = badgesIn(rules)
    const unknown = looks_at.find((each) => each !== badge_id && !graph.has(each))
    if (unknown !== undefined) return { no: { outcome: "badge_unknown", badge_id: unknown } }
    graph.set(badge_id, [...(graph.get(badge_id) ?? []), ...looks_at])
    const circle = circleFrom(badge_id, graph)
    if (circle) return { no: { outcome: "badge_cycle", badges: circle } }
    if (!last && graph.size > BADGES_MAX) return { no: { outcome: "request_invalid", field: "badge_id", detail: `There are ${BADGES_MAX} badges already, which is the most.` } }
    await sql`insert into badges (badge_id, created_ms) values (${badge_id}, ${caller.now_ms}) on conflict (badge_id) do nothing`
    const [row] = await sql<VersionRow[]>`
      insert into badge_versions (badge_no, version, line, effective_month, body, fingerprint, created_ms)
      select badge_no, ${(last?.version ?? 0) + 1}, ${body.line}, ${body.effective_month}, ${JSON.stringify(body)}::text::jsonb, ${fingerprint}, ${caller.now_ms}
      from badges where badge_id = ${badge_id} returning badge_no, version, line, body, fingerprint, activated_ms`
    if (!row) throw new Error(`badge ${badge_id} has gone`)
    return { row, isRepeat: false }
  }))
  if ("no" in done) return done.no
  const dry_run = await dryRunOf(parts, badge_id, done.row.version, rules.rights ?? [], caller)
  return { outcome: "created", hit: done.isRepeat, body: { ...wrote(badge_id, done.row), dry_run } }
}

/** Have a version judge every month from its effective month on. */
export const activateBadgeWith = (parts: Parts) => async ({ badge_id, version }: ActivateBadgeAsk, caller: Caller): Promise<Answered> =>
  answeringPostgres(() => parts.postgres.sql.begin(async (transaction): Promise<Answered> => {
    const sql = transaction as unknown as Sql
    await sql`select pg_advisory_xact_lock(hashtextextended(${LOCK}, 0))`
    const [row] = await sql<(VersionRow & { last_ms: number | null; last_version: number | null })[]>`
      select v.badge_no, v.version, v.line, v.body, v.fingerprint, v.activated_ms, last.activated_ms as last_ms, last.version as last_version
      from badges b join badge_versions v using (badge_no)
      left join lateral (select activated_ms, version from badge_versions w where w.badge_no = v.badge_no and activated_ms is not null
        order by activated_ms desc, version desc limit 1) last on true
      where b.badge_id = ${badge_id} and v.version = ${version}::bigint`
    if (!row || !mayTouch(caller, row.line)) return { outcome: "badge_unknown", badge_id, version }
    const activated = { ...wrote(badge_id, row), state: "active" }
    if (row.last_version === version) return { outcome: "changed", hit: true, body: activated }
    const graph = await readGraph(sql)
    graph.set(badge_id, [...(graph.get(badge_id) ?? []), ...badgesIn(rulesOf(row))])
    const circle = circleFrom(badge_id, graph)
    if (circle) return { outcome: "badge_cycle", badges: circle }
    // One after the other, also within a millisecond.
    await sql`update badge_versions set activated_ms = ${Math.max(caller.now_ms, (row.last_ms ?? 0) + 1)} where badge_no = ${row.badge_no} and version = ${version}`
    return { outcome: "changed", body: activated }
  }))

/** The newest version of a badge's rules, and which one is active. */
export const getBadgeWith = (parts: Parts) => async ({ badge_id }: BadgeAsk, caller: Caller): Promise<Answered> => {
  const { sql } = parts.postgres
  const row = await answeringPostgres(() => newest(sql, badge_id))
  if (!row || !mayTouch(caller, row.line)) return { outcome: "badge_unknown", badge_id }
  const [active] = await answeringPostgres(() => sql<{ version: number }[]>`
    select version from badge_versions where badge_no = ${row.badge_no} and activated_ms is not null order by activated_ms desc, version desc limit 1`)
  return { outcome: "found", body: { ...wrote(badge_id, row), active_version: active?.version ?? null, ...rulesOf(row) } }
}

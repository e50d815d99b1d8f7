/**
 * Which rules judge a month: of each badge's versions that are active and effective by then, the one that was activated last.
 */
import type { Sql } from "postgres"
import { badgesIn, type Rules } from "../../engine/badges/rules.ts"
import type { RuledBadge } from "./compile.ts"

interface VersionRow { badge_no: number; badge_id: string; version: number; body: Rules | string }

const ruledFrom = ({ badge_no, badge_id, version, body }: VersionRow): RuledBadge => ({ badge_no, badge_id, version, rules: typeof body === "string" ? JSON.parse(body) as Rules : body })

/** The rules of a month, by the badges' ids. */
export const rulesFor = async (sql: Sql, period: string): Promise<RuledBadge[]> => {
  const rows = await sql<VersionRow[]>`
    select distinct on (b.badge_id) b.badge_no, b.badge_id, v.version, v.body from badges b join badge_versions v using (badge_no)
    where v.activated_ms is not null and v.effective_month <= ${period} order by b.badge_id, v.activated_ms desc, v.version desc`
  return rows.map(ruledFrom)
}

/** One version, whatever its state, with the rules of what it looks at: the active ones, or else the newest. For a dry run. */
export const rulesForTrial = async (sql: Sql, period: string, badge_id: string, version: number): Promise<RuledBadge[]> => {
  const all = (await sql<VersionRow[]>`
    select distinct on (b.badge_id) b.badge_no, b.badge_id, v.version, v.body from badges b join badge_versions v using (badge_no)
    where b.badge_id <> ${badge_id} or v.version = ${version}
    order by b.badge_id, (v.activated_ms is not null and v.effective_month <= ${period}) desc, v.activated_ms desc nulls last, v.version desc`).map(ruledFrom)
  const wanted = new Set([badge_id])
  // Each round finds what the ones before look at; a circle adds nothing new.
  for (let size = 0; size < wanted.size;) {
    size = wanted.size
    for (const badge of all) if (wanted.has(badge.badge_id)) for (const other of badgesIn(badge.rules)) wanted.add(other)
  }
  return all.filter((badge) => wanted.has(badge.badge_id))
}

/** The published reports of closed periods, as the sidecar has left them in the tables. */
import { AFTER_INVALID, type Answered } from "../answers.ts"
import { isPrintable } from "../contract/basics.ts"
import type { ListReportsAsk, ReportAsk } from "../contract/reports.ts"
import type { Parts } from "../parts.ts"
import { answeringPostgres } from "../store/away.ts"

interface Row { job: string; period: string; set_name: string; title: string; sentence: string; published_ms: number; html?: string }

const outOf = ({ job, period, set_name, title, sentence, published_ms }: Row) => ({ job, period, set: set_name, title, sentence, published_at: new Date(published_ms).toISOString() })
const pageOf = ({ job, period, set_name }: Row): string => `/v1/reports/${job}/${period}${set_name === "" ? "" : `?set=${encodeURIComponent(set_name)}`}`

/** A place in the list: `period job set`, which the newest period begins. */
const placeOf = ({ period, job, set_name }: Row): string => Buffer.from(JSON.stringify([period, job, set_name])).toString("base64url")
const readPlace = (after: string): readonly [string, string, string] | undefined => {
  try {
    const place = JSON.parse(Buffer.from(after, "base64url").toString()) as unknown
    return Array.isArray(place) && place.length === 3 && place.every((each) => typeof each === "string" && isPrintable(each)) ? place as unknown as [string, string, string] : undefined
  } catch {
    return undefined // it is no place of ours, whatever it is
  }
}

export const listReportsWith = ({ postgres: { sql } }: Parts) => async ({ limit, after }: ListReportsAsk): Promise<Answered> => {
  const place = after === undefined ? undefined : readPlace(after)
  if (after !== undefined && !place) return AFTER_INVALID
  const rows = await answeringPostgres(() => sql<Row[]>`
    select r.job, r.period, r.set_name, r.title, r.sentence, u.published_ms from reports r
      join run_periods p on p.job = 'reports' and p.run_id = r.run_id join runs u on u.run_id = r.run_id
    where ${place === undefined} or r.period < ${place?.[0] ?? ""} or r.period = ${place?.[0] ?? ""} and (r.job, r.set_name) > (${place?.[1] ?? ""}, ${place?.[2] ?? ""})
    order by r.period desc, r.job, r.set_name limit ${limit + 1}`)
  const items = rows.slice(0, limit)
  return { outcome: "found", body: { items: items.map((row) => ({ ...outOf(row), page: pageOf(row) })), next: rows.length > limit ? placeOf(items.at(-1)!) : null } }
}

export const getReportWith = ({ postgres: { sql } }: Parts) => async ({ job, period, set = "" }: ReportAsk): Promise<Answered> => {
  const [row] = await answeringPostgres(() => sql<(Row & { html: string })[]>`
    select r.job, r.period, r.set_name, r.title, r.sentence, u.published_ms, r.html from reports r
      join run_periods p on p.job = 'reports' and p.run_id = r.run_id join runs u on u.run_id = r.run_id
    where r.job = ${job} and r.period = ${period} and r.set_name = ${set}`)
  return row ? { outcome: "found", body: { ...outOf(row), html: row.html } } : { outcome: "report_unknown", job, period }
}

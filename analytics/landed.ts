/**
 * Which business days have been given rows, and when: the marks by which the schedule finds published periods whose inputs are others now.
 *
 *   a part lands in the lake -> it is noticed: its days and the instant -> periods that read one of these days, looked at before, are due again
 *
 * What must stay true: a part that landed before a run looked at its inputs is noticed before that instant too, because the run itself notices first; and
 * whoever crashes between the lake and the table leaves a part that the next look notices. So a late row is never missed, and one that was
 * there costs at most a run that finds itself published already. Time is Postgres' time.
 */
import { type Lake, LakeFault } from "./lake.ts"
import type { Sql } from "postgres"
import { EVENTS } from "./extract.ts"
import type { Job, Reads } from "./job.ts"
import { periodSpan } from "./periods.ts"
import { NOW } from "./tables.ts"

/** Published periods of one job that are begun again before it is asked anew what is due. */
export const REVISED_MAX = 100
/** Parts that are written at once. */
const MARKS_AT_ONCE = 500

interface Mark { readonly dataset: string; readonly part: string; readonly sha256: string; readonly days: readonly string[] }

/** Notice what is new or other in the lake. Answers which datasets are not what their manifests say; whoever reads those fails by that name. */
export const noticeParts = async (sql: Sql, lake: Lake): Promise<readonly string[]> => {
  const known = new Map((await sql<{ dataset: string; part: string; sha256: string }[]>`select dataset, part, sha256 from lake_parts`).map(({ dataset, part, sha256 }) => [`${dataset}/${part}`, sha256]))
  const faults: string[] = [], marks: Mark[] = []
  for (const dataset of lake.datasets()) {
    try {
      for (const { part, sha256, files } of lake.parts(dataset)) {
        if (known.get(`${dataset}/${part}`) !== sha256) marks.push({ dataset, part, sha256, days: [...new Set(files.flatMap(({ day }) => day ?? []))] })
      }
    } catch (fault) {
      if (!(fault instanceof LakeFault)) throw fault
      faults.push(fault.message)
    }
  }
  for (let from = 0; from < marks.length; from += MARKS_AT_ONCE) {
    const some = marks.slice(from, from + MARKS_AT_ONCE)
    await sql`
      insert into lake_parts (dataset, part, sha256, days, landed_ms)
      select m.dataset, m.part, m.sha256, array(select json_array_elements_text(m.days::json)), ${sql.unsafe(NOW)}
      from unnest(${some.map(({ dataset }) => dataset)}::text[], ${some.map(({ part }) => part)}::text[], ${some.map(({ sha256 }) => sha256)}::text[], ${some.map(({ days }) => JSON.stringify(days))}::text[]) as m (dataset, part, sha256, days)
      on conflict (dataset, part) do update set sha256 = excluded.sha256, landed_ms = excluded.landed_ms,
        days = array(select distinct unnest(lake_parts.days || excluded.days))`
  }
  return faults
}

/** A part was written anew and says the same to every sum: nothing has landed. */
export const noteRewritten = async (sql: Sql, { dataset, part, sha256 }: Pick<Mark, "dataset" | "part" | "sha256">): Promise<void> => {
  await sql`update lake_parts set sha256 = ${sha256} where dataset = ${dataset} and part = ${part}`
}

/**
 * Hold what has landed against the lake: a part that a job reads and that is not there any more would be left out of its sums without a word. What is not wanted is
 * taken out by a manifest without files (`npm run import -- remove`), not by its absence. Events need no marks: their ranges follow on each other (extract.ts).
 * Throws LakeFault, which names the first.
 */
export const holdParts = async (sql: Sql, lake: Lake, reads: Reads["days"]): Promise<void> => {
  const datasets = [...new Set(reads.map(({ dataset }) => dataset))].filter((dataset) => dataset !== EVENTS)
  if (datasets.length === 0) return
  for (const mark of await sql<Pick<Mark, "dataset" | "part" | "days">[]>`select dataset, part, days from lake_parts where dataset = any(${datasets}) order by dataset, part`) {
    if (isRead(mark, reads) && !lake.part(mark.dataset, mark.part)) {
      throw new LakeFault(`${mark.dataset}/${mark.part} has landed and is not in the lake any more: bring it back from a copy, import its file again, or take it out by npm run import -- remove ${mark.part}.`)
    }
  }
}

/** Whether a landed part has rows that a job reads for a period. */
const isRead = ({ dataset, days }: Pick<Mark, "dataset" | "days">, reads: Reads["days"]): boolean =>
  reads.some((read) => read.dataset === dataset && days.some((day) => day >= read.from && day <= read.to))

/** The published and unlocked periods and sets of a job whose inputs may be others than when they were looked at, the earliest first. */
export const dirtyPeriods = async (sql: Sql, job: Job, time_zone: string, failed_wait_ms: number): Promise<{ period: string; set_name: string }[]> => {
  const { reads } = job
  if (!reads) return []
  const [now] = await sql<{ at_ms: number }[]>`select ${sql.unsafe(NOW)} as at_ms`
  const published = await sql<{ period: string; set_name: string; looked_ms: number }[]>`
    select p.period, p.set_name, coalesce(p.looked_ms, r.started_ms, 0) as looked_ms from run_periods p join runs r on r.run_id = p.run_id
    where p.job = ${job.name} and p.closed_ms is null and not exists (
      select 1 from runs f where f.job = p.job and f.period = p.period and f.set_name = p.set_name and not f.is_dry and f.state = 'failed' and f.finished_ms > ${now!.at_ms - failed_wait_ms})
    order by p.period, p.set_name`
  const since = published.reduce((least, { looked_ms }) => Math.min(least, looked_ms), Infinity)
  if (since === Infinity) return []
  const landed = await sql<(Mark & { landed_ms: number })[]>`select dataset, part, sha256, days, landed_ms from lake_parts where landed_ms > ${since}`
  const dirty: { period: string; set_name: string }[] = []
  for (const { period, set_name, looked_ms } of published) {
    if (dirty.length === REVISED_MAX) break
    const { days, changed_ms } = await reads({ sql, time_zone, period: periodSpan(period, time_zone), set: set_name })
    if ((changed_ms ?? 0) > looked_ms || landed.some((part) => part.landed_ms > looked_ms && isRead(part, days))) dirty.push({ period, set_name })
    // What has landed until then has been held against this period: it is not asked again.
    else if (landed.some((part) => part.landed_ms > looked_ms)) {
      await sql`update run_periods set looked_ms = greatest(coalesce(looked_ms, 0), ${now!.at_ms - 1}) where job = ${job.name} and period = ${period} and set_name = ${set_name} and closed_ms is null`
    }
  }
  return dirty
}

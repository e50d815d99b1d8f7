/**
 * `extract`: the lake's events are brought up to the journal's cursor, and what a day or month holds is counted on both sides.
 *
 * Its output is small: events by day and act. The events themselves are the dataset `events`, which every job that reads them extends first.
 */
import { eventFiles, EVENT_COLUMNS, EVENTS, extractEvents } from "../extract.ts"
import type { Job } from "../job.ts"
import { daysOf } from "../periods.ts"

export const extract: Job = {
  name: "extract",
  period: "month or day",
  sources: [import.meta.path],
  timeout_s: 6 * 3_600,
  schedule: { kind: "day", periods_max: 60 },
  reads: async ({ period: { period } }) => { const days = daysOf(period); return { days: [{ dataset: EVENTS, from: days[0]!, to: days.at(-1)! }] } },
  prepare: extractEvents,
  inputs: async (parts) => {
    const days = new Set(daysOf(parts.period.period))
    const files = eventFiles(parts, (day) => days.has(day))
    const ranges = parts.lake.parts(EVENTS).filter((range) => range.files.some(({ path }) => files.some((file) => file.path === path)))
    // What Postgres counted when each range was taken; a range holds other days too, and both sides are of all its days.
    return { inputs: { events: { files, columns: EVENT_COLUMNS } }, rules: { ranges: ranges.map(({ part, facts }) => ({ part, postgres: facts["postgres"], parquet: facts["parquet"] })), rows: files.reduce((sum, { rows }) => sum + rows, 0) } }
  },
  run: async ({ duck, write, rules, period }) => {
    const { ranges, rows } = rules as { ranges: readonly { part: string; postgres: object; parquet: object }[]; rows: number }
    await write({ name: "acts", select: "select day, act, count(*) as events, sum(n)::bigint as n_sum, min(at_ms) as first_ms, max(at_ms) as last_ms from events group by day, act", key: ["day", "act"], sums: ["events"] })
    const counted = await duck.one<{ rows: number }>("select count(*) as rows from events")
    return {
      checks: [
        ...ranges.map(({ part, postgres, parquet }) => ({ name: `range ${part}`, left: JSON.stringify(postgres), right: JSON.stringify(parquet) })),
        { name: "rows", left: String(rows), right: String(counted.rows) },
      ],
      answer: { events: counted.rows, ranges: ranges.length },
      report: `${counted.rows} events of ${period.period} are in the lake.`,
    }
  },
}

/**
 * A night of risk: 57 days of redemptions in five dimensions, from their lines and from the days' figures that are kept.
 *
 * What must stay true: the job's own SQL does the work within a run's limits; both ways come to the same rows.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { type Duck, openDuck, quoted } from "../../analytics/duck.ts"
import { defineMacros } from "../../analytics/dialects/dialect.ts"
import { dayFigures } from "../../analytics/risk/day.ts"
import { PAST_DAYS, scoreDay } from "../../analytics/risk/score.ts"
import { periodBefore } from "../../analytics/periods.ts"
import { temporaryFolder } from "../bare.ts"
import { forgetPeak, peakMb } from "../cpu.ts"
import type { Result } from "../result.ts"

const LAST = "2026-10-31"
const MEMORY_MB = 2_000
const THREADS = 2
const RAW_S_MOST = 60, KEPT_S_MOST = 10

const daysUntil = (last: string): string[] => {
  const days = [last]
  while (days.length <= PAST_DAYS) days.unshift(periodBefore(days[0]!))
  return days
}

/** One line of each redemption: users and skus as a shop has them, few that buy much and many that buy little. */
const makeLines = (duck: Duck, day: number, redemptions: number, file: string): Promise<void> => {
  const skewed = (nth: number, count: number) => `cast(floor(pow((hash(i, ${nth}, ${day}) % 1000000) / 1000000.0, 3) * ${count}) as bigint)`
  return duck.run(`copy (
    select case when hash(i, 9, ${day}) % 25 = 0 then 1 else 0 end as kind, i as redemption, ${skewed(1, 2_000_000)} as user_no, 1::bigint as line, 's' || ${skewed(2, 50_000)} as sku, 'm' || ${skewed(3, 2_000)} as merchant,
      'r' || ${skewed(4, 300)} as region, 'c' || ${skewed(5, 200)} as campaign, (100 + hash(i, 6, ${day}) % 5000)::bigint as amount_minor, (5100 + hash(i, 7, ${day}) % 90000)::bigint as price_minor
    from range(${redemptions}) r(i)) to ${quoted(file)} (format parquet, compression zstd)`)
}

/** Play it over so many redemptions in all. */
export const playRisk = async (redemptions: number, say: (text: string) => void): Promise<Result> => {
  const folder = temporaryFolder()
  const duck = await openDuck({ memory_mb: MEMORY_MB, threads: THREADS, temp_dir: join(folder, "temp") })
  try {
    await defineMacros(duck)
    const days = daysUntil(LAST)
    say("lines are made")
    for (const [i, day] of days.entries()) await makeLines(duck, i, Math.floor(redemptions / days.length), join(folder, `${day}.lines.parquet`))
    const firsts = "(select range as user_no from range(1000))"
    const makeDay = (day: string): Promise<void> => duck.run(`copy (select * from (${dayFigures(day, `read_parquet(${quoted(join(folder, `${day}.lines.parquet`))})`, firsts)}) order by dimension, key) to ${quoted(join(folder, `${day}.day.parquet`))} (format parquet, compression zstd)`)
    const score = (days_of: string): Promise<void> => scoreDay(duck, LAST, days.at(-29)!, days_of)
    const kept = `read_parquet(${quoted(join(folder, "*.day.parquet"))})`
    say("from the lines of all days")
    forgetPeak()
    const raw_began = performance.now()
    for (const day of days) await makeDay(day)
    await score(kept)
    const raw_s = (performance.now() - raw_began) / 1_000
    const raw_mb = peakMb()
    const { rows } = await duck.one<{ rows: number }>("select count(*) as rows from risk")
    await duck.run("create table before as select * from risk")
    say("from the days that are kept")
    forgetPeak()
    const kept_began = performance.now()
    await makeDay(LAST)
    await score(kept)
    const kept_s = (performance.now() - kept_began) / 1_000
    const kept_mb = peakMb()
    const { others } = await duck.one<{ others: number }>("select (select count(*) from (select * from before except select * from risk)) + (select count(*) from (select * from risk except select * from before)) as others")
    return {
      scenario: "risk", rows: [],
      figures: [
        { name: `risk over ${redemptions} redemptions of ${days.length} days, 5 dimensions, from lines`, value: raw_s, unit: "s", wanted: { at: "most", value: RAW_S_MOST } },
        { name: "the same with the days' figures kept", value: kept_s, unit: "s", wanted: { at: "most", value: KEPT_S_MOST } },
        { name: "most memory of the process, from lines", value: raw_mb, unit: "MB" },
        { name: "and with the figures kept", value: kept_mb, unit: "MB" },
        { name: "keys that were scored", value: rows, unit: "keys" },
      ],
      proofs: [{ name: "rows that differ between the two ways", wanted: 0, found: others }],
    }
  } finally {
    duck.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

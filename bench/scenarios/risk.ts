/**
 * Nights of risk as the runner has them: 57 days of redemptions in five dimensions, from the journal's events in the lake, from the redemptions' lines, and with the days'
 * figures kept.
 *
 * What must stay true: the runner does the work, within the limits that a run has. The last night is run twice, once with the figures of the days before it from the night before
 * and once with all of them made anew from lines: both come to the same bytes.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { type Duck, openDuck } from "../../analytics/duck.ts"
import { EVENTS } from "../../analytics/extract.ts"
import { risk } from "../../analytics/jobs/risk.ts"
import { type Lake, openLake } from "../../analytics/lake.ts"
import { periodAfter, periodBefore, periodSpan } from "../../analytics/periods.ts"
import { DAYS } from "../../analytics/risk/facts.ts"
import { PAST_DAYS } from "../../analytics/risk/score.ts"
import { type House, runJob } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import { quietLog } from "../../engine/log.ts"
import { startPrivate } from "../../engine/private/start.ts"
import { migrate } from "../../engine/store/postgres.ts"
import { temporaryFolder } from "../bare.ts"
import { forgetPeak, peakMb } from "../cpu.ts"
import type { Result } from "../result.ts"

const LAST = "2026-10-31"
const MEMORY_MB = 2_000
const THREADS = 2
const RAW_S_MOST = 60, KEPT_S_MOST = 10
/** One redemption in so many is refunded, days after it at most. */
const REFUNDED = 25, REFUND_DAYS = 14
const DAY_MS = 86_400_000

const daysUntil = (last: string): string[] => {
  const days = [last]
  while (days.length <= PAST_DAYS) days.unshift(periodBefore(days[0]!))
  return days
}

/**
 * A day's range of the journal as the extraction leaves it: each redemption's reserve of one line and its confirm, and refunds of days before. Users and skus are as a shop
 * has them, few that buy much and many that buy little; ids are in no order.
 */
const putDay = async (lake: Lake, duck: Duck, days: readonly string[], nth: number, redemptions: number, from: number): Promise<number> => {
  const day = days[nth]!
  const any = (what: number, most: number): string => `hash(i, ${what}, ${nth}) % ${most}`
  const skewed = (what: number, count: number): string => `floor(pow((hash(i, ${what}, ${nth}) % 1000000) / 1000000.0, 3) * ${count})::bigint`
  const ref = (of: string): string => `substr(md5(i || ' ' || (${of})), 1, 22)`
  const user = `${skewed(1, 2_000_000)}::integer`
  const reserved = `'{"order":{"currency":"CNY","region":"r' || ${skewed(4, 300)} || '","shipping_minor":0,"lines":[{"line_id":"1","sku":"s' || ${skewed(2, 50_000)} || '","merchant_id":"m' || ${skewed(3, 2_000)}
    || '","unit_price_minor":' || (5100 + ${any(7, 90_000)}) || ',"quantity":1}]},"applied":[{"campaign_id":"c' || ${skewed(5, 200)} || '","shipping_discount_minor":0,"benefit_minor":0,"lines":[{"line_id":"1","discount_minor":' || (100 + ${any(6, 5_000)}) || '}]}]}'`
  const back = Math.min(nth, REFUND_DAYS)
  const select = `
    select 0::integer as cell, 1::integer as epoch, ${from} + (row_number() over (order by i, k)) - 1 as n, act, ${periodSpan(day, "UTC").opens_ms} + (i * ${DAY_MS - 1} // ${redemptions})::bigint as at_ms, user_no, null::varchar as moves, payload, ref, '${day}' as day
    from (
      select i, 0 as k, 'reserved' as act, ${user} as user_no, ${reserved} as payload, ${ref(String(nth))} as ref from range(${redemptions}) r(i)
      union all select i, 1, 'confirmed', ${user}, '{}', ${ref(String(nth))} from range(${redemptions}) r(i)
      union all select i, 2, 'refunded', ${user}, '{"lines":[{"line_id":"1","quantity":1}],"applied":[]}', ${ref(`${nth} - hash(i) % ${back + 1}`)} from range(${redemptions}) r(i) where hash(i, ${nth}) % ${REFUNDED} = 0
    )`
  const file = await lake.write(duck, { select, order: "n", form: "quick", folder: `${EVENTS}/${day}`, name: day, day, range: "at_ms", sums: ["n", "at_ms"] })
  const next = from + file.rows
  lake.publish({ dataset: EVENTS, part: day, files: [file], facts: { from: nth === 0 ? {} : { 0: [1, from - 1] }, to: { 0: [1, next - 1] } } })
  return next
}

/** Play it over so many redemptions in all. */
export const playRisk = async (redemptions: number, say: (text: string) => void): Promise<Result> => {
  const folder = temporaryFolder()
  const servers = await startPrivate({ dataDir: join(folder, "data"), log: quietLog, redis: false })
  await migrate(servers.databaseUrl!)
  const sql = openTables(servers.databaseUrl!)
  const house: House = { sql, lake: openLake(join(folder, "lake")), time_zone: "UTC", memory_mb: MEMORY_MB, threads: THREADS, api: undefined, signal: new AbortController().signal, progress: () => undefined }
  const duck = await openDuck({ memory_mb: MEMORY_MB, threads: THREADS, temp_dir: house.lake.temp() })
  try {
    const days = daysUntil(LAST), a_day = Math.floor(redemptions / days.length)
    let events = 0
    const put = async (nth: number): Promise<void> => {
      events = await putDay(house.lake, duck, days, nth, a_day, events)
      await sql`insert into cells (cell, epoch, n, at_ms) values (0, 1, ${events - 1}, ${periodSpan(periodAfter(days[nth]!), "UTC").opens_ms}) on conflict (cell) do update set n = excluded.n, at_ms = excluded.at_ms`
    }
    const night = async (day: string) => {
      forgetPeak()
      const began = performance.now()
      const ended = await runJob(house, risk, { period: day, set: "", is_dry: false, is_first: false, options: {} })
      if (ended.state !== "published") throw new Error(`risk of ${day}: ${ended.state}, ${ended.detail ?? ended.reason}`)
      return { seconds: (performance.now() - began) / 1_000, mb: peakMb(), keys: ended.outputs[0]!.rows, shas: ended.outputs.map(({ name, sha256 }) => `${name} ${sha256}`).join(" ") }
    }
    say("events are made")
    for (const nth of days.slice(0, -1).keys()) await put(nth)
    say("the night before the last, from events")
    const first = await night(days.at(-2)!)
    await put(days.length - 1)
    say("the last night, with the figures of the days before it")
    const kept = await night(LAST)
    say("the last night, from lines")
    await sql`delete from run_periods`
    await sql`delete from runs`
    for (const made of [DAYS, "outputs"]) rmSync(join(house.lake.root, made), { recursive: true, force: true })
    const raw = await night(LAST)
    return {
      scenario: "risk", rows: [],
      figures: [
        { name: `risk over ${redemptions} redemptions of ${days.length} days, 5 dimensions, from lines`, value: raw.seconds, unit: "s", wanted: { at: "most", value: RAW_S_MOST } },
        { name: "the next night, with the figures of the days before it kept", value: kept.seconds, unit: "s", wanted: { at: "most", value: KEPT_S_MOST } },
        { name: `the first night of all, from ${events} events of the journal`, value: first.seconds, unit: "s" },
        { name: "most memory of the process: from lines", value: raw.mb, unit: "MB" },
        { name: "with the figures kept", value: kept.mb, unit: "MB" },
        { name: "from events", value: first.mb, unit: "MB" },
        { name: "keys that were scored", value: raw.keys, unit: "keys" },
      ],
      proofs: [{ name: "outputs with the figures kept, by their sha256", wanted: raw.shas, found: kept.shas }],
    }
  } finally {
    duck.close()
    await sql.end({ timeout: 1 })
    await servers.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * A month of badges as the runner has it: from scores in Parquet to published levels, events and explanations, each level against the month before,
 * with the levels in Postgres; then those into Redis.
 *
 * What must stay true: the runner does the work, within the limits that a run has; users are spread by chance over every level of four lines, anew each month.
 * Memory is the most that this process took during both months. With one thread the bytes are the same.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { RuledBadge } from "../../analytics/badges/compile.ts"
import { openDuck } from "../../analytics/duck.ts"
import { badges, type BadgesAnswer } from "../../analytics/jobs/badges.ts"
import { type Lake, openLake } from "../../analytics/lake.ts"
import { daysOf } from "../../analytics/periods.ts"
import { type House, runJob, runRow } from "../../analytics/runner.ts"
import { openTables } from "../../analytics/tables.ts"
import type { FieldType } from "../../engine/badges/grammar.ts"
import type { Downgrade, Op, When } from "../../engine/badges/rules.ts"
import { loadLevels } from "../../engine/levels/load.ts"
import { quietLog } from "../../engine/log.ts"
import { type Bare, startBare, temporaryFolder } from "../bare.ts"
import { cpuOfFamily, forgetPeak, peakMb } from "../cpu.ts"
import type { Figure, Proof, Result } from "../result.ts"

const BEFORE = "2026-09", PERIOD = "2026-10"
const MEMORY_MB = 2_000
const THREADS = 2
const SECONDS_MOST = 60, CPU_MOST = 1.5, RSS_MB_MOST = 3_000, BYTES_MOST = 40, LEVELS_LEAST = 100_000

const INTEGER: FieldType = { type: "integer" }, FLAG: FieldType = { type: "flag" }, MONEY: FieldType = { type: "money", unit: "major" }
const at = (field: string, op: Op, value: string): When => ({ field, op, value })
const line = (badge_no: number, badge_id: string, fields: Record<string, FieldType>, whens: readonly When[], downgrade: Downgrade): RuledBadge => ({
  badge_no, badge_id, version: 1, rules: { line: badge_id, name: badge_id, effective_month: BEFORE, fields, downgrade, levels: whens.map((when, i) => ({ level: i + 1, name: `L${i + 1}`, when })) },
})
/** Four lines, each by fields of its own. */
const FOUR: readonly RuledBadge[] = [
  line(1, "wealth", { lc_score: INTEGER, gdlc_jy_flag: FLAG, jt_hold_amt: MONEY }, [
    at("lc_score", ">=", "120"), { any: [{ all: [at("lc_score", ">=", "360"), at("jt_hold_amt", ">=", "2500.00")] }, at("gdlc_jy_flag", "=", "1")] }, { all: [at("lc_score", ">=", "600"), at("jt_hold_amt", ">=", "50000")] },
  ], "at_once"),
  line(2, "treasury", { xjk_jy_amt: MONEY }, ["1000", "100000", "500000"].map((value) => at("xjk_jy_amt", ">=", value)), "one_level"),
  line(3, "baitiao", { bt_score: INTEGER, bt_orders: INTEGER }, [at("bt_score", ">=", "300"), { all: [at("bt_score", ">=", "500"), at("bt_orders", ">", "5")] }, { all: [at("bt_score", ">=", "700"), at("bt_orders", ">", "20")] }], { grace_months: 2 }),
  line(4, "gold", { gold_amt: MONEY, gold_flag: FLAG }, [at("gold_flag", "=", "1"), { all: [at("gold_flag", "=", "1"), at("gold_amt", ">=", "2000.00")] }], "at_once"),
]

/** A month's feed in the lake as an import leaves it, with so many rows, of as many users or of one; fields by chance. */
const putFeed = async (lake: Lake, period: string, rows: number, isOneUser: boolean): Promise<void> => {
  const duck = await openDuck({ memory_mb: MEMORY_MB, threads: THREADS, temp_dir: lake.temp() })
  try {
    const files = [], days = daysOf(period)
    const any = (nth: number, most: number): string => `(hash(i, ${nth}, '${period}') % ${most})::varchar`
    const cents = (nth: number): string => `lpad(${any(nth, 100)}, 2, '0')`
    for (const [i, day] of days.entries()) {
      const select = `
        select 'user-' || ${isOneUser ? "1" : "i"} as user_pin, '${day}' as dt, 1::bigint as import_no, i as row, ${any(1, 700)} as lc_score, ${any(2, 2)} as gdlc_jy_flag, ${any(3, 900_000)} || '.' || ${cents(4)} as xjk_jy_amt,
          ${any(5, 90_000)} || '.' || ${cents(6)} as jt_hold_amt, ${any(8, 900)} as bt_score, ${any(9, 50)} as bt_orders, ${any(10, 5_000)} || '.5' as gold_amt, ${any(11, 2)} as gold_flag
        from range(${i}, ${rows}, ${days.length}) r(i)`
      files.push(await lake.write(duck, { select, order: "row", folder: `scores/${period}`, name: day, day, range: "row" }))
    }
    lake.publish({ dataset: "scores", part: period, files, facts: { import_no: 1 } })
  } finally {
    duck.close()
  }
}

interface Month {
  readonly seconds: number; readonly cpu_s: number; readonly peak_mb: number; readonly users: number; readonly changed: number
  /** Every output and its hash. */
  readonly shas: string
  readonly levels: number
}

/** Two months of so many rows, of which the second is measured; then what else is asked of its servers. */
const judge = async <T>(folder: string, { rows, threads = THREADS, isOneUser = false }: { rows: number; threads?: number; isOneUser?: boolean }, then: (bare: Bare, month: Month) => Promise<T>): Promise<T> => {
  const bare = await startBare()
  const sql = openTables(bare.database_url)
  try {
    for (const { badge_id, rules } of FOUR) {
      await sql`insert into badges (badge_id, created_ms) values (${badge_id}, 0)`
      await sql`insert into badge_versions (badge_no, version, line, effective_month, body, fingerprint, created_ms, activated_ms) select badge_no, 1, ${rules.line}, ${BEFORE}, ${JSON.stringify(rules)}::text::jsonb, '', 0, 1 from badges where badge_id = ${badge_id}`
    }
    const house: House = { sql, lake: openLake(join(folder, "lake")), time_zone: "UTC", memory_mb: MEMORY_MB, threads, api: undefined, signal: new AbortController().signal, progress: () => undefined }
    const run = async (period: string) => {
      await putFeed(house.lake, period, rows, isOneUser)
      const server = cpuOfFamily(bare.postgres_pid), cpu = process.cpuUsage(), began = performance.now()
      const ended = await runJob(house, badges, { period, set: "", is_dry: false, is_first: period === BEFORE, options: {} })
      const seconds = (performance.now() - began) / 1_000, spent = process.cpuUsage(cpu)
      if (ended.state !== "published") throw new Error(`badges of ${period}: ${ended.state}, ${ended.detail ?? ended.reason}`)
      return { ended, seconds, cpu_s: (spent.user + spent.system + cpuOfFamily(bare.postgres_pid) - server) / 1e6 }
    }
    forgetPeak()
    await run(BEFORE)
    const { ended, seconds, cpu_s } = await run(PERIOD)
    const answer = (await runRow(sql, ended.run_id))!.answer as BadgesAnswer
    return await then(bare, {
      seconds, cpu_s, peak_mb: peakMb(), users: answer.users, changed: answer.badges.reduce((sum, { events }) => sum + events.new + events.up + events.down + events.lost, 0),
      shas: ended.outputs.map(({ name, sha256 }) => `${name} ${sha256}`).join(" "), levels: ended.outputs.filter(({ name }) => name.startsWith("levels")).reduce((sum, { rows }) => sum + rows, 0),
    })
  } finally {
    await sql.end({ timeout: 1 })
    await bare.stop()
    rmSync(join(folder, "lake"), { recursive: true, force: true })
  }
}

/** The published levels into Redis: how long that took, and how many bytes a user takes. */
const load = async ({ redis, parts }: Bare): Promise<{ seconds: number; bytes: number; held: number }> => {
  const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1])
  const before = await used(), began = performance.now()
  const held = await loadLevels(parts, quietLog, Date.now()) ?? 0
  return { seconds: (performance.now() - began) / 1_000, bytes: (await used() - before) / held, held }
}

/** Play it: a tenth of the users first, then all. */
export const playBadges = async (users: number, say: (text: string) => void): Promise<Result> => {
  const folder = temporaryFolder()
  try {
    say(`two months of ${users / 10} users, and the levels of the second to Redis`)
    const { small, loaded } = await judge(folder, { rows: users / 10 }, async (bare, month) => ({ small: month, loaded: await load(bare) }))
    say(`two months of ${users / 10} users with one thread`)
    const single = await judge(folder, { rows: users / 10, threads: 1 }, async (_, month) => month)
    say(`two months of ${users} users`)
    const large = await judge(folder, { rows: users }, async (_, month) => month)
    say(`two months of ${users} rows of one user`)
    const one = await judge(folder, { rows: users, isOneUser: true }, async (_, month) => month)
    const figures: Figure[] = [
      { name: `badges of ${users} users, 4 lines, against the month before, memory_limit ${MEMORY_MB} MB`, value: large.seconds, unit: "s", wanted: { at: "most", value: SECONDS_MOST * users / 10_000_000 } },
      { name: "processor time of it, with Postgres", value: large.cpu_s, unit: "s" },
      { name: "processor time against ten times that of a tenth of the users", value: large.cpu_s / (10 * small.cpu_s), unit: "×", wanted: { at: "most", value: CPU_MOST } },
      { name: "most memory of the process", value: large.peak_mb, unit: "MB", wanted: { at: "most", value: RSS_MB_MOST } },
      { name: `badges of ${users} rows of one user`, value: one.seconds, unit: "s" },
      { name: "most memory of the process then", value: one.peak_mb, unit: "MB", wanted: { at: "most", value: RSS_MB_MOST } },
      { name: "levels that changed", value: large.changed, unit: "levels" },
      { name: "published levels to Redis, users per second", value: loaded.held / loaded.seconds, unit: "/s", wanted: { at: "least", value: LEVELS_LEAST } },
      { name: "bytes of Redis per user with levels of four lines", value: loaded.bytes, unit: "bytes", wanted: { at: "most", value: BYTES_MOST } },
    ]
    const proofs: Proof[] = [
      { name: "users that were judged", wanted: users, found: large.users }, { name: "users of the rows of one", wanted: 1, found: one.users }, { name: "outputs with one thread, by their sha256", wanted: small.shas, found: single.shas },
      { name: "users with a level in Redis", wanted: small.levels, found: loaded.held },
    ]
    return { scenario: "badges", rows: [], figures, proofs }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

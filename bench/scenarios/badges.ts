/**
 * A month of badges: from scores in Parquet to levels, events and explanations, then levels into Postgres and Redis.
 *
 * What must stay true: the job's own code does the work, within the limits that a run has; users are spread by chance over every level of four lines.
 * Memory is the most that this process took from the making of the feed on. With one thread the bytes are the same.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { writeBlocks } from "../../analytics/badges/blocks.ts"
import { compileRules, type RuledBadge } from "../../analytics/badges/compile.ts"
import { judgeMonth, NO_LEVELS, shardDigits } from "../../analytics/badges/month.ts"
import { type Duck, openDuck, quoted } from "../../analytics/duck.ts"
import { type LakeFile, openLake } from "../../analytics/lake.ts"
import { defineMacros } from "../../analytics/dialects/dialect.ts"
import type { FieldType } from "../../engine/badges/grammar.ts"
import type { Downgrade, Op, When } from "../../engine/badges/rules.ts"
import { loadLevels } from "../../engine/levels/load.ts"
import { quietLog } from "../../engine/log.ts"
import { startBare, temporaryFolder } from "../bare.ts"
import { forgetPeak, peakMb } from "../cpu.ts"
import type { Figure, Proof, Result } from "../result.ts"

const PERIOD = "2026-10"
const MEMORY_MB = 2_000
const THREADS = 2
const SECONDS_MOST = 60, CPU_MOST = 1.5, RSS_MB_MOST = 3_000, BYTES_MOST = 40, LEVELS_LEAST = 100_000

const INTEGER: FieldType = { type: "integer" }, FLAG: FieldType = { type: "flag" }, MONEY: FieldType = { type: "money", unit: "major" }
const at = (field: string, op: Op, value: string): When => ({ field, op, value })
const line = (badge_no: number, badge_id: string, fields: Record<string, FieldType>, whens: readonly When[], downgrade: Downgrade): RuledBadge => ({
  badge_no, badge_id, version: 1, rules: { line: badge_id, name: badge_id, effective_month: PERIOD, fields, downgrade, levels: whens.map((when, i) => ({ level: i + 1, name: `L${i + 1}`, when })) },
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

const makeFeed = (duck: Duck, users: number, file: string): Promise<void> => duck.run(`copy (
  select 'user-' || i as user_pin, '2026-10-' || lpad((1 + hash(i, 7) % 31)::varchar, 2, '0') as dt, 1 as import_no, i as row, (hash(i, 1) % 700)::varchar as lc_score, (hash(i, 2) % 2)::varchar as gdlc_jy_flag,
    (hash(i, 3) % 900000)::varchar || '.' || lpad((hash(i, 4) % 100)::varchar, 2, '0') as xjk_jy_amt, (hash(i, 5) % 90000)::varchar || '.' || lpad((hash(i, 6) % 100)::varchar, 2, '0') as jt_hold_amt,
    (hash(i, 8) % 900)::varchar as bt_score, (hash(i, 9) % 50)::varchar as bt_orders, (hash(i, 10) % 5000)::varchar || '.5' as gold_amt, (hash(i, 11) % 2)::varchar as gold_flag
  from range(${users}) r(i)) to ${quoted(file)} (format parquet, compression zstd)`)

interface Month { readonly seconds: number; readonly cpu_s: number; readonly peak_mb: number; readonly levels: readonly LakeFile[]; readonly users: number; readonly shas: readonly string[] }

/** Judge a month of so many users. */
const judge = async (folder: string, users: number, threads = THREADS): Promise<Month> => {
  forgetPeak()
  const lake = openLake(join(folder, `lake-${users}`))
  const duck = await openDuck({ memory_mb: MEMORY_MB, threads, temp_dir: lake.temp() })
  try {
    const feed = join(folder, `feed-${users}.parquet`)
    await makeFeed(duck, users, feed)
    await defineMacros(duck)
    const began = performance.now(), cpu = process.cpuUsage()
    const levels: LakeFile[] = [], shas: string[] = []
    const seen = await judgeMonth(duck, {
      compiled: compileRules(FOUR), period: PERIOD, digits: shardDigits(users), scores: `read_parquet(${quoted(feed)})`, was: new Map(), previous: () => NO_LEVELS, progress: () => undefined, signal: new AbortController().signal,
      write: async ({ name, select, key, is_sorted = false }) => {
        const file = await lake.write(duck, { select, ...(is_sorted ? {} : { order: key.join(", ") }), folder: "outputs", name })
        shas.push(file.sha256)
        if (name.startsWith("levels")) levels.push(file)
      },
    })
    const spent = process.cpuUsage(cpu)
    rmSync(feed)
    return { seconds: (performance.now() - began) / 1_000, cpu_s: (spent.user + spent.system) / 1e6, peak_mb: peakMb(), levels, users: seen.users, shas }
  } finally {
    duck.close()
  }
}

/** Put a month's levels into Postgres and Redis; how long that took, and how many bytes a user takes. */
const publish = async (folder: string, users: number, { levels }: Month): Promise<{ written_s: number; loaded_s: number; bytes: number; held: number }> => {
  const bare = await startBare()
  const lake = openLake(join(folder, `lake-${users}`))
  const duck = await openDuck({ memory_mb: MEMORY_MB, threads: THREADS, temp_dir: lake.temp() })
  try {
    await defineMacros(duck)
    const { parts } = bare
    const { sql } = parts.postgres
    for (const { badge_id, rules } of FOUR) {
      await sql`insert into badges (badge_id, created_ms) values (${badge_id}, 0)`
      await sql`insert into badge_versions (badge_no, version, line, effective_month, body, fingerprint, created_ms) select badge_no, 1, ${rules.line}, ${PERIOD}, ${JSON.stringify(rules)}::text::jsonb, '', 0 from badges where badge_id = ${badge_id}`
    }
    const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await bare.redis.info("memory"))?.[1])
    const before = await used(), began = performance.now()
    await writeBlocks({ duck, sql: sql as never, signal: new AbortController().signal, progress: () => undefined },
      { run_id: "bench", period: PERIOD, badges: compileRules(FOUR).badges, files: levels.map((file) => ({ place: lake.place(file), rows: file.rows })) })
    await sql`insert into run_periods (job, period, set_name, run_id) values ('badges', ${PERIOD}, '', 'bench')`
    const written = performance.now()
    const held = await loadLevels(parts, quietLog, Date.now()) ?? 0
    return { written_s: (written - began) / 1_000, loaded_s: (performance.now() - written) / 1_000, bytes: (await used() - before) / held, held }
  } finally {
    duck.close()
    await bare.stop()
  }
}

/** Play it: a tenth of the users first, then all. */
export const playBadges = async (users: number, say: (text: string) => void): Promise<Result> => {
  const folder = temporaryFolder()
  try {
    say(`a month of ${users / 10} users`)
    const small = await judge(folder, users / 10)
    say(`a month of ${users} users`)
    const large = await judge(folder, users)
    say(`the month of ${users / 10} users with one thread`)
    const single = await judge(folder, users / 10, 1)
    say("levels to Postgres and Redis")
    const loaded = await publish(folder, users / 10, small)
    const figures: Figure[] = [
      { name: `badges of ${users} users, 4 lines, memory_limit ${MEMORY_MB} MB`, value: large.seconds, unit: "s", wanted: { at: "most", value: SECONDS_MOST * users / 10_000_000 } },
      { name: "processor time of it", value: large.cpu_s, unit: "s" },
      { name: "processor time against ten times that of a tenth of the users", value: large.cpu_s / (10 * small.cpu_s), unit: "×", wanted: { at: "most", value: CPU_MOST } },
      { name: "most memory of the process", value: large.peak_mb, unit: "MB", wanted: { at: "most", value: RSS_MB_MOST } },
      { name: "published levels to Redis, users per second", value: loaded.held / loaded.loaded_s, unit: "/s", wanted: { at: "least", value: LEVELS_LEAST } },
      { name: "the same from Parquet, by way of Postgres", value: loaded.held / (loaded.written_s + loaded.loaded_s), unit: "/s" },
      { name: "bytes of Redis per user with levels of four lines", value: loaded.bytes, unit: "bytes", wanted: { at: "most", value: BYTES_MOST } },
    ]
    const proofs: Proof[] = [{ name: "users that were judged", wanted: users, found: large.users }, { name: "outputs with one thread, by their sha256", wanted: small.shas.join(" "), found: single.shas.join(" ") }, { name: "users with a level in Redis", wanted: small.levels.reduce((sum, { rows }) => sum + rows, 0), found: loaded.held }]
    return { scenario: "badges", rows: [], figures, proofs }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

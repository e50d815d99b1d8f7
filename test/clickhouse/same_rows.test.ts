// The same jobs in DuckDB and in ClickHouse over one lake: every output equal, row by row. `npm run test:clickhouse` installs ClickHouse and runs it.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { monthNumber } from "../../analytics/badges/compile.ts"
import type { BadgesAnswer } from "../../analytics/jobs/badges.ts"
import { badges } from "../../analytics/jobs/badges.ts"
import { risk } from "../../analytics/jobs/risk.ts"
import { defineMacros, literal, MACROS } from "../../analytics/dialects/dialect.ts"
import { type Duck, named, openDuck, quoted } from "../../analytics/duck.ts"
import type { Input, Output, PortableJob, PortableWork, Ran } from "../../analytics/job.ts"
import { type Lake, type LakeFile, openLake } from "../../analytics/lake.ts"
import { periodBefore, periodsBetween, periodSpan } from "../../analytics/periods.ts"
import { DAY_COLUMNS, dayFigures, LINE_COLUMNS } from "../../analytics/risk/day.ts"
import { showInputs } from "../../analytics/runner.ts"
import { SPELLINGS, wholeOf } from "../../engine/badges/grammar.ts"
import type { Rules, When } from "../../engine/badges/rules.ts"
import { shopOf } from "../analytics/risk_world.ts"
import { FLAG, INTEGER, MONEY, wealth } from "../analytics/scores.ts"
import { scratchFolder } from "../support/scratch.ts"
import { type ClickHouse, isInstalled, openClickHouse } from "./chdb.ts"

const IS_WANTED = process.env["SCRIP_TEST_CLICKHOUSE"] === "1"
if (!IS_WANTED) console.log("skipped: the jobs in ClickHouse. `npm run test:clickhouse` installs it (546 MB) and runs them.")
else if (!isInstalled) throw new Error("test/clickhouse/node_modules has no chdb: npm ci --prefix test/clickhouse")

const USERS = Number(process.env["SCRIP_CLICKHOUSE_USERS"] ?? 30_000)
/** More rows than one shard takes, so that sixteen are judged one by one. */
const USERS_IN_SHARDS = 820_000
const TEST_MS_MAX = 300_000

let duck: Duck, house: ClickHouse, lake: Lake
beforeAll(async () => {
  if (!IS_WANTED) return
  lake = openLake(scratchFolder())
  duck = await openDuck({ memory_mb: 1_500, threads: 2, temp_dir: join(scratchFolder(), "temp") })
  await defineMacros(duck)
  house = openClickHouse()
  await defineMacros(house)
  console.log(`ClickHouse ${house.version}`)
}, TEST_MS_MAX)
afterAll(() => {
  if (!IS_WANTED) return
  duck.close()
  house.close()
})

interface Side { readonly name: "duckdb" | "clickhouse"; readonly ran: Ran; readonly outputs: readonly Output[]; readonly took_ms: number }
interface Asked { readonly job: PortableJob; readonly period: string; readonly rules: unknown; readonly inputs: Readonly<Record<string, Input>> }

/** Carry out a job's own `run` in one of the engines, as the runner does. */
const runIn = async (name: Side["name"], { job, period, rules, inputs }: Asked): Promise<Side> => {
  const folder = `outputs/${name}/${job.name}/${period}`
  mkdirSync(join(lake.root, folder), { recursive: true })
  const outputs: Output[] = []
  const began = performance.now()
  const own = name === "duckdb" ? await openDuck({ memory_mb: 1_000, threads: 2, temp_dir: lake.temp() }) : undefined
  if (own) await showInputs(own, lake, inputs)
  else await house.show(inputs, lake.root)
  const work: PortableWork = {
    engine: own ?? house, period: periodSpan(period, "UTC"), time_zone: "UTC", set: "", options: {}, rules, signal: new AbortController().signal, progress: () => {},
    write: async ({ name: output, select, key, order = key.map(named).join(", "), sums = [] }) => {
      let file: LakeFile
      if (own) file = await lake.write(own, { select, order, folder, name: output, sums })
      else {
        const path = join(folder, `${output}.parquet`)
        await house.write(select, order, lake.place({ path }))
        const facts = await duck.one<Record<string, string | number>>(`select count(*) as rows${sums.map((column) => `, coalesce(sum(${named(column)}), 0)::varchar as ${named(column)}`).join("")} from read_parquet(${quoted(lake.place({ path }))})`)
        file = { path, rows: Number(facts["rows"]), bytes: 0, sha256: "", sums: Object.fromEntries(sums.map((column) => [column, String(facts[column])])) }
      }
      outputs.push({ ...file, name: output, key })
      return outputs.at(-1)!
    },
  }
  try {
    return { name, ran: await job.run(work), outputs, took_ms: performance.now() - began }
  } finally {
    own?.close()
  }
}

/** How many rows of two files differ in any value, each row against the one in its place. */
const differing = async (one: readonly string[], other: readonly string[]): Promise<{ rows: number; differing: number }> => {
  const [a, b] = [one, other].map((files) => `read_parquet([${files.map(quoted).join(", ")}])`) as [string, string]
  const columns = await duck.columns(a)
  expect(await duck.columns(b)).toEqual(columns)
  const counted = await duck.one<{ rows: number; others: number; differing: number }>(`
    select (select count(*) from ${a}) as rows, (select count(*) from ${b}) as others,
      (select count(*) from (select * from ${a}) as a positional join (select * from ${b}) as b where ${columns.map((column) => `a.${named(column)}::varchar is distinct from b.${named(column)}::varchar`).join(" or ")}) as differing`)
  expect(counted.others).toBe(counted.rows)
  return { rows: counted.rows, differing: counted.differing }
}

/** Run a job in both, and hold every output, answer and check of one to the other's. */
const inBoth = async (asked: Asked): Promise<{ ours: Side; theirs: Side; rows: number }> => {
  const ours = await runIn("duckdb", asked), theirs = await runIn("clickhouse", asked)
  expect(theirs.ran).toEqual(ours.ran)
  expect(theirs.outputs.map(({ name, rows }) => [name, rows])).toEqual(ours.outputs.map(({ name, rows }) => [name, rows]))
  let rows = 0
  for (const [i, output] of ours.outputs.entries()) {
    const found = await differing([lake.place(output)], [lake.place(theirs.outputs[i]!)])
    expect([output.name, found.differing]).toEqual([output.name, 0])
    rows += found.rows
  }
  expect(ours.ran.checks.filter(({ left, right }) => left !== right)).toEqual([])
  console.log(`${asked.job.name} ${asked.period}: ${ours.outputs.length} outputs, ${rows} rows equal; ${(ours.took_ms / 1_000).toFixed(1)} s in DuckDB, ${(theirs.took_ms / 1_000).toFixed(1)} s in ClickHouse`)
  return { ours, theirs, rows }
}

describe.skipIf(!IS_WANTED)("macros", () => {
  const SPELLED = ["0", "-0", "7", "-7", "007", "1e3", "1_000", "+5", ".5", "5.", "5.5", "5.55", "5.555", "-5.5", " 4", "4 ", "4\n", "\n4", "", "x", "１２", "٣", "0x10", "NaN", "inf", "-", "true", "1", "2",
    "999999999999999", "-999999999999999", "1000000000000000", "999999999999999.99", "-999999999999999.9", "0.01", "-0.01", "0.00", "a\\b", "o'b", "ü"]

  test("read_texts: a text is the number that the grammar says, or none, in both", async () => {
    for (const text of SPELLED) {
      const asked = `select ${Object.keys(SPELLINGS).map((spelling) => `text_of(whole_${spelling}(${literal(text)})) as ${spelling}`).join(", ")}, user_hash(${literal(text)}) as hash, hash_prefix(user_hash(${literal(text)}), 2) as prefix`
      const found = await duck.one<Record<string, string | null>>(asked)
      expect([text, await house.one<Record<string, string | null>>(asked)]).toEqual([text, found])
      const wanted = [wholeOf(text, INTEGER), wholeOf(text, MONEY), wholeOf(text, { type: "money", unit: "minor" }), wholeOf(text, FLAG)].map((whole) => whole === undefined ? null : String(whole))
      expect([text, found["integer"], found["money_major"], found["money_minor"], found["flag"]]).toEqual([text, ...wanted])
    }
  })

  test("reckon: shares, squares and quotients are the same to the last digit, of amounts that no double holds too", async () => {
    const WHOLES = ["0", "1", "-1", "3", "10000", "9007199254740991", "-9007199254740991", "9007199254740990", "4503599627370497", "null"]
    for (const part of WHOLES) for (const whole of WHOLES) {
      // A share of a negative part is not asked for: engines round it in different directions.
      const share = part.startsWith("-") ? "no_whole()" : `share_bp(narrow(${part}), narrow(${whole}))`
      const isTooWide = part !== "null" && whole !== "null" && Math.abs(Number(part)) > 1e6 && ["1", "3"].includes(whole)
      const asked = `select text_of(${isTooWide ? "no_whole()" : share}) as share, text_of(square(narrow(${part}))) as squared, text_of(wide(narrow(${part})) * wide(narrow(${whole}))) as product, text_of(ratio_rounded(narrow(${part}), narrow(${whole}))) as ratio, no_text() as none`
      expect([part, whole, await house.one(asked)]).toEqual([part, whole, await duck.one(asked)])
    }
    expect(Object.keys(house.dialect.macros).sort()).toEqual(Object.keys(MACROS).sort())
  })
})

// ── Badges ───────────────────────────────────────────────────────────────────────────────────────────────────────

const at = (field: string, op: ">=" | "<" | "=" | ">" | "!=" | "<=", value: string): When => ({ field, op, value })
const right = (level: number, campaign_id: string) => ({ level, campaign_id, claim: "automatic" as const })
const LINES: readonly { badge_no: number; badge_id: string; version: number; rules: Rules }[] = [
  { badge_id: "wealth", rules: wealth({ rights: [right(1, "silver"), right(2, "o'gold \\ ü")] }) },
  { badge_id: "treasury", rules: wealth({ downgrade: "one_level", fields: { xjk: MONEY }, levels: ["1000", "100000.5", "500000"].map((value, i) => ({ level: i + 1, name: `L${i}`, when: at("xjk", ">=", value) })) }) },
  { badge_id: "baitiao \\ '", rules: wealth({ downgrade: { grace_months: 1 }, fields: { bt_score: INTEGER, bt_orders: INTEGER, nobody_sends_it: FLAG }, levels: [
    { level: 1, name: "One", when: { any: [at("bt_score", ">=", "300"), at("nobody_sends_it", "=", "1")] } }, { level: 3, name: "Two", when: { all: [at("bt_score", ">=", "500"), at("bt_orders", ">", "5")] } },
    { level: 7, name: "Three", when: { any: [{ all: [at("bt_score", "<=", "-5"), at("bt_orders", "!=", "20")] }, at("bt_orders", "=", "49")] } },
  ], rights: [right(3, "bt")] }) },
  { badge_id: "gold", rules: wealth({ fields: { gold_flag: FLAG, xjk: { type: "money", unit: "minor" } }, levels: [
    { level: 1, name: "One", when: at("gold_flag", "=", "1") }, { level: 2, name: "Two", when: { all: [{ field: "gold_flag", op: "in", value: ["0", "1"] }, { badge: "wealth", op: ">=", level: 1 }, { badge: "treasury", op: "in", level: [2, 3] }] } },
  ] }) },
].map((badge, i) => ({ ...badge, badge_no: i + 1, version: 1 }))

/** A month's feed: two imports, the second later and with other columns; some users twice, on one day and on two; values of every spelling. */
const putFeed = async (period: string, users: number): Promise<Input> => {
  const seed = monthNumber(period)
  const none = (nth: number, value: string) => `case hash(i, ${nth}, ${seed}) % 40 when 0 then '' when 1 then null when 2 then '1e3' when 3 then '１２' when 4 then ' 7' when 5 then '-0' when 6 then '99999999999999999' when 7 then '5.555' else ${value} end`
  const files: LakeFile[] = []
  for (const [import_no, columns] of [
    { lc_score: `(hash(i, 11, ${seed}) % 700)::varchar`, gdlc_jy_flag: `(hash(i, 12, ${seed}) % 2)::varchar`, hold_amt: `(hash(i, 13, ${seed}) % 9000)::varchar || '.' || (hash(i, 14, ${seed}) % 10)`, xjk: `(hash(i, 15, ${seed}) % 900000)::varchar` },
    { xjk: `(hash(i, 15, ${seed}) % 900000)::varchar || '.5'`, bt_score: `((hash(i, 16, ${seed}) % 900)::bigint - 20)::varchar`, bt_orders: `(hash(i, 17, ${seed}) % 50)::varchar`, gold_flag: `(hash(i, 19, ${seed}) % 2)::varchar` },
  ].entries()) {
    files.push(await lake.write(duck, {
      select: `select case i % 5 when 0 then 'ü ' when 1 then 'o''' when 2 then '\\' else 'u' end || i as user_pin, '${period}-' || lpad((hash(i, ${import_no}, ${seed}) % 2 + 10)::varchar, 2, '0') as dt, ${import_no + 1}::bigint as import_no, i::bigint as row,
        ${Object.entries(columns).map(([field, value], nth) => `${none(nth + import_no * 10, value)} as ${field}`).join(", ")}
        from (select (hash(n, ${seed}, ${import_no}) % ${Math.floor(users * 1.2)})::bigint as i from range(${Math.ceil(users / 2)}) r(n)) group by i`,
      order: "row", folder: `scores/${period}`, name: String(import_no), day: `${period}-15`,
    }))
  }
  return { files, columns: { user_pin: "VARCHAR", dt: "VARCHAR", import_no: "BIGINT", row: "BIGINT" } }
}

const previousInputs = ({ outputs }: Side): Record<string, Input> =>
  Object.fromEntries(outputs.filter(({ name }) => name.startsWith("levels")).map((output) => [`previous_${output.name}`, { files: [output], columns: { user_id: "VARCHAR" } }]))
const rulesAfter = (side: Side | undefined, ruled: readonly unknown[]) => {
  const then = side?.ran.answer as BadgesAnswer | undefined
  return { badges: ruled, is_first: !then, previous: then === undefined ? null : { period: then.period, digits: then.digits, places: Object.fromEntries(then.badges.map(({ badge_id, place }) => [badge_id, place])) } }
}

describe.skipIf(!IS_WANTED)("badges", () => {
  test("three months, one after the other: levels, events, explanations and rights are equal row by row", async () => {
    let last: { ours: Side; theirs: Side } | undefined
    const seen = { new: 0, up: 0, down: 0, lost: 0, same: 0 }
    for (const [period, ruled] of [["2026-09", LINES.slice(0, 2)], ["2026-10", LINES], ["2026-11", LINES]] as const) {
      const scores = await putFeed(period, USERS)
      const asked: Asked = { job: badges, period, rules: rulesAfter(last?.ours, ruled), inputs: { scores, ...(last ? previousInputs(last.ours) : {}) } }
      last = await inBoth(asked)
      for (const { events } of (last.ours.ran.answer as BadgesAnswer).badges) for (const word of Object.keys(seen) as (keyof typeof seen)[]) seen[word] += events[word]
    }
    expect(Object.values(seen).filter((count) => count < 100)).toEqual([])
    // What ClickHouse has written is a month before for either.
    const scores = await putFeed("2026-12", Math.ceil(USERS / 10))
    const after = (side: Side): Asked => ({ job: badges, period: "2026-12", rules: rulesAfter(side, LINES), inputs: { scores, ...previousInputs(side) } })
    const [a, b] = [await runIn("duckdb", after(last!.ours)), await runIn("clickhouse", after(last!.theirs))]
    expect(b.ran).toEqual(a.ran)
  }, TEST_MS_MAX)

  test("a month with no row that counts, and one user with many rows", async () => {
    const empty = await putFeed("2026-08", 10)
    const none: Input = { files: [], columns: empty.columns }
    const { ours } = await inBoth({ job: badges, period: "2026-08", rules: rulesAfter(undefined, LINES), inputs: { scores: none } })
    expect((ours.ran.answer as BadgesAnswer).users).toBe(0)
    const file = await lake.write(duck, { select: "select 'one' as user_pin, '2026-07-' || (10 + i % 20) as dt, 1::bigint as import_no, i as row, i::varchar as lc_score from range(50000) r(i)", order: "row", folder: "scores/2026-07", name: "one", day: "2026-07-15" })
    const one = await inBoth({ job: badges, period: "2026-07", rules: rulesAfter(undefined, LINES), inputs: { scores: { files: [file], columns: empty.columns } } })
    expect((one.ours.ran.answer as BadgesAnswer).users).toBe(1)
  }, TEST_MS_MAX)

  test("in shards: what one engine spreads by hash, the other does too", async () => {
    const file = await lake.write(duck, { select: `select 'user-' || i as user_pin, '2026-10-15' as dt, 1::bigint as import_no, i as row, (hash(i) % 700)::varchar as lc_score from range(${USERS_IN_SHARDS}) r(i)`, order: "row", folder: "scores/shards", name: "all", day: "2026-10-15" })
    const ruled = [{ ...LINES[0]!, rules: wealth({ fields: { lc_score: INTEGER }, levels: [{ level: 1, name: "One", when: at("lc_score", ">=", "400") }] }) }]
    const { ours } = await inBoth({ job: badges, period: "2026-10", rules: rulesAfter(undefined, ruled), inputs: { scores: { files: [file], columns: { user_pin: "VARCHAR", dt: "VARCHAR", import_no: "BIGINT", row: "BIGINT" } } } })
    expect((ours.ran.answer as BadgesAnswer).digits).toBe(1)
  }, TEST_MS_MAX)
})

// ── Risk ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe.skipIf(!IS_WANTED)("risk", () => {
  const LAST = "2026-10-31", DAYS = periodsBetween("2026-09-05", LAST)

  test("eight weeks and a day: the days' figures from their lines, and each key's z, are equal row by row", async () => {
    const { days, firsts } = shopOf(3, 60)
    const figures: Record<Side["name"], LakeFile[]> = { duckdb: [], clickhouse: [] }
    await duck.table("lines_of", { ...LINE_COLUMNS, day: "VARCHAR" }, days.flatMap((lines, i) => lines.map((line) => ({ ...line, day: DAYS[i]! }))))
    await duck.table("firsts_of", { user_no: "BIGINT", day: "VARCHAR" }, firsts.flatMap((users, i) => [...users].map((user_no) => ({ user_no, day: DAYS[i]! }))))
    const inputs = {
      lines: { files: [await lake.write(duck, { select: "select * from lines_of", order: "day, kind, redemption, line, campaign", folder: "risk_lines/all", name: "all" })], columns: LINE_COLUMNS },
      firsts: { files: [await lake.write(duck, { select: "select * from firsts_of", order: "day, user_no", folder: "risk_firsts/all", name: "all" })], columns: { user_no: "BIGINT" } },
    }
    await showInputs(duck, lake, inputs)
    await house.show(inputs, lake.root)
    for (const day of DAYS) {
      const select = dayFigures(day, `(select * from lines where day = '${day}')`, `(select * from firsts where day = '${day}')`)
      figures.duckdb.push(await lake.write(duck, { select, order: "dimension, key", folder: `risk_days/${day}`, name: day, day }))
      const path = join(`risk_days/${day}`, "clickhouse.parquet")
      await house.write(select, "dimension, key", lake.place({ path }))
      figures.clickhouse.push({ path, rows: 0, bytes: 0, sha256: "", day })
    }
    const found = await differing(figures.duckdb.map(lake.place), figures.clickhouse.map(lake.place))
    expect(found.differing).toBe(0)
    expect(found.rows).toBeGreaterThan(2_000)
    for (const source of ["duckdb", "clickhouse"] as const) {
      const { ours } = await inBoth({ job: risk, period: LAST, rules: { day: LAST }, inputs: { days: { files: figures[source], columns: DAY_COLUMNS } } })
      expect((ours.ran.answer as { keys: number }).keys).toBeGreaterThan(70)
      const { scored } = await duck.one<{ scored: number }>(`select count(z_amount_e4) as scored from read_parquet(${quoted(lake.place(ours.outputs[0]!))})`)
      expect(scored).toBeGreaterThan(20)
    }
    await inBoth({ job: risk, period: periodBefore("2026-09-01"), rules: {}, inputs: { days: { files: [], columns: DAY_COLUMNS } } })
  }, TEST_MS_MAX)
})

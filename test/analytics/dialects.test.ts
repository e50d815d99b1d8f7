// Portable SQL: what badges and risk say to an engine is one text for all, in a subset that every engine reads alike; the rest is macros.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { join } from "node:path"
import { compileRules } from "../../analytics/badges/compile.ts"
import { judgeMonth, NO_LEVELS } from "../../analytics/badges/month.ts"
import { badges } from "../../analytics/jobs/badges.ts"
import { risk } from "../../analytics/jobs/risk.ts"
import { clickhouse } from "../../analytics/dialects/clickhouse.ts"
import { defineMacros, type Engine, literal, type Macro, MACROS } from "../../analytics/dialects/dialect.ts"
import { duckdb } from "../../analytics/dialects/duckdb.ts"
import { type Duck, named, openDuck } from "../../analytics/duck.ts"
import type { PortableJob } from "../../analytics/job.ts"
import { openLake } from "../../analytics/lake.ts"
import { periodSpan } from "../../analytics/periods.ts"
import { DAY_COLUMNS, dayFigures, LINE_COLUMNS } from "../../analytics/risk/day.ts"
import { showInputs } from "../../analytics/runner.ts"
import type { When } from "../../engine/badges/rules.ts"
import { scratchFolder } from "../support/scratch.ts"
import { wealth } from "./scores.ts"

/** Functions of SQL that every engine has under this name, with this meaning. */
const FUNCTIONS = ["coalesce", "count", "max", "min", "row_number", "sum"]
/** Words that may stand before a bracket. */
const WORDS = ["all", "and", "as", "by", "else", "from", "in", "join", "not", "on", "or", "over", "select", "then", "when", "where"]

let duck: Duck
beforeAll(async () => {
  duck = await openDuck({ memory_mb: 256, threads: 1, temp_dir: join(scratchFolder(), "temp") })
  await defineMacros(duck)
})
afterAll(() => duck.close())

/** What a job says to an engine, as it says it: the engine is DuckDB, with an ear to it. */
const saidBy = async (job: PortableJob, period: string, rules: unknown, input: string, columns: Readonly<Record<string, string>>): Promise<string[]> => {
  const lake = openLake(scratchFolder()), said: string[] = []
  const heard = <T>(sql: string, work: () => T): T => { said.push(sql); return work() }
  const engine: Engine = {
    ...duck, dialect: { ...duckdb, keep: (name, select) => heard(select, () => duckdb.keep(name, select)), spread: (on, spread) => heard(`select ${spread.by} from (${spread.select})`, () => duckdb.spread(on, spread)) },
    // Statements that the dialect itself has made are its own affair.
    beside: () => Promise.resolve(engine), run: duck.run, all: (sql) => heard(sql, () => duck.all(sql)), one: (sql) => heard(sql, () => duck.one(sql)),
  }
  await showInputs(duck, lake, { [input]: { files: [], columns } })
  await job.run({
    engine, period: periodSpan(period, "UTC"), time_zone: "UTC", set: "", options: {}, rules, signal: new AbortController().signal, progress: () => {},
    write: async ({ name, select, key, sums = [] }) => heard(select, async () => ({ ...await lake.write(duck, { select, order: key.map(named).join(", "), folder: "outputs", name, sums }), name, key })),
  })
  return said
}

/** What a statement says beyond the subset. */
const beyond = (sql: string): string[] => {
  const code = sql.replace(/'(?:[^']|'')*'/g, "''").replace(/"[^"]*"/g, "x").replace(/\s+/g, " ")
  const calls = [...code.matchAll(/([a-z_0-9]+) ?\(/gi)].map(([, name]) => name!.toLowerCase()).filter((name) => !FUNCTIONS.includes(name) && !WORDS.includes(name) && !(name in MACROS))
  const signs = [...code.matchAll(/::|\/|%|\\|\^|~|&|\bcast\b|\bqualify\b|\bfilter\b|\bexclude\b|\blateral\b|\bpivot\b|\blist\b|\bgroup by all\b/g)].map(([sign]) => sign)
  return [...calls, ...signs]
}

const every: When[] = [{ field: "a", op: "=", value: "1" }, { field: "a", op: "!=", value: "2" }, { field: "a", op: "in", value: ["3", "4"] }, { field: "b", op: "<", value: "1.50" }, { field: "b", op: "<=", value: "-2" }, { field: "c", op: ">", value: "0" }]
const ruled = (downgrade: "at_once" | "one_level" | { grace_months: number }, i: number) => ({
  badge_no: i + 1, badge_id: `b${i}`, version: 1,
  rules: wealth({
    downgrade, fields: { a: { type: "integer" }, b: { type: "money", unit: "major" }, c: { type: "flag" } }, rights: [{ level: 1, campaign_id: "it's", claim: "automatic" }],
    levels: [{ level: 1, name: "One", when: { any: every } }, { level: 2, name: "Two", when: i === 0 ? { all: every } : { all: [...every, { badge: "b0", op: ">=", level: 1 }] } }],
  }),
})

describe("the subset", () => {
  test("badges: every policy, operator and output", async () => {
    const rules = { badges: (["at_once", "one_level", { grace_months: 2 }] as const).map(ruled), is_first: true, previous: null }
    const said = await saidBy(badges, "2026-10", rules, "scores", { user_pin: "VARCHAR", dt: "VARCHAR", import_no: "BIGINT", row: "BIGINT", a: "VARCHAR", b: "VARCHAR" })
    expect(said.length).toBeGreaterThan(5)
    expect(said.flatMap(beyond)).toEqual([])
  })

  test("risk: a day's figures, and its scores", async () => {
    expect(beyond(dayFigures("2026-10-31", "lines", "firsts"))).toEqual([])
    await showInputs(duck, openLake(scratchFolder()), { lines: { files: [], columns: LINE_COLUMNS }, firsts: { files: [], columns: { user_no: "BIGINT" } } })
    expect(await duck.all(dayFigures("2026-10-31", "lines", "firsts"))).toEqual([])
    const said = await saidBy(risk, "2026-10-31", { day: "2026-10-31" }, "days", DAY_COLUMNS)
    expect(said.length).toBeGreaterThan(5)
    expect(said.flatMap(beyond)).toEqual([])
  })

  test("what is beyond it is seen", () => {
    for (const [sql, wanted] of [["select a::bigint", "::"], ["select a // b", "/"], ["select round(a)", "round"], ["select cast(a as bigint)", "cast"], ["select quantile_cont(a, 0.5)", "quantile_cont"], ["from read_parquet('x')", "read_parquet"]] as const) {
      expect(beyond(sql)).toContain(wanted)
    }
    expect(beyond("select 'round(1) / 2' as \"a/b\"")).toEqual([])
  })
})

test("every macro has one definition for each engine, of its own arguments and nothing else that is free", () => {
  for (const { name, macros } of [duckdb, clickhouse]) {
    expect([name, Object.keys(macros).sort()]).toEqual([name, Object.keys(MACROS).sort()])
    for (const [macro, { args }] of Object.entries(MACROS)) {
      const body = macros[macro as Macro].replace(/'(?:[^']|'')*'/g, "''").replace(/[A-Za-z_0-9]+ ?\(/g, "(").replace(/\b(case|when|then|else|end|is|null|in|as|cast|or|and|between|lambda|each)\b/g, " ")
      const free = [...body.matchAll(/\b[a-z]\w*\b/g)].map(([word]) => word).filter((word) => !(args as readonly string[]).includes(word) && !["bigint", "hugeint", "varchar"].includes(word))
      expect([name, macro, free]).toEqual([name, macro, []])
    }
  }
})

test("a text is the same text in every engine, whatever signs it has", async () => {
  for (const text of ["", "o'clock", "a\\b", "\\", "\\\\'", "ü", "a\nb"]) {
    expect(await duck.one(`select ${literal(text)} as text`)).toEqual({ text })
    expect(literal(text).replace(/'(?:[^'\\]|'')*'/g, "")).toMatch(/^( \|\| backslash\(\) \|\| )*$/)
  }
})

test("badges by nodes: those that share the users by their hashes make together what one makes that has them all", async () => {
  const compiled = compileRules((["at_once", "one_level", { grace_months: 2 }] as const).map(ruled)), was = new Map(compiled.badges.map(({ badge_id, place }) => [badge_id, place]))
  const NODES = [["0", "1", "2", "3", "4", "5", "6"], ["7", "8", "9", "a", "b", "c", "d", "e", "f"]]
  const isOf = (node: readonly string[], user: string): string => `hash_prefix(user_hash(${user}), 1) in (${node.map((digit) => `'${digit}'`).join(", ")})`
  for (const month of [9, 10]) await duck.run(`create table feed_${month} as select 'user-' || (hash(i, ${month}) % 900) as user_pin, '2026-${String(month).padStart(2, "0")}-' || (10 + hash(i, 2, ${month}) % 18) as dt, 1::bigint as import_no, i::bigint as row,
    (hash(i, 3, ${month}) % 5)::varchar as a, (hash(i, 4, ${month}) % 4)::varchar as b, (hash(i, 5, ${month}) % 2)::varchar as c from range(1000) r(i)`)

  /** The rows of each output, of all its shards, in the users' order. */
  const made = async (month: number, digits: number, node: readonly string[], before: string): Promise<Map<string, unknown[]>> => {
    const rows = new Map<string, unknown[]>()
    const cut = (shard: string): string => before === "" ? NO_LEVELS : `(select * from ${before} where ${isOf(node, "user_id")} and hash_prefix(user_hash(user_id), ${digits}) = '${shard}')`
    await judgeMonth(duck, {
      compiled, period: `2026-${String(month).padStart(2, "0")}`, digits, scores: `(select * from feed_${month} where ${isOf(node, "user_pin")}) as node_of`, was: before === "" ? new Map() : was, previous: cut, progress: () => {}, signal: new AbortController().signal,
      write: async ({ name, select }) => {
        const output = name.split("_")[0]!, kept = rows.get(output)
        rows.set(output, [...kept ?? [], ...await duck.all(select)])
        if (before === "" && output === "levels") await duck.run(kept === undefined ? `create table levels_before as ${select}` : `insert into levels_before ${select}`)
      },
    })
    for (const all of rows.values()) all.sort((one, other) => JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)
    return rows
  }
  await made(9, 0, NODES.flat(), "")
  const whole = await made(10, 1, NODES.flat(), "levels_before"), parts = [await made(10, 0, NODES[0]!, "levels_before"), await made(10, 0, NODES[1]!, "levels_before")]
  expect([...whole.keys()].sort()).toEqual(["events", "explanations", "levels", "rights"])
  for (const [output, rows] of whole) {
    expect(rows.length).toBeGreaterThan(100)
    expect([output, parts.flatMap((part) => part.get(output) ?? []).sort((one, other) => JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)]).toEqual([output, rows])
  }
})

// The monthly badges: levels by the month's rules, policies over the months before, events with their points, and runs that wait for a person.

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { PublishedRun } from "../../analytics/job.ts"
import { openDuck, quoted, type Row } from "../../analytics/duck.ts"
import { badges, type BadgesAnswer } from "../../analytics/jobs/badges.ts"
import { jobCommand } from "../../analytics/job_command.ts"
import { movePointer, publishedRun, runJob } from "../../analytics/runner.ts"
import type { Downgrade, Rules } from "../../engine/badges/rules.ts"
import { openHouse, october, type TestHouse } from "./house.ts"
import { FLAG, INTEGER, MONEY, putRules, putScores, wealth } from "./scores.ts"

const houses: TestHouse[] = []
const house = async (changed: Parameters<typeof openHouse>[0] = {}): Promise<TestHouse> => {
  const opened = await openHouse(changed)
  houses.push(opened)
  return opened
}
beforeAll(async () => { await house() })
afterAll(async () => { for (const each of houses) await each.close() })

const month = (period: string, more: Partial<typeof october> | { is_first: boolean } = {}) => ({ ...october, period, ...more })
const first = { is_first: true }

/** The rows of one of a published run's outputs. */
const rowsOf = async ({ lake, memory_mb }: TestHouse, run: PublishedRun, name: string): Promise<Row[]> => {
  const duck = await openDuck({ memory_mb, threads: 1, temp_dir: lake.temp() })
  try {
    const files = run.outputs.filter((output) => output.name === name || output.name.startsWith(`${name}_`)).map((output) => quoted(lake.place(output)))
    return await duck.all(`select * from read_parquet([${files.join(", ")}]) order by all`)
  } finally {
    duck.close()
  }
}
const published = async ({ sql }: TestHouse, period: string): Promise<PublishedRun> => (await publishedRun(sql, "badges", period, ""))!
/** Each user's level of the badge in the first place. */
const levelsIn = async (at: TestHouse, period: string): Promise<Record<string, number>> =>
  Object.fromEntries((await rowsOf(at, await published(at, period), "levels")).map(({ user_id, level_1 }) => [user_id, level_1])) as Record<string, number>
const run = async (at: TestHouse, period: string, more = {}) => runJob(at, badges, month(period, more))

/** A month in which each user has one row, with a score. */
const scored = (at: TestHouse, period: string, scores: Readonly<Record<string, string>>, import_no = 1) =>
  putScores(at.lake, import_no, Object.entries(scores).map(([user_pin, lc_score]) => ({ user_pin, dt: `${period}-15`, fields: { lc_score } })))
const byScore = (downgrade: Downgrade, more: Partial<Rules> = {}): Rules => wealth({
  fields: { lc_score: INTEGER }, downgrade,
  levels: [1, 2, 3].map((level) => ({ level, name: `L${level}`, when: { field: "lc_score", op: ">=", value: String(level * 100) } })), ...more,
})

describe("a month", () => {
  test("previous_period_missing: months run in their order, unless the first is said to be the first", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", wealth())
    await scored(at, "2026-10", { ann: "450" })
    expect(await run(at, "2026-10")).toMatchObject({ state: "failed", reason: "previous_period_missing" })
    expect(await run(at, "2026-10", first)).toMatchObject({ state: "published", revision: 1 })
    expect(await run(at, "2026-12")).toMatchObject({ state: "failed", reason: "scores_missing" })
    // Once it was said, the month is the first: the same again is there, and what comes late for it is a revision.
    expect(await run(at, "2026-10")).toMatchObject({ state: "already_published", revision: 1 })
    await scored(at, "2026-10", { ben: "120" })
    expect(await run(at, "2026-10")).toMatchObject({ state: "published", revision: 2 })
  })

  test("rules_missing: nothing is judged by drafts, or by rules of a later month", async () => {
    const at = await house()
    await scored(at, "2026-10", { ann: "450" })
    expect(await run(at, "2026-10", first)).toMatchObject({ state: "failed", reason: "rules_missing" })
    await putRules(at.sql, "wealth", wealth({ effective_month: "2026-11" }))
    expect(await run(at, "2026-10", first)).toMatchObject({ state: "failed", reason: "rules_missing" })
  })

  test("the row of the paper: each user has the highest level whose conditions hold, by his latest row alone", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", wealth())
    const row = (user_pin: string, dt: string, fields: Record<string, string | null>) => ({ user_pin, dt, fields })
    await putScores(at.lake, 1, [
      row("both", "2026-10-02", { lc_score: "450", gdlc_jy_flag: "0", hold_amt: "3000.00" }),
      row("score_only", "2026-10-02", { lc_score: "450", gdlc_jy_flag: "0", hold_amt: "2499.99" }),
      row("flag_only", "2026-10-02", { lc_score: "0", gdlc_jy_flag: "1", hold_amt: "0" }),
      row("edge", "2026-10-31", { lc_score: "120", gdlc_jy_flag: "0", hold_amt: "0" }),
      row("below", "2026-10-31", { lc_score: "119", gdlc_jy_flag: "0", hold_amt: "9999999.99" }),
      row("older", "2026-10-30", { lc_score: "500", gdlc_jy_flag: "1", hold_amt: "5000" }), row("older", "2026-10-31", { lc_score: "130", gdlc_jy_flag: null, hold_amt: null }),
      row("twice_a_day", "2026-10-31", { lc_score: "500", gdlc_jy_flag: "0", hold_amt: "1" }), row("twice_a_day", "2026-10-31", { lc_score: "0", gdlc_jy_flag: "0", hold_amt: "1" }),
      row("not_numbers", "2026-10-31", { lc_score: "1e3", gdlc_jy_flag: "yes", hold_amt: "1600.005" }), row("full_width", "2026-10-31", { lc_score: "４５０", gdlc_jy_flag: "", hold_amt: "-1.5" }),
      row("next_month", "2026-11-01", { lc_score: "450", gdlc_jy_flag: "1", hold_amt: "5000" }),
    ])
    await putScores(at.lake, 2, [row("both", "2026-10-01", { lc_score: "0", gdlc_jy_flag: "0", hold_amt: "0" }), row("twice_a_day", "2026-10-31", { lc_score: "130", gdlc_jy_flag: "0", hold_amt: "1" })])
    expect((await run(at, "2026-10", first)).state).toBe("published")
    expect(await levelsIn(at, "2026-10")).toEqual({ both: 2, score_only: 1, flag_only: 2, edge: 1, older: 1, twice_a_day: 1 })
    const { fields, users, badges: [seen] } = (await published(at, "2026-10")).answer as BadgesAnswer
    expect(users).toBe(9)
    expect(seen).toMatchObject({ badge_id: "wealth", levels: [{ level: 0, users: 3 }, { level: 1, users: 4 }, { level: 2, users: 2 }], events: { new: 6, up: 0, down: 0, lost: 0, same: 0 } })
    expect(fields).toEqual([{ field: "lc_score", missing: 0, not_a_number: 2 }, { field: "hold_amt", missing: 1, not_a_number: 1 }, { field: "gdlc_jy_flag", missing: 2, not_a_number: 1 }])
  })

  test("explanations and events: every condition with its value, what the next level lacks and what the present one has to spare", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", wealth())
    await putScores(at.lake, 1, [{ user_pin: "ann", dt: "2026-10-31", fields: { lc_score: "150", gdlc_jy_flag: null, hold_amt: "12.34" } }, { user_pin: "ben", dt: "2026-10-31", fields: { lc_score: "x", gdlc_jy_flag: "1", hold_amt: "9000" } }])
    await run(at, "2026-10", first)
    const of = await published(at, "2026-10")
    expect(await rowsOf(at, of, "conditions")).toMatchObject([
      { badge_id: "wealth", condition: 1, level: 1, place: 1, field: "lc_score", op: ">=", threshold: "120" }, { condition: 2, level: 2, place: 1, field: "lc_score", threshold: "360" },
      { condition: 3, level: 2, place: 2, field: "hold_amt", threshold: "250000" }, { condition: 4, level: 2, place: 3, field: "gdlc_jy_flag", op: "=", threshold: "1" },
    ])
    // Bits of `missing_1` and `unread_1` are the values' (lc_score, hold_amt, gdlc_jy_flag), those of `met_1` the conditions'.
    expect(await rowsOf(at, of, "explanations")).toEqual([
      { user_id: "ann", has_row: 1, value_1: 150, value_2: 1234, value_3: null, missing_1: 4, unread_1: 0, met_1: 1 },
      { user_id: "ben", has_row: 1, value_1: null, value_2: 900_000, value_3: 1, missing_1: 0, unread_1: 1, met_1: 4 + 8 },
    ])
    expect(await rowsOf(at, of, "events")).toEqual([
      { user_id: "ann", event_1: "new", from_1: 0, to_1: 1, next_1: 2, missing_1_1: 210, margin_1_1: 30, missing_1_2: 248_766, margin_1_2: null, missing_1_3: null, margin_1_3: null },
      { user_id: "ben", event_1: "new", from_1: 0, to_1: 2, next_1: null, missing_1_1: null, margin_1_1: null, missing_1_2: null, margin_1_2: 650_000, missing_1_3: null, margin_1_3: 0 },
    ])
  })

  test("explain: why a user has his levels, as the published month has it: value, threshold, met or not", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", wealth())
    await putRules(at.sql, "zz_other", wealth({ levels: [{ level: 1, name: "Of wealth", when: { badge: "wealth", op: ">=", level: 2 } }] }))
    await putScores(at.lake, 1, [
      { user_pin: "ann", dt: "2026-10-01", fields: { lc_score: "150", gdlc_jy_flag: null, hold_amt: "-12.3" } },
      { user_pin: "ben", dt: "2026-10-01", fields: { lc_score: "1e3", gdlc_jy_flag: "1", hold_amt: "0.05" } },
    ])
    await run(at, "2026-10", first)
    const explained = async (...words: string[]) => {
      const said: string[] = []
      const exit = await jobCommand({ words: ["explain", ...words], house: at, settings: { database_url: at.database_url, time_zone: "UTC", lake_dir: at.lake.root, memory_mb: 256, threads: 1, keep_months: 24 }, signal: at.signal }, [badges], { say: (line) => said.push(line), progress: () => {} })
      return { exit, said, last: JSON.parse(said.at(-1)!) }
    }
    const { exit, said, last } = await explained("ann")
    expect(exit).toBe(0)
    expect(last).toMatchObject({ period: "2026-10", user_id: "ann", has_row: true })
    expect(last.badges).toEqual([
      { badge_id: "wealth", version: 1, level: 1, name: "Silver", level_by_score: 1, since_period: "2026-10", conditions: [
        { level: 1, field: "lc_score", op: ">=", threshold: "120", value: "150", met: true }, { level: 2, field: "lc_score", op: ">=", threshold: "360", value: "150", met: false },
        { level: 2, field: "hold_amt", op: ">=", threshold: "2500.00", value: "-12.30", met: false }, { level: 2, field: "gdlc_jy_flag", op: "=", threshold: "1", value: null, why: "missing", met: false },
      ] },
      { badge_id: "zz_other", version: 1, level: 0, name: null, level_by_score: 0, since_period: null, conditions: [{ level: 1, badge: "wealth", op: ">=", threshold: "2", value: "1", met: false }] },
    ])
    expect(said).toContain("  level 2: gdlc_jy_flag = 1: missing not met")
    const ben = (await explained("ben", "--period", "2026-10")).last.badges
    expect(ben.map((badge: any) => [badge.badge_id, badge.level])).toEqual([["wealth", 2], ["zz_other", 1]])
    expect(ben[0].conditions[0]).toEqual({ level: 1, field: "lc_score", op: ">=", threshold: "120", value: null, why: "not_a_number", met: false })
    expect(ben[0].conditions[2]).toMatchObject({ value: "0.05" })
    for (const words of [["nobody"], ["ann", "--period", "2026-09"], ["ann", "--period", "2026-13"], []]) expect(await explained(...words)).toMatchObject({ exit: 1, last: { state: "failed" } })
  })

  test("every comparison is a comparison of whole numbers", async () => {
    const at = await house()
    const users = ["-5", "0", "4", "5", "6", "7"]
    const ops: [Rules["levels"][number]["when"], string[]][] = [
      [{ field: "lc_score", op: ">=", value: "5" }, ["5", "6", "7"]], [{ field: "lc_score", op: ">", value: "5" }, ["6", "7"]], [{ field: "lc_score", op: "<=", value: "4" }, ["-5", "0", "4"]],
      [{ field: "lc_score", op: "<", value: "0" }, ["-5"]], [{ field: "lc_score", op: "=", value: "-5" }, ["-5"]], [{ field: "lc_score", op: "!=", value: "5" }, ["-5", "0", "4", "6", "7"]],
      [{ field: "lc_score", op: "in", value: ["7", "-5", "100"] }, ["-5", "7"]],
    ]
    for (const [i, [when]] of ops.entries()) await putRules(at.sql, `badge_${i}`, wealth({ fields: { lc_score: INTEGER }, levels: [{ level: 1, name: "One", when }] }))
    await scored(at, "2026-10", { ...Object.fromEntries(users.map((score) => [score, score])), none: "" })
    await run(at, "2026-10", first)
    const rows = await rowsOf(at, await published(at, "2026-10"), "levels")
    for (const [i, [, wanted]] of ops.entries()) expect([i, rows.filter((row) => row[`level_${i + 1}`] === 1).map(({ user_id }) => user_id).sort()]).toEqual([i, wanted.toSorted()])
  })

  test("a badge of other badges is judged after them, by the levels that they end with", async () => {
    const at = await house()
    await putRules(at.sql, "a_both", wealth({ levels: [
      { level: 1, name: "Both", when: { all: [{ badge: "score", op: ">=", level: 1 }, { badge: "money", op: ">=", level: 1 }] } },
      { level: 2, name: "All", when: { all: [{ badge: "score", op: "in", level: [2, 3] }, { badge: "money", op: ">=", level: 1 }] } },
    ], fields: {} }))
    await putRules(at.sql, "score", byScore({ grace_months: 1 }))
    await putRules(at.sql, "money", wealth({ fields: { hold_amt: MONEY }, levels: [{ level: 1, name: "Rich", when: { field: "hold_amt", op: ">", value: "0" } }] }))
    const put = (period: string, no: number, rows: Record<string, [string, string]>) =>
      putScores(at.lake, no, Object.entries(rows).map(([user_pin, [lc_score, hold_amt]]) => ({ user_pin, dt: `${period}-01`, fields: { lc_score, hold_amt } })))
    await put("2026-10", 1, { ann: ["300", "1"], ben: ["100", "1"], cleo: ["300", "0"] })
    await put("2026-11", 2, { ann: ["0", "1"], ben: ["200", "1"] })
    await run(at, "2026-10", first)
    await run(at, "2026-11")
    const both = async (period: string) => {
      const of = await published(at, period)
      const { place } = (of.answer as BadgesAnswer).badges.find(({ badge_id }) => badge_id === "a_both")!
      return Object.fromEntries((await rowsOf(at, of, "levels")).map((row) => [row["user_id"], row[`level_${place}`]]))
    }
    expect(await both("2026-10")).toEqual({ ann: 2, ben: 1, cleo: 0 })
    // Ann's score is kept by grace; Cleo has no row this month, so her score of every badge is 0.
    expect(await both("2026-11")).toEqual({ ann: 2, ben: 2, cleo: 0 })
  })
})

describe("a lower score", () => {
  const MONTHS = ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05"]
  const play = async (downgrade: Downgrade, scores: readonly (string | null)[]): Promise<number[]> => {
    const at = await house()
    await putRules(at.sql, "wealth", byScore(downgrade))
    const levels: number[] = []
    for (const [i, score] of scores.entries()) {
      await scored(at, MONTHS[i]!, { other: "100", ...(score === null ? {} : { ann: score }) }, i + 1)
      expect((await run(at, MONTHS[i]!, i === 0 ? first : {})).state).toBe("published")
      levels.push((await levelsIn(at, MONTHS[i]!))["ann"] ?? 0)
    }
    return levels
  }
  test("at_once: falls to the score", async () => expect(await play("at_once", ["300", "100", "0", "200", null])).toEqual([3, 1, 0, 2, 0]))
  test("one_level: falls by one at most, also to 0", async () => expect(await play("one_level", ["300", "0", "0", null, "300"])).toEqual([3, 2, 1, 0, 3]))
  test("grace_months: is kept for so many months in a row, then falls to the score", async () => {
    expect(await play({ grace_months: 2 }, ["300", "100", "0", "100", "100"])).toEqual([3, 3, 3, 1, 1])
    expect(await play({ grace_months: 1 }, ["300", "100", "300", null, "200"])).toEqual([3, 3, 3, 3, 2])
  })

  test("events say what became of each, and since which month a level is held", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", byScore("at_once"))
    await scored(at, "2026-01", { same: "150", up: "150", down: "350", lost: "150", gone: "150" }, 1)
    await scored(at, "2026-02", { same: "199", up: "200", down: "100", lost: "99", new: "300", never: "0" }, 2)
    await run(at, "2026-01", first)
    expect((await run(at, "2026-02")).state).toBe("published")
    const of = await published(at, "2026-02")
    expect(Object.fromEntries((await rowsOf(at, of, "events")).map(({ user_id, event_1, from_1, to_1 }) => [user_id, [event_1, from_1, to_1]]))).toEqual({
      same: ["same", 1, 1], up: ["up", 1, 2], down: ["down", 3, 1], lost: ["lost", 1, 0], gone: ["lost", 1, 0], new: ["new", 0, 3],
    })
    expect(Object.fromEntries((await rowsOf(at, of, "levels")).map(({ user_id, since_1 }) => [user_id, since_1]))).toEqual({ same: 202601, up: 202602, down: 202602, new: 202602 })
    expect((of.answer as BadgesAnswer).badges[0]).toMatchObject({ events: { new: 1, up: 1, down: 1, lost: 2, same: 1 }, change_bp: 8_333 })
  })
})

describe("a run", () => {
  test("held: a month in which more change than the band allows waits, and is published by a person", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", byScore("at_once", { change_max_bp: 3_000 }))
    const users = Array.from({ length: 10 }, (_, i) => `u${i}`)
    const put = (period: string, no: number, changed: number) => scored(at, period, Object.fromEntries(users.map((user, i) => [user, i < changed ? "250" : "150"])), no)
    await put("2026-01", 1, 0)
    await put("2026-02", 2, 3)
    await put("2026-03", 3, 7)
    expect((await run(at, "2026-01", first)).state).toBe("published")
    expect((await run(at, "2026-02")).state).toBe("published")
    const held = await run(at, "2026-03")
    expect(held).toMatchObject({ state: "held", reason: "change_rate" })
    expect(held.report).toContain("wealth changes for 4000 bp")
    expect(await publishedRun(at.sql, "badges", "2026-03", "")).toBeUndefined()
    expect((await run(at, "2026-04")).reason).toBe("scores_missing")
    expect(await movePointer(at, [badges], "publish", held.run_id)).toMatchObject({ state: "published" })
    expect((await levelsIn(at, "2026-03"))["u6"]).toBe(2)
  })

  test("published: the same month again is the same run; a corrected feed is a revision, and a rollback brings the levels before back", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", byScore("at_once"))
    await scored(at, "2026-01", { ann: "100", ben: "300" }, 1)
    const one = await run(at, "2026-01", first)
    expect(await run(at, "2026-01", first)).toMatchObject({ state: "already_published", run_id: one.run_id })
    const latest = async () => (await at.sql`select g.run_id from run_periods p join level_generations g using (run_id) where p.job = 'badges' order by p.period desc limit 1`)[0]!["run_id"]
    expect(await latest()).toBe(one.run_id)
    await scored(at, "2026-01", { ann: "200" }, 2)
    const two = await run(at, "2026-01", first)
    expect(two).toMatchObject({ state: "published", revision: 2 })
    expect([await latest(), await levelsIn(at, "2026-01")]).toEqual([two.run_id, { ann: 2, ben: 3 }])
    await movePointer(at, [badges], "rollback", two.run_id)
    expect([await latest(), await levelsIn(at, "2026-01")]).toEqual([one.run_id, { ann: 1, ben: 3 }])
  })

  test("the same outputs, byte for byte, with one thread and with two", async () => {
    const outputs: Record<string, string>[] = []
    for (const threads of [1, 2]) {
      const at = await house({ threads })
      await putRules(at.sql, "wealth", wealth())
      await putScores(at.lake, 1, Array.from({ length: 5_000 }, (_, i) => ({ user_pin: `user-${i % 4_500}`, dt: `2026-10-${String(1 + i % 28).padStart(2, "0")}`, fields: { lc_score: String((i * 7919) % 700), gdlc_jy_flag: String(i % 2), hold_amt: `${i}.${i % 10}` } })))
      const ended = await run(at, "2026-10", first)
      expect(ended.state).toBe("published")
      outputs.push(Object.fromEntries(ended.outputs.map(({ name, sha256 }) => [name, sha256])))
    }
    expect(outputs[0]).toEqual(outputs[1]!)
  })

  test("a rule that names a field nobody has sent is met by nobody, and a badge that looks at one without rules fails the run by name", async () => {
    const at = await house()
    await putRules(at.sql, "wealth", wealth({ fields: { nobody: INTEGER, lc_score: INTEGER, flag: FLAG }, levels: [{ level: 1, name: "One", when: { field: "nobody", op: "!=", value: "1" } }] }))
    await scored(at, "2026-10", { ann: "450" })
    await run(at, "2026-10", first)
    expect(await levelsIn(at, "2026-10")).toEqual({})
    await putRules(at.sql, "other", wealth({ levels: [{ level: 1, name: "One", when: { badge: "later", op: ">", level: 0 } }] }))
    expect(await run(at, "2026-10", first)).toMatchObject({ state: "failed", reason: "rules_unfit" })
  })
})

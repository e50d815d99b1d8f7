/** The scheduler: it asks the tables what is due, carries it out in a process of its own, and ends with whoever started it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { openDuck } from "../../analytics/duck.ts"
import { dirtyPeriods, noticeParts } from "../../analytics/landed.ts"
import { movePointer, runJob } from "../../analytics/runner.ts"
import { requestedRuns, unpublishedPeriods } from "../../analytics/scheduler.ts"
import { closedPeriods } from "../../analytics/tables.ts"
import { doubling, october, openHouse, rowOf, type TestHouse } from "./house.ts"

let house: TestHouse
beforeAll(async () => { house = await openHouse() })
afterAll(() => house.close())

/** An installation of two cells, born in August, whose cursors are in November; cell 1 ticked last when it is told. */
const live = async (ticked: string) => {
  const { sql } = house
  await sql`delete from cells`
  await sql`delete from events`
  await sql`delete from epochs`
  for (const [cell, tick] of [[0, "2026-11-01T01:00:00Z"], [1, ticked]] as const) {
    await sql`insert into epochs (cell, epoch, tail, at_ms) values (${cell}, 1, '0-0', ${Date.parse("2026-08-20T00:00:00Z")})`
    await sql`insert into cells (cell, epoch, n, at_ms) values (${cell}, 1, 9, ${Date.parse("2026-11-01T02:00:00Z")})`
    await sql`insert into events (cell, epoch, n, act, at_ms) values (${cell}, 1, 8, 'tick', ${Date.parse(tick)})`
  }
}
const job = doubling({ name: "monthly", schedule: { kind: "month", periods_max: 24 } })

describe("closed periods", () => {
  test("a period is closed when every cell has ticked at or after its end, and not before", async () => {
    await live("2026-10-31T23:59:59Z")
    expect(await closedPeriods(house.sql, "month", "UTC", 24)).toEqual(["2026-09", "2026-08"])
    await live("2026-11-01T00:00:00Z")
    expect(await closedPeriods(house.sql, "month", "UTC", 24)).toEqual(["2026-10", "2026-09", "2026-08"])
    expect(await closedPeriods(house.sql, "month", "UTC", 2)).toEqual(["2026-10", "2026-09"])
    expect(await closedPeriods(house.sql, "month", "America/New_York", 24)).toEqual(["2026-09", "2026-08"])
  })
  test("what nobody was there for is due since the latest published period, however little the job looks back by itself", async () => {
    await live("2026-11-01T00:00:00Z")
    const short = doubling({ name: "short", schedule: { kind: "month", periods_max: 1 } })
    const due = async () => (await unpublishedPeriods(house.sql, short, "UTC")).map((words) => words.at(-1))
    expect(await due()).toEqual(["2026-10"])
    await house.sql`insert into run_periods (job, period, set_name, run_id) values ('short', '2026-08', '', 'r')`
    expect(await due()).toEqual(["2026-09", "2026-10"])
    expect(await closedPeriods(house.sql, "month", "UTC", 1, { period: "2020-01", periods_max: 2 })).toEqual(["2026-10", "2026-09"])
    expect(await closedPeriods(house.sql, "month", "UTC", 1, { period: "2020-01", periods_max: 24 })).toEqual(["2026-10", "2026-09", "2026-08"])
  })
  test("what has no published run is due, the earliest first; what is held or has just failed waits", async () => {
    await live("2026-11-01T00:00:00Z")
    const { sql } = house
    expect(await unpublishedPeriods(sql, job, "UTC")).toEqual(["2026-08", "2026-09", "2026-10"].map((period) => ["job", "monthly", "--period", period]))
    await sql`insert into run_periods (job, period, set_name, run_id) values ('monthly', '2026-08', '', 'r')`
    await sql`insert into runs (run_id, job, period, state, requested_ms) values ('h', 'monthly', '2026-09', 'held', 1)`
    await sql`insert into runs (run_id, job, period, state, requested_ms, finished_ms) values ('f', 'monthly', '2026-10', 'failed', 1, 1)`
    expect(await unpublishedPeriods(sql, job, "UTC")).toEqual([["job", "monthly", "--period", "2026-10"]])
    // Where periods follow from each other they are begun one by one, and one that is held keeps those behind it.
    const inOrder = { ...job, schedule: { kind: "month", periods_max: 24, isInOrder: true } } as const
    expect(await unpublishedPeriods(sql, inOrder, "UTC")).toEqual([])
    await sql`update runs set state = 'superseded' where run_id = 'h'`
    expect(await unpublishedPeriods(sql, inOrder, "UTC")).toEqual([["job", "monthly", "--period", "2026-09"]])
    await sql`update runs set state = 'held' where run_id = 'h'`
    await sql`update runs set finished_ms = ${Date.now()} where run_id = 'f'`
    expect(await unpublishedPeriods(sql, job, "UTC")).toEqual([])
  })
})

test("what was requested, and what a published run owes, is due unless somebody is at it or it waits", async () => {
  const { sql } = house
  await sql`insert into runs (run_id, job, period, state, requested_ms, requested_by) values ('asked', 'x', '2026-10', 'requested', 5, 'key')`
  await sql`insert into runs (run_id, job, period, state, requested_ms) values ('owing', 'x', '2026-09', 'published', 6)`
  expect(await requestedRuns(sql)).toEqual([["job", "run", "asked"]])
  expect(await requestedRuns(sql, ["asked"])).toEqual([["job", "run", "owing"]])
  await sql`insert into run_periods (job, period, set_name, lease_owner, lease_until_ms) values ('x', '2026-10', '', 'me', ${Date.now() + 60_000})`
  expect(await requestedRuns(sql)).toEqual([["job", "run", "owing"]])
  await sql`update run_periods set lease_until_ms = 1`
  expect(await requestedRuns(sql)).toEqual([["job", "run", "asked"]])
})

test("the process ends when the pipe of whoever started it does", async () => {
  const scheduler = Bun.spawn([process.execPath, join(import.meta.dir, "../../analytics/scheduler.ts")], { stdin: "pipe", stderr: "inherit" })
  scheduler.stdin.write(`${JSON.stringify({ database_url: house.database_url, time_zone: "UTC", lake_dir: house.lake.root, memory_mb: 128, threads: 1, keep_months: 24 })}\n`)
  await scheduler.stdin.flush()
  await scheduler.stdin.end()
  expect(await scheduler.exited).toBe(0)
})

describe("what comes late", () => {
  const reading = doubling({
    name: "reading", schedule: { kind: "month", periods_max: 24 },
    reads: async ({ period: { period }, set }) => ({ days: [{ dataset: set === "" ? "numbers" : `numbers@${set}`, from: `${period}-01`, to: `${period}-31` }] }),
    inputs: async ({ lake, set, period: { period } }) => ({
      inputs: { numbers: { files: lake.parts(set === "" ? "numbers" : `numbers@${set}`).flatMap(({ files }) => files).filter(({ day }) => day?.startsWith(period)), columns: { id: "BIGINT", amount: "BIGINT" } } }, rules: { factor: 2 },
    }),
  })
  const land = async (dataset: string, part: string, day: string, count: number) => {
    const duck = await openDuck({ memory_mb: 128, threads: 1, temp_dir: house.lake.temp() })
    try {
      const file = await house.lake.write(duck, { select: `select i as id, i as amount from range(${count}) r(i)`, order: "id", folder: `${dataset}/${part}`, name: day, day })
      house.lake.publish({ dataset, part, files: [file], facts: {} })
    } finally {
      duck.close()
    }
  }
  const run = (period: string, set = "") => runJob(house, reading, { ...october, period, set })
  const due = async () => {
    expect(await noticeParts(house.sql, house.lake)).toEqual([])
    return (await dirtyPeriods(house.sql, reading, "UTC", 3_600_000)).map(({ period, set_name }) => `${period}${set_name}`)
  }

  test("a late row makes the published periods that read its day due again, as a revision with a diff, until they were looked at", async () => {
    await land("numbers", "a", "2026-09-10", 5)
    await land("numbers@x", "a", "2026-09-10", 5)
    for (const period of ["2026-09", "2026-10"]) expect((await run(period)).state).toBe("published")
    expect((await run("2026-09", "x")).state).toBe("published")
    expect(await due()).toEqual([])
    await land("numbers", "b", "2026-09-30", 7)
    expect(await due()).toEqual(["2026-09"])
    expect(await due()).toEqual(["2026-09"])
    const revised = await run("2026-09")
    expect([revised.state, revised.revision]).toEqual(["published", 2])
    expect((await rowOf(house.sql, revised.run_id))["diff"]).toMatchObject({ outputs: [{ name: "doubled", rows: 12, rows_against: 5 }] })
    expect(await due()).toEqual([])
    // Rolled back by hand, it stays so: nothing has landed since.
    expect(await movePointer(house, [reading], "rollback", revised.run_id)).toMatchObject({ revision: 1 })
    expect(await due()).toEqual([])
    // The same part with other rows has landed anew; another set is another matter.
    await land("numbers@x", "a", "2026-09-10", 6)
    expect(await due()).toEqual(["2026-09x"])
  })
  test("a run that finds nothing new is no revision, one that has failed waits, and a closed month is not due", async () => {
    const before = await run("2026-10")
    await land("numbers", "c", "2026-10-01", 3)
    await house.sql`insert into runs (run_id, job, period, state, requested_ms, finished_ms) values ('broken', 'reading', '2026-10', 'failed', 1, ${Date.now()})`
    expect(await due()).toEqual(["2026-09x"])
    await house.sql`delete from runs where run_id = 'broken'`
    expect(await due()).toEqual(["2026-09x", "2026-10"])
    await house.sql`update run_periods set closed_ms = 1 where job = 'reading' and period = '2026-10'`
    expect(await due()).toEqual(["2026-09x"])
    await house.sql`update run_periods set closed_ms = null where job = 'reading' and period = '2026-10'`
    house.lake.publish({ dataset: "numbers", part: "c", files: [], facts: {} })
    expect((await run("2026-10")).run_id).toBe(before.run_id)
  })
  test("a part that is not what its manifest says is told, and hides nothing of the other datasets", async () => {
    await land("broken", "a", "2026-09-11", 2)
    await land("numbers", "d", "2026-09-12", 2)
    for (const file of readdirSync(join(house.lake.root, "broken", "a"))) if (file.endsWith(".parquet")) rmSync(join(house.lake.root, "broken", "a", file))
    expect((await noticeParts(house.sql, house.lake)).join()).toContain("which is not there")
    expect((await dirtyPeriods(house.sql, reading, "UTC", 0)).map(({ period }) => period)).toContain("2026-09")
    rmSync(join(house.lake.root, "broken"), { recursive: true })
  })
})

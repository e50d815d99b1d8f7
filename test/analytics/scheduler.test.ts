/** The scheduler: it asks the tables what is due, carries it out in a process of its own, and ends with whoever started it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { join } from "node:path"
import { requestedRuns, unpublishedPeriods } from "../../analytics/scheduler.ts"
import { closedPeriods } from "../../analytics/tables.ts"
import { doubling, openHouse, type TestHouse } from "./house.ts"

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
  test("what has no published run is due, the earliest first; what is held or has just failed waits", async () => {
    await live("2026-11-01T00:00:00Z")
    const { sql } = house
    expect(await unpublishedPeriods(sql, job, "UTC")).toEqual(["2026-08", "2026-09", "2026-10"].map((period) => ["job", "monthly", "--period", period]))
    await sql`insert into run_periods (job, period, set_name, run_id) values ('monthly', '2026-08', '', 'r')`
    await sql`insert into runs (run_id, job, period, state, requested_ms) values ('h', 'monthly', '2026-09', 'held', 1)`
    await sql`insert into runs (run_id, job, period, state, requested_ms, finished_ms) values ('f', 'monthly', '2026-10', 'failed', 1, 1)`
    expect(await unpublishedPeriods(sql, job, "UTC")).toEqual([["job", "monthly", "--period", "2026-10"]])
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
  scheduler.stdin.write(`${JSON.stringify({ database_url: house.database_url, time_zone: "UTC", lake_dir: house.lake.root, memory_mb: 128, threads: 1 })}\n`)
  await scheduler.stdin.flush()
  await scheduler.stdin.end()
  expect(await scheduler.exited).toBe(0)
})

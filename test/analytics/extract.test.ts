// The extraction at a size that no socket's buffer holds: several cells, days and ranges, and a lake that is of another installation.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { openDuck, type Duck } from "../../analytics/duck.ts"
import { EVENTS, extractEvents } from "../../analytics/extract.ts"
import type { JobParts } from "../../analytics/job.ts"
import { type Lake, openLake } from "../../analytics/lake.ts"
import { scratchFolder } from "../support/scratch.ts"
import { openHouse, type TestHouse } from "./house.ts"

const ROWS = 40_000
const CELLS = 4

let house: TestHouse
let duck: Duck
beforeAll(async () => {
  house = await openHouse()
  duck = await openDuck({ memory_mb: 256, threads: 2, temp_dir: house.lake.temp() })
})
afterAll(async () => {
  duck.close()
  await house.close()
})
const parts = () => ({ ...house, duck }) as unknown as JobParts

test("every event once, by business day, with what Postgres counted", async () => {
  const { sql, lake } = house
  await sql.unsafe(`insert into events (cell, epoch, n, act, at_ms, user_no, moves, payload, ref)
    select i % ${CELLS}, 1, i / ${CELLS}, 'confirmed', 1790726400000 + i * 6000::bigint, i % 50, '[["b7",0,-1,1]]', ('{"note":"' || repeat(md5(i::text), 10) || ' é\\n\\u001f"}')::json, 'r' || i from generate_series(0, ${ROWS - 1}) i`)
  await sql`insert into cells (cell, epoch, n, at_ms) select cell, 1, max(n), max(at_ms) from events group by cell`
  await extractEvents(parts())
  const [part, ...more] = lake.parts(EVENTS)
  expect(more).toEqual([])
  expect(part!.rows).toBe(ROWS)
  expect(part!.facts["postgres"]).toEqual(part!.facts["parquet"])
  expect(part!.files.map(({ day }) => day)).toEqual(["2026-09-30", "2026-10-01", "2026-10-02"])
  const files = part!.files.map((file) => `'${lake.place(file)}'`).join(", ")
  const [theirs] = await sql<{ sum: string }[]>`select md5(string_agg(cell || '/' || n || '/' || ref || payload::text, '' order by cell, n)) as sum from events`
  const ours = await duck.one<{ sum: string }>(`select md5(string_agg(cell || '/' || n || '/' || ref || payload, '' order by cell, n)) as sum from read_parquet([${files}])`)
  expect(ours.sum).toBe(theirs!.sum)
})

test("the same bytes with one thread and with two, and no day's file without rows", async () => {
  const { sql, lake } = house
  const other = openLake(scratchFolder())
  const single = await openDuck({ memory_mb: 256, threads: 1, temp_dir: other.temp() })
  try {
    await extractEvents({ ...parts(), lake: other, duck: single })
    const shas = (of: Lake) => of.parts(EVENTS).flatMap(({ files }) => files.map(({ day, rows, sha256 }) => [day, rows, sha256]))
    expect(shas(other)).toEqual(shas(lake))
    expect(shas(lake).every(([, rows]) => Number(rows) > 0)).toBe(true)
    // A second opening, a month later and in one cell alone: what follows is the next range, from the one epoch into the other.
    await sql.unsafe(`insert into events (cell, epoch, n, act, at_ms) select 1, 2, i, 'tick', 1793404800000 + i from generate_series(0, 449) i`)
    await sql`update cells set epoch = 2, n = 449 where cell = 1`
    await extractEvents({ ...parts(), lake: other, duck: single })
    expect(other.parts(EVENTS).at(-1)).toMatchObject({ rows: 450, files: [{ day: "2026-10-31", rows: 450 }], facts: { to: { "1": [2, 449] } } })
    // Both epochs at once: a range has one of each cell, and each file's events stand in the order of cell, epoch and n.
    const whole = openLake(scratchFolder())
    await sql.unsafe(`insert into events (cell, epoch, n, act, at_ms) select 1, 2, 450 + i, 'tick', 1790726400000 + i from generate_series(0, 449) i`)
    await sql`update cells set n = 899 where cell = 1`
    await extractEvents({ ...parts(), lake: whole, duck: single })
    expect(whole.parts(EVENTS).map(({ rows }) => rows)).toEqual([ROWS, 900])
    for (const file of whole.parts(EVENTS).flatMap(({ files }) => files)) {
      expect(await single.one(`select count(*) as before from (select (cell, epoch, n) < lag((cell, epoch, n)) over (order by file_row_number) as is_before from read_parquet('${whole.place(file)}', file_row_number = true)) where is_before`)).toEqual({ before: 0 })
    }
    await sql`delete from events where epoch = 2`
    await sql`update cells set epoch = 1, n = ${ROWS / CELLS - 1} where cell = 1`
  } finally {
    single.close()
  }
})

test("many ranges: the first and the last small, each cell by its share, so that all end together, and every event once", async () => {
  const { lake } = house
  const other = openLake(scratchFolder())
  const cells = new Map(Array.from({ length: CELLS }, (_, cell) => [String(cell), -1]))
  await extractEvents({ ...parts(), lake: other }, 7_001)
  const ranges = other.parts(EVENTS)
  const sizes = ranges.map(({ rows }) => rows)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(7_001 + CELLS)
  for (const [i, rows] of sizes.entries()) expect(rows).toBeLessThanOrEqual(2 * (sizes[i - 1] ?? 7_001 / 8) + 2 * CELLS)
  expect(sizes.at(-1)!).toBeLessThanOrEqual(7_001 / 4 + CELLS)
  expect(ranges.reduce((sum, { rows }) => sum + rows, 0)).toBe(ROWS)
  for (const { facts } of ranges) {
    const from = facts["from"] as Record<string, [number, number]>, to = facts["to"] as Record<string, [number, number]>
    for (const [cell, n] of cells) {
      expect(from[cell]?.[1] ?? -1).toBe(n)
      cells.set(cell, to[cell]![1])
    }
    const ends = Object.values(to).map(([, n]) => n)
    expect(Math.max(...ends) - Math.min(...ends)).toBeLessThanOrEqual(1)
  }
  const hashOf = async (of: Lake) => (await duck.one<{ sum: string }>(`select md5(string_agg(cell || '/' || n || '/' || ref || payload, '' order by cell, n)) as sum
    from read_parquet([${of.parts(EVENTS).flatMap(({ files }) => files).map((file) => `'${of.place(file)}'`).join(", ")}])`)).sum
  expect(await hashOf(other)).toBe(await hashOf(lake))
})

test("lake_fault: a Postgres that is behind the lake is of another installation, or has lost its last commits", async () => {
  await house.sql`update cells set n = n - 1 where cell = 2`
  await expect(extractEvents(parts())).rejects.toThrow("they are not of one installation")
  await house.sql`update cells set n = n + 1 where cell = 2`
})

test("lake_fault: a range that is gone is named, until what follows it is gone too and comes anew", async () => {
  const other = openLake(scratchFolder())
  await extractEvents({ ...parts(), lake: other }, 20_000)
  const ranges = other.parts(EVENTS).map(({ part }) => part)
  expect(ranges.length).toBeGreaterThan(2)
  rmSync(join(other.root, EVENTS, ranges[0]!), { recursive: true })
  await expect(extractEvents({ ...parts(), lake: other }, 20_000)).rejects.toThrow(`${EVENTS}/${ranges[1]} does not begin where the journal does`)
  for (const part of ranges.slice(1)) rmSync(join(other.root, EVENTS, part), { recursive: true })
  await extractEvents({ ...parts(), lake: other }, 20_000)
  expect(other.parts(EVENTS).reduce((sum, { rows }) => sum + rows, 0)).toBe(ROWS)
})

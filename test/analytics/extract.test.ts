// The extraction at a size that no socket's buffer holds: several cells, days and ranges, and a lake that is of another installation.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { openDuck, type Duck } from "../../analytics/duck.ts"
import { EVENTS, extractEvents } from "../../analytics/extract.ts"
import type { JobParts } from "../../analytics/job.ts"
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

test("lake_fault: a Postgres that is behind the lake is of another installation, or has lost its last commits", async () => {
  await house.sql`update cells set n = n - 1 where cell = 2`
  await expect(extractEvents(parts())).rejects.toThrow("they are not of one installation")
  await house.sql`update cells set n = n + 1 where cell = 2`
})

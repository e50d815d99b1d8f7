// Runs that are killed at random points, with one thread and with two, come to the same bytes each time as one that nobody disturbed.
// SCRIP_JOB_KILLS makes it longer (50: a minute a job), SCRIP_SEED says which points.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { importCommand } from "../../analytics/import_command.ts"
import { scratchFolder } from "../support/scratch.ts"
import { SEED } from "../support/seed.ts"
import { openHouse, type TestHouse } from "./house.ts"
import { FLAG, INTEGER, MONEY, putRules, wealth } from "./scores.ts"

const KILLS = Number(process.env["SCRIP_JOB_KILLS"] ?? 3)
const ORDERS = 20_000
const USERS = 20_000
const EVENTS = 9_000, EVENT_DAYS = 3, EVENTS_OPEN_MS = Date.UTC(2026, 9, 1)

let house: TestHouse
let seed = SEED
const chance = (most: number): number => { seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31; return seed % most }
beforeAll(async () => {
  console.log(`SCRIP_SEED=${SEED}`)
  house = await openHouse()
})
afterAll(() => house.close())

interface Asked { readonly job: string; readonly period: string; readonly set?: string; readonly flags?: readonly string[] }
interface Answer { readonly state: string; readonly outputs: readonly { readonly name: string; readonly sha256: string }[] }

/** A run as the command begins it, in a process of its own; killed after so many milliseconds, or left to end. */
const attempt = async ({ job, period, set, flags = [] }: Asked, threads: number, kill_ms?: number): Promise<Answer | undefined> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../../analytics/command.ts")], { stdin: "pipe", stdout: "pipe", stderr: "inherit" })
  child.stdin.write(`${JSON.stringify({
    database_url: house.database_url, time_zone: "UTC", lake_dir: house.lake.root, memory_mb: 256, threads: 2,
    words: ["job", job, "--period", period, ...(set === undefined ? [] : ["--set", set]), ...flags, "--threads", String(threads)],
  })}\n`)
  await child.stdin.flush()
  if (kill_ms !== undefined) {
    const timer = setTimeout(() => child.kill("SIGKILL"), kill_ms)
    await child.exited
    clearTimeout(timer)
    // A lease outlives whoever held it by half a minute, which nobody waits for here.
    await house.sql`update run_periods set lease_until_ms = 1 where job = ${job} and lease_owner is not null`
    return undefined
  }
  const text = await new Response(child.stdout).text()
  if (await child.exited !== 0) throw new Error(text)
  return JSON.parse(text.trimEnd().split("\n").at(-1)!)
}

const hashes = (run: Answer | undefined) => run?.outputs.map(({ name, sha256 }) => [name, sha256])

/** One that came to its end before the kill is forgotten, so that the next one has everything to do, and so is what the job keeps in the lake. */
const forget = async ({ job, set = "" }: Asked, datasets: readonly string[]): Promise<void> => {
  await house.sql`delete from run_periods where job = ${job} and set_name = ${set} and run_id is not null`
  await house.sql`delete from runs where job = ${job} and set_name = ${set} and state = 'published'`
  for (const dataset of datasets) rmSync(join(house.lake.root, dataset), { recursive: true, force: true })
  rmSync(join(house.lake.root, "outputs", job), { recursive: true, force: true })
}

/**
 * Disturb a run so many times, and after each kill let the next attempt go on from where that left it: what each came to, in the order of the kills. `made` are the
 * datasets that the job makes of others.
 */
const disturbed = async (asked: Asked, made: readonly string[], run_ms: number): Promise<(Answer | undefined)[]> => {
  const answers: (Answer | undefined)[] = []
  for (let i = 0; i < KILLS; i += 1) {
    await forget(asked, made)
    await attempt(asked, 1 + (i % 2), chance(run_ms))
    answers.push(await attempt(asked, 2 - (i % 2)))
  }
  return answers
}

/** What the runs came to, each once: how they ended, and the hash of every output. */
const differing = (answers: readonly (Answer | undefined)[]): string[] => [...new Set(answers.map((answer) => JSON.stringify([answer?.state.replace("already_", ""), hashes(answer)])))]

/** A job makes way for everything else: beside busy processes it has a hundredth of a processor, and one that was not waited for ends the servers of all. */
const TEST_MS_MAX = 300_000 + KILLS * 200_000

test(`reconciliation, ${KILLS} kills: the outputs are those of a run that nobody disturbed`, async () => {
  const books = join(scratchFolder(), "books.csv")
  writeFileSync(books, ["source,entry_id,order_id,coupon_id,budget_id,amount_minor,at", ...Array.from({ length: ORDERS * 3 }, (_, i) =>
    `${["budget", "redemption", "order"][i % 3]},e${i},o${chance(ORDERS)},c${i % 7},b${i % 3},${chance(900) - 100},2026-10-${String(1 + chance(31)).padStart(2, "0")}T12:00:00Z`)].join("\n"))
  for (const set of ["quiet", "disturbed"]) expect(await importCommand(["books", books, "--set", set], "/", house, { say: () => {}, progress: () => {} })).toBe(0)
  const of = (set: string): Asked => ({ job: "reconciliation", period: "2026-10", set })
  const began = performance.now()
  const quiet = await attempt(of("quiet"), 2), run_ms = performance.now() - began
  expect(quiet?.state).toBe("published")
  expect(differing(await disturbed(of("disturbed"), [], run_ms))).toEqual(differing([quiet]))
  const keysOf = async (set: string): Promise<number> => (await house.sql<[{ keys: number }]>`select count(*) as keys from reconciliation_keys where run_id = (select run_id from run_periods where set_name = ${set})`)[0].keys
  expect(await keysOf("disturbed")).toBe(await keysOf("quiet"))
  expect(await keysOf("quiet")).toBeGreaterThan(ORDERS / 2)
}, TEST_MS_MAX)

test(`badges, ${KILLS} kills: the same, with the levels that are packed for the engine`, async () => {
  await putRules(house.sql, "wealth", wealth())
  await putRules(house.sql, "savings", wealth({ line: "savings", downgrade: "one_level", fields: { savings: MONEY, is_new: FLAG, visits: INTEGER }, levels: [
    { level: 1, name: "One", when: { field: "savings", op: ">=", value: "100" } }, { level: 2, name: "Two", when: { all: [{ field: "visits", op: ">", value: "10" }, { badge: "wealth", op: ">=", level: 1 }] } },
  ] }))
  const scores = join(scratchFolder(), "scores.ndjson")
  writeFileSync(scores, Array.from({ length: USERS }, (_, i) => JSON.stringify({
    user_pin: `u${chance(USERS)}`, dt: `2026-10-${String(1 + chance(31)).padStart(2, "0")}`, lc_score: String(chance(700)), gdlc_jy_flag: String(i % 2), hold_amt: `${chance(9_000)}.50`,
    savings: i % 9 === 0 ? "1e3" : String(chance(300)), visits: String(chance(20)), is_new: "",
  })).join("\n"))
  expect(await importCommand(["scores", scores], "/", house, { say: () => {}, progress: () => {} })).toBe(0)
  const asked: Asked = { job: "badges", period: "2026-10", flags: ["--first"] }
  const blocksOf = () => house.sql`select block, users, body from level_blocks where generation = (select max(generation) from level_generations) order by block`
  const began = performance.now()
  const quiet = await attempt(asked, 2), blocks = await blocksOf()
  expect(differing(await disturbed(asked, [], performance.now() - began))).toEqual(differing([quiet]))
  expect([quiet?.state, ...quiet!.outputs.map(({ name }) => name)]).toEqual(expect.arrayContaining(["published", "levels", "events", "explanations"]))
  expect([...await blocksOf()]).toEqual([...blocks])
}, TEST_MS_MAX)

test(`risk, ${KILLS} kills: the same, from the journal to every kept day`, async () => {
  const { sql, lake } = house
  // A redemption is an entry of its reserve and, four entries later, one of its confirm; one in ten is refunded.
  await sql.unsafe(`insert into events (cell, epoch, n, act, at_ms, user_no, moves, payload, ref)
    select i % 2, 1, i / 2, case i / 4 % 3 when 0 then 'reserved' when 1 then 'confirmed' else case when i % 10 = 0 then 'refunded' else 'tick' end end, ${EVENTS_OPEN_MS} + i * ${Math.floor((EVENT_DAYS * 86_400_000) / EVENTS)}::bigint, i / 12 * 7 % 400, null,
      (case i / 4 % 3 when 0 then '{"order":{"region":"r' || i % 5 || '","lines":[{"line_id":"1","sku":"s' || i / 12 * 13 % 90 || '","merchant_id":"m' || i % 7 || '","unit_price_minor":3000,"quantity":2}]},"applied":[{"campaign_id":"c' || i % 4 || '","lines":[{"line_id":"1","discount_minor":' || 1 + i % 900 || '}]}]}'
        when 2 then '{"lines":[{"line_id":"1"}]}' else '{}' end)::json, 'redemption-' || i / 12 || '-' || i % 4
    from generate_series(0, ${EVENTS - 1}) i`)
  await sql`insert into cells (cell, epoch, n, at_ms) select cell, 1, max(n), max(at_ms) from events group by cell on conflict (cell) do update set epoch = excluded.epoch, n = excluded.n, at_ms = excluded.at_ms`
  const made = ["events", "risk_orders", "risk_lines", "risk_firsts", "risk_days"]
  const filesOf = () => made.flatMap((dataset) => lake.parts(dataset).map(({ part, files }) => [dataset, part, files.map(({ sha256 }) => sha256)]))
  const asked: Asked = { job: "risk", period: "2026-10-03" }
  const began = performance.now()
  const quiet = await attempt(asked, 2), files = filesOf()
  expect(differing(await disturbed(asked, made, performance.now() - began))).toEqual(differing([quiet]))
  expect(quiet?.state).toBe("published")
  expect(filesOf()).toEqual(files)
  const [scored] = await sql<[{ rows: number }]>`select count(*) as rows from risk_rows where run_id = (select run_id from run_periods where job = 'risk')`
  expect(scored.rows).toBeGreaterThan(100)
  expect(readdirSync(join(lake.root, "risk_days")).length).toBe(EVENT_DAYS)
}, TEST_MS_MAX)

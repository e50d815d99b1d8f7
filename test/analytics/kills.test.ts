// A run that is killed at random points, with one thread and with two, comes to the same bytes in the end. SCRIP_JOB_KILLS makes it longer,
// SCRIP_SEED says which points.

import { afterAll, beforeAll, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { importCommand } from "../../analytics/import_command.ts"
import { scratchFolder } from "../support/scratch.ts"
import { SEED } from "../support/seed.ts"
import { openHouse, type TestHouse } from "./house.ts"

const KILLS = Number(process.env["SCRIP_JOB_KILLS"] ?? 10)
const ORDERS = 20_000
/** As long as a whole run takes on a slow machine: a kill may come before, within or after it. */
const RUN_MS = 1_500

let house: TestHouse
beforeAll(async () => { house = await openHouse() })
afterAll(() => house.close())

/** A run as the command begins it, in a process of its own; killed after so many milliseconds, or left to end. */
const attempt = async (set: string, threads: number, kill_ms?: number): Promise<{ state: string; outputs: { name: string; sha256: string }[] } | undefined> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "../../analytics/command.ts")], { stdin: "pipe", stdout: "pipe", stderr: "inherit" })
  child.stdin.write(`${JSON.stringify({
    database_url: house.database_url, time_zone: "UTC", lake_dir: house.lake.root, memory_mb: 256, threads: 2,
    words: ["job", "reconciliation", "--period", "2026-10", "--set", set, "--threads", String(threads)],
  })}\n`)
  await child.stdin.flush()
  if (kill_ms !== undefined) {
    const timer = setTimeout(() => child.kill("SIGKILL"), kill_ms)
    await child.exited
    clearTimeout(timer)
    // A lease outlives whoever held it by half a minute, which nobody waits for here.
    await house.sql`update run_periods set lease_until_ms = 1 where set_name = ${set} and lease_owner is not null`
    return undefined
  }
  const text = await new Response(child.stdout).text()
  expect(await child.exited).toBe(0)
  return JSON.parse(text.trimEnd().split("\n").at(-1)!)
}

test(`${KILLS} kills: the outputs are those of a run that nobody disturbed`, async () => {
  console.log(`SCRIP_SEED=${SEED}`)
  let seed = SEED
  const chance = (most: number): number => { seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31; return seed % most }
  const books = join(scratchFolder(), "books.csv")
  writeFileSync(books, ["source,entry_id,order_id,coupon_id,budget_id,amount_minor,at", ...Array.from({ length: ORDERS * 3 }, (_, i) =>
    `${["budget", "redemption", "order"][i % 3]},e${i},o${chance(ORDERS)},c${i % 7},b${i % 3},${chance(900) - 100},2026-10-${String(1 + chance(31)).padStart(2, "0")}T12:00:00Z`)].join("\n"))
  for (const set of ["quiet", "disturbed"]) expect(await importCommand(["books", books, "--set", set], "/", house, { say: () => {}, progress: () => {} })).toBe(0)
  const hashes = (run: Awaited<ReturnType<typeof attempt>>) => run?.outputs.map(({ name, sha256 }) => [name, sha256])

  const quiet = await attempt("quiet", 2)
  expect(quiet?.state).toBe("published")
  for (let i = 0; i < KILLS; i += 1) {
    await attempt("disturbed", 1 + (i % 2), chance(RUN_MS))
    // One that came to its end before the kill is forgotten, so that the next one has everything to do.
    await house.sql`delete from run_periods where set_name = 'disturbed' and run_id is not null`
    await house.sql`delete from runs where set_name = 'disturbed' and state = 'published'`
  }
  const last = await attempt("disturbed", 1)
  expect(last?.state).toBe("published")
  expect(hashes(last)).toEqual(hashes(quiet))
  const [{ keys }] = await house.sql<[{ keys: number }]>`select count(*) as keys from reconciliation_keys where run_id = (select run_id from run_periods where set_name = 'disturbed')`
  const [{ wanted }] = await house.sql<[{ wanted: number }]>`select count(*) as wanted from reconciliation_keys where run_id = (select run_id from run_periods where set_name = 'quiet')`
  expect(keys).toBe(wanted)
  expect(wanted).toBeGreaterThan(ORDERS / 2)
}, 60_000 + KILLS * 10_000)

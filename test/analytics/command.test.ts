// The sidecar's commands where they cannot begin, or cannot come to their end: the last line is the contract's JSON all the same.

import { afterAll, expect, test } from "bun:test"
import { join } from "node:path"
import { scratchFolder } from "../support/scratch.ts"
import { openHouse } from "./house.ts"

const ROOT = join(import.meta.dir, "../..")
/** A process at the lowest priority takes its time to begin. */
const BEGINS_MS_MAX = 300_000
const POLL_MS = 50

const house = await openHouse()
afterAll(() => house.close())

const lastOf = (text: string): unknown => JSON.parse(text.trimEnd().split("\n").at(-1) ?? "")

/** A command as `npm run` starts it, with these settings. */
const command = async (words: readonly string[], settings: Readonly<Record<string, string>>) => {
  const child = Bun.spawn([process.execPath, join(ROOT, "engine/sidecar.ts"), ...words], {
    env: { PATH: process.env["PATH"] ?? "", SCRIP_DATA_DIR: scratchFolder(), ...settings }, stdin: "ignore", stdout: "pipe", stderr: "pipe",
  })
  const [out, complained, exit_code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited])
  return { last: lastOf(out), complained, exit_code }
}

/** Nobody listens at this port. */
const away = { DATABASE_URL: "postgres://postgres:x@127.0.0.1:1/scrip" }

test("not_ready: where Postgres is away, the last line says so in the words of the contract", async () => {
  const [job, status, fed] = await Promise.all([
    command(["job", "reconciliation", "--set", "partner", "--period", "2026-10"], away), command(["job", "status"], away), command(["import", "orders", "orders.csv"], away),
  ])
  expect(job).toMatchObject({ exit_code: 1, last: { run_id: null, job: "reconciliation", period: "2026-10", revision: null, state: "failed", outputs: [], reason: "not_ready" } })
  expect(status).toMatchObject({ exit_code: 1, last: { job: null, period: null, state: "failed", reason: "not_ready" } })
  expect(fed).toMatchObject({ exit_code: 1, last: { import_id: null, feed: "orders", rows: 0, accepted: 0, rejected: 0, rejects_file: null } })
  for (const { complained } of [job, status, fed]) expect(complained).toContain("does not answer")
}, BEGINS_MS_MAX)

test("config_invalid: wrong settings are said in the last line too", async () => {
  const { last, exit_code } = await command(["job", "risk", "--period=2026-10-01"], { SCRIP_TIME_ZONE: "Mars/Olympus" })
  expect([exit_code, last]).toMatchObject([1, { job: "risk", period: "2026-10-01", state: "failed", reason: "config_invalid" }])
}, BEGINS_MS_MAX)

test("told to end: a job that waits for a statement without an end does, with its last line", async () => {
  const holder = await house.sql.reserve()
  await holder`begin`
  await holder`lock table run_periods in access exclusive mode`
  try {
    const child = Bun.spawn([process.execPath, join(ROOT, "analytics/command.ts")], { stdin: "pipe", stdout: "pipe", stderr: "pipe" })
    const words = ["job", "badges", "--period", "2026-10"]
    child.stdin.write(`${JSON.stringify({ database_url: house.database_url, time_zone: "UTC", lake_dir: house.lake.root, memory_mb: 256, threads: 1, keep_months: 24, words })}\n`)
    await child.stdin.flush()
    const isWaiting = async () => (await house.sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length > 0
    while (!await isWaiting()) await Bun.sleep(POLL_MS)
    child.kill("SIGTERM")
    const [out, exit_code] = await Promise.all([new Response(child.stdout).text(), child.exited])
    expect([exit_code, lastOf(out)]).toMatchObject([1, { run_id: null, job: "badges", period: "2026-10", state: "failed", reason: "fault" }])
  } finally {
    await holder`rollback`
    holder.release()
  }
}, BEGINS_MS_MAX)

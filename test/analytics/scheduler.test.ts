/** The scheduler: one run at a time over all hosts, a failure that stays its own, and an end with whoever started it. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import postgres from "postgres"
import type { Job } from "../../analytics/job.ts"
import { runJob } from "../../analytics/scheduler.ts"
import { stack } from "../support/stack.ts"

let sql: postgres.Sql
let database_url: string
beforeAll(async () => {
  database_url = (await stack()).databaseUrl
  sql = postgres(database_url, { max: 4, onnotice: () => {} })
})
afterAll(() => sql.end())

const parts = () => ({ sql, time_zone: "UTC", signal: new AbortController().signal })
const job = (name: string, run: Job["run"]): Job => ({ name, cron: "5 * * * *", timeout_s: 60, run })

test("done: the job has the time of Postgres", async () => {
  let at_ms = 0
  expect(await runJob(job("told", async ({ now_ms }) => { at_ms = now_ms; return { rows: 1 } }), parts())).toBe("done")
  const [row] = await sql<{ now_ms: string }[]>`select extract(epoch from now()) * 1000 as now_ms`
  expect(Math.abs(Number(row?.now_ms) - at_ms)).toBeLessThan(60_000)
})
test("taken: two hosts, one run; the next one is free again", async () => {
  const finish = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const long = job("long", async () => { begun.resolve(); await finish.promise; return { rows: 0 } })
  const first = runJob(long, parts())
  await begun.promise
  expect(await runJob(long, parts())).toBe("taken")
  finish.resolve()
  expect(await first).toBe("done")
  expect(await runJob(long, parts())).toBe("done")
})
test("failed: it is said, and the job is free for its next time", async () => {
  const bad = job("bad", async () => { throw new Error("no") })
  expect(await runJob(bad, parts())).toBe("failed")
  expect(await runJob(bad, parts())).toBe("failed")
})
test("the process ends when the pipe of whoever started it does", async () => {
  const scheduler = Bun.spawn([process.execPath, join(import.meta.dir, "../../analytics/scheduler.ts")], { stdin: "pipe", stderr: "inherit" })
  scheduler.stdin.write(`${JSON.stringify({ database_url, time_zone: "UTC" })}\n`)
  await scheduler.stdin.flush()
  await scheduler.stdin.end()
  expect(await scheduler.exited).toBe(0)
})

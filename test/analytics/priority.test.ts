// A job's process has the lowest priority with every thread of it, and so has its session where it leads one.

import { expect, test } from "bun:test"
import { getPriority } from "node:os"
import { join } from "node:path"
import { lowerPriority } from "../../engine/priority.ts"
import { scratchFolder } from "../support/scratch.ts"

const LOWEST = 19
const SCHED_IDLE = 5
const SESSION = "10"
/** What has the lowest priority has a hundredth of a processor beside busy processes. */
const LOWEST_MS_MAX = 600_000
const PROGRAM = `
  const { readdirSync, readFileSync } = require("node:fs")
  const { lowerPriority } = await import(${JSON.stringify(join(import.meta.dir, "../../engine/priority.ts"))})
  const { openDuck } = await import(${JSON.stringify(join(import.meta.dir, "../../analytics/duck.ts"))})
  lowerPriority()
  const duck = await openDuck({ memory_mb: 128, threads: 3, temp_dir: process.argv[1] })
  await duck.run("create table t as select hash(i) as h from range(300000) r(i)")
  const field = (text, nth) => Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[nth])
  let session = ""
  try { session = readFileSync("/proc/self/autogroup", "utf8") } catch {}
  console.log(JSON.stringify({ threads: readdirSync("/proc/self/task").map((thread) => field(readFileSync("/proc/self/task/" + thread + "/stat", "utf8"), 16)), classes: readdirSync("/proc/self/task").map((thread) => field(readFileSync("/proc/self/task/" + thread + "/stat", "utf8"), 38)), session: / nice (-?\\d+)/.exec(session)?.[1] ?? null }))
  duck.close()
`

test.skipIf(process.platform !== "linux")("lowest: every thread, DuckDB's too, and the session of a job but never a terminal's", async () => {
  const start = async (detached: boolean) => {
    const child = Bun.spawn([process.execPath, "-e", PROGRAM, scratchFolder()], { stdin: "ignore", stdout: "pipe", stderr: "inherit", detached })
    const text = await new Response(child.stdout).text()
    expect(await child.exited).toBe(0)
    return JSON.parse(text) as { threads: number[]; classes: number[]; session: string | null }
  }
  const own = await start(true), shared = await start(false)
  expect(own.threads.length).toBeGreaterThan(3)
  expect([new Set(own.threads), new Set(shared.threads)]).toEqual([new Set([LOWEST]), new Set([LOWEST])])
  expect([new Set(own.classes), new Set(shared.classes)]).toEqual([new Set([SCHED_IDLE]), new Set([SCHED_IDLE])])
  // null: this kernel knows no autogroups.
  if (own.session !== null) expect([own.session, shared.session === SESSION]).toEqual([SESSION, false])
}, LOWEST_MS_MAX)

test.skipIf(process.platform !== "linux")("lowest: a process from its first instant, by whoever starts it", async () => {
  const child = Bun.spawn(["sleep", "60"], { stdin: "ignore", detached: true }), own = getPriority()
  try {
    lowerPriority(child.pid)
    expect([getPriority(child.pid), getPriority()]).toEqual([LOWEST, own])
  } finally {
    child.kill("SIGKILL")
    await child.exited
  }
})

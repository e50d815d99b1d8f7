/**
 * The crash story: one SIGKILL after the other under load. Once with APIs, workers, Redis and Postgres as processes of their own, and
 * once all of it as `npm start` starts it.
 *
 * What must stay true: every yes is there afterwards, exactly once, and a repeat gives the same answer; what nobody heard the end of is
 * there once or not at all, and the repeat tells which; no limit was ever passed; and Redis and Postgres agree.
 *
 * SCRIP_CRASH_KILLS says how many kills (20 unless told), SCRIP_SEED which.
 */
import { expect, test } from "bun:test"
import { resolve } from "node:path"
import { SEED } from "../support/seed.ts"
import { sentenceOf } from "../torture/report.ts"
import { runOnce } from "../torture/run.ts"
import type { Layout } from "../torture/stand.ts"

const TREE = resolve(import.meta.dir, "..", "..")
const KILLS = Number(process.env["SCRIP_CRASH_KILLS"] ?? 20)
const KILL_MINUTES_MAX = 1
const STORY_MS_MAX = 120_000 + KILLS * KILL_MINUTES_MAX * 60_000
/** Of five kills one is of an engine that is one process with its servers as children. */
const WHOLE_KILLS = Math.ceil(KILLS / 5)
const KILLING = ["kill_api", "kill_worker", "kill_engine", "kill_redis", "kill_postgres"]

console.log(`crash: SCRIP_SEED=${SEED} SCRIP_CRASH_KILLS=${KILLS}`)

const stories: readonly { name: string; layout: Layout; kills: number }[] = [
  { name: "processes of their own", layout: "split", kills: KILLS - WHOLE_KILLS },
  { name: "one engine with its servers", layout: "whole", kills: WHOLE_KILLS },
]
for (const { name, layout, kills } of stories) {
  test(`${name}, ${kills} kills: every yes is there once, every unknown once or not at all`, async () => {
    const result = await runOnce({ seed: SEED, layout, kills, histories: 0, minutes: kills * KILL_MINUTES_MAX, cells: 1, durability: "local", tree: TREE, only: KILLING })
    console.log(`crash: ${name}: ${sentenceOf([result])}`)
    expect(result.findings).toEqual([])
    expect(result.checked.filter(({ faults }) => faults.length > 0)).toEqual([])
    expect(result.strikes.length).toBe(kills)
  }, STORY_MS_MAX)
}

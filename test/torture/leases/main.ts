/**
 * Lease runs: 64 cells, processes that crash, messages that get lost.
 *
 *   npm run torture:leases -- --runs 100 --seed 1     run n has seed + n; a run that fails prints the line that does it again
 *   npm run torture:leases -- --break all             takes one guard after the other out of a copy, and must see each: within the runs, or by the search
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { connectRedis, redisReady } from "../../../engine/store/redis.ts"
import { quietLog } from "../../../engine/log.ts"
import { startPrivate } from "../../../engine/private/start.ts"
import { removeScratch } from "../../support/scratch.ts"
import { LEASE_GUARDS, type LeaseGuard, STEPS_OF_LUA, withoutGuard } from "../guards.ts"
import { searchWithout, type Step } from "./protocol.ts"
import { lineOf, playRun } from "./run.ts"

const READY_MS_MAX = 10_000
/** A disk that others use too stands still for seconds; what an engine says then is another story. */
const ANSWER_MS_MAX = 60_000
const TEST_MS_MAX = 120_000
const TREE = resolve(import.meta.dir, "..", "..", "..")

/** Play runs until all are done, or until the first that fails where that is enough; how many have failed. */
const play = async (runs: number, seed: number, isFirstEnough: boolean): Promise<number> => {
  let failed = 0, played = 0
  const totals = { sold: 0, refused: 0, busy: 0, crashes: 0, restarts: 0, rewrites: 0, late: 0, cuts: 0 }
  const folder = mkdtempSync(join(tmpdir(), "scrip-leases-"))
  chmodSync(folder, 0o711)
  const servers = await startPrivate({ dataDir: join(folder, "data"), log: quietLog, postgres: false })
  try {
    if (servers.redisUrl === undefined) throw new Error("the private Redis has no address")
    const redis = connectRedis(servers.redisUrl, () => undefined, ANSWER_MS_MAX)
    await redisReady(redis, READY_MS_MAX)
    for (; played < runs && !(isFirstEnough && failed > 0); played++) {
      const ran = await playRun(redis, servers.redisUrl, seed + played)
      for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += ran[name]
      console.log(lineOf(ran))
      if (ran.faults.length === 0) continue
      failed += 1
      console.log(`  again: npm run torture:leases -- --runs 1 --seed ${ran.seed}`)
    }
    redis.disconnect()
  } finally {
    await servers.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  console.log(`${played} runs from seed ${seed}: ${failed} failed; ${JSON.stringify(totals)}`)
  return failed
}

interface Missed { readonly isSeen: boolean; readonly says: string }

/** What runs find without a guard. */
const byRuns = (guard: LeaseGuard, runs: number, seed: number): Missed => {
  const { exitCode, stdout } = Bun.spawnSync([process.execPath, "test/torture/leases/main.ts", "--runs", String(runs), "--seed", String(seed), "--until-red"], { cwd: withoutGuard(TREE, guard), stderr: "inherit" })
  const lines = stdout.toString().trim().split("\n")
  const found = lines.findIndex((line) => line.startsWith("  again"))
  return { isSeen: exitCode === 1, says: found > 0 ? lines.slice(found - 2, found).join(" ").slice(0, 300) : lines.at(-1)! }
}

/** What the search finds without the steps of a guard, and that the Lua without the guard is found not to take them. */
const bySearch = (guard: LeaseGuard, steps: readonly Step[]): Missed => {
  const wrong = steps.map((step) => searchWithout(step).violation?.wrong)
  const { exitCode } = Bun.spawnSync([process.execPath, "test", "--timeout", String(TEST_MS_MAX), STEPS_OF_LUA], { cwd: withoutGuard(TREE, guard), stderr: "ignore" })
  return { isSeen: wrong.every((one) => one !== undefined) && exitCode === 1, says: `by the search, not by runs: ${wrong.join("; ")}; ${STEPS_OF_LUA} ends with ${exitCode}` }
}

/** Play the same without each of these guards, and say which of them were not missed. */
const blindTo = (guards: readonly LeaseGuard[], runs: number, seed: number): string[] => guards.flatMap((guard) => {
  const { isSeen, says } = guard.steps ? bySearch(guard, guard.steps) : byRuns(guard, runs, seed)
  console.log(`${isSeen ? "seen " : "BLIND"}  without ${guard.name} (${guard.says}): ${says}`)
  return isSeen ? [] : [guard.name]
})

const { values } = parseArgs({
  options: { runs: { type: "string", default: "10" }, seed: { type: "string", default: String(Date.now() % 1_000_000) }, break: { type: "string" }, "until-red": { type: "boolean", default: false } },
})
const [runs, seed] = [Number(values.runs), Number(values.seed)]
if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed)) throw new Error("--runs and --seed are whole numbers")
const guards = values.break === "all" ? LEASE_GUARDS : LEASE_GUARDS.filter(({ name }) => values.break?.split(",").includes(name))
if (values.break !== undefined && guards.length === 0) throw new Error(`--break is all or one of ${LEASE_GUARDS.map(({ name }) => name).join(", ")}`)
let isGood = false
try {
  isGood = values.break === undefined ? await play(runs, seed, values["until-red"]) === 0 : blindTo(guards, runs, seed).length === 0
} finally {
  removeScratch()
}
process.exit(isGood ? 0 : 1)

/**
 * Lease runs: 64 cells, processes that crash, messages that get lost.
 *
 *   npm run torture:leases -- --runs 100 --seed 1     run n has seed + n; a run that fails prints the line that does it again
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { connectRedis, redisReady } from "../../../engine/store/redis.ts"
import { quietLog } from "../../../engine/log.ts"
import { startPrivate } from "../../../engine/store/private.ts"
import { lineOf, playRun } from "./run.ts"

const READY_MS_MAX = 10_000

const { values } = parseArgs({ options: { runs: { type: "string", default: "10" }, seed: { type: "string", default: String(Date.now() % 1_000_000) } } })
const [runs, seed] = [Number(values.runs), Number(values.seed)]
if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed)) throw new Error("--runs and --seed are whole numbers")

let failed = 0
const totals = { sold: 0, refused: 0, unjudged: 0, busy: 0, crashes: 0, restarts: 0, rewrites: 0, cuts: 0 }
const folder = mkdtempSync(join(tmpdir(), "scrip-leases-"))
chmodSync(folder, 0o711)
const servers = await startPrivate({ dataDir: join(folder, "data"), log: quietLog, postgres: false })
try {
  if (servers.redisUrl === undefined) throw new Error("the private Redis has no address")
  const redis = connectRedis(servers.redisUrl, () => undefined)
  await redisReady(redis, READY_MS_MAX)
  for (let i = 0; i < runs; i++) {
    const ran = await playRun(redis, seed + i)
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
console.log(`${runs} runs from seed ${seed}: ${failed} failed; ${JSON.stringify(totals)}`)
process.exit(failed > 0 ? 1 : 0)

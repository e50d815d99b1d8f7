// Leases over 64 cells while processes crash and messages get lost: a few runs; `npm run torture:leases` plays hundreds.

import { expect, test } from "bun:test"
import { connectRedis, redisReady } from "../../../engine/store/redis.ts"
import { SEED } from "../../support/seed.ts"
import { ANSWER_MS_MAX, stack } from "../../support/stack.ts"
import { lineOf, playRun } from "./run.ts"

const RUNS = Number(process.env["SCRIP_LEASE_RUNS"] ?? 2)
const RUN_MS_MAX = 240_000

test(`${RUNS} runs: sold exactly the total, nothing stranded, and nobody heard "sold out" while there was enough`, async () => {
  console.log(`leases: SCRIP_SEED=${SEED} SCRIP_LEASE_RUNS=${RUNS}`)
  const { redisUrl } = await (await stack()).ownRedis()
  const redis = connectRedis(redisUrl, () => undefined, ANSWER_MS_MAX)
  await redisReady(redis, 60_000)
  for (let i = 0; i < RUNS; i++) {
    const ran = await playRun(redis, redisUrl, SEED + i)
    console.log(`leases: ${lineOf(ran)}`)
    expect(ran.faults).toEqual([])
    expect(ran.sold).toBeGreaterThan(0)
  }
  redis.disconnect()
}, RUNS * RUN_MS_MAX)

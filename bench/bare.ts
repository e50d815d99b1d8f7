/**
 * The engine without HTTP and without a worker, over servers of its own: to see what an act costs Redis and nothing else.
 */
import { mkdtempSync, chmodSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Redis } from "ioredis"
import { journalKey, quotaKey } from "../lua/keys.ts"
import { open_gate } from "../lua/open_gate.ts"
import type { Caller } from "../engine/answers.ts"
import { quietLog } from "../engine/log.ts"
import type { Parts } from "../engine/parts.ts"
import { migrate, openPostgres } from "../engine/store/postgres.ts"
import { startPrivate } from "../engine/private/start.ts"
import { connectRedis, loadLibrary, redisReady, run } from "../engine/store/redis.ts"
import type { Uses } from "../engine/uses.ts"
import { openParts, usesOf } from "../engine/wire.ts"
import { budgetBody, campaignBody, monthOf } from "./shop.ts"

const READY_MS_MAX = 30_000
const CONNECTIONS_MAX = 4
const EPOCH = 1

export interface Bare {
  readonly folder: string
  readonly redis: Redis
  readonly redis_pid: number
  readonly database_url: string
  readonly postgres_pid: number
  readonly parts: Parts
  readonly uses: Uses
  caller(): Caller
  /** Make a live campaign; its number. */
  campaign(campaign_id: string, quantity: { stock: number; per_user: number }): Promise<number>
  stop(): Promise<void>
}

/** A folder that the private servers can reach, also when we are root and Postgres is not. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "scrip-bench-"))
  chmodSync(folder, 0o711)
  return folder
}

/** Start one: empty, one cell, open in its first epoch, with the month's budget. */
export const startBare = async (): Promise<Bare> => {
  const folder = temporaryFolder()
  const servers = await startPrivate({ dataDir: join(folder, "data"), log: quietLog })
  const redis = connectRedis(servers.redisUrl!, () => undefined)
  await redisReady(redis, READY_MS_MAX)
  await migrate(servers.databaseUrl!)
  const postgres = openPostgres(servers.databaseUrl!, CONNECTIONS_MAX)
  await loadLibrary(redis)
  await run(redis, open_gate, { keys: { quota: quotaKey(0), journal: journalKey(0) }, args: { now_ms: Date.now(), epoch: EPOCH, tail: "0-0", is_joining: 0 } })
  const parts = await openParts(redis, postgres, { cells: 1, zone: "UTC" })
  const uses = usesOf(parts)
  const caller = (): Caller => ({ now_ms: Date.now(), key_id: "bench", scopes: ["checkout", "issue", "operate", "read"], lines: ["*"] })
  const month = monthOf(Date.now())
  await uses.budgets.put({ budget_id: `bench-${month}`, ...budgetBody(month) }, caller())
  return {
    folder, redis, redis_pid: servers.pids()["redis"]!, database_url: servers.databaseUrl!, postgres_pid: servers.pids()["postgres"]!, parts, uses, caller,
    campaign: async (campaign_id, quantity) => {
      await uses.campaigns.put({ campaign_id, ...campaignBody(Date.now(), quantity) } as Parameters<typeof uses.campaigns.put>[0], caller())
      const answered = await uses.campaigns.activate({ campaign_id }, caller())
      const known = await parts.catalogue.campaignById(campaign_id)
      if (answered.outcome !== "changed" || !known) throw new Error(`the campaign ${campaign_id} is ${answered.outcome}`)
      return known.campaign_no
    },
    stop: async () => {
      redis.disconnect()
      await postgres.close()
      await servers.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/**
 * The engine's own check over the replay's stack: Redis and Postgres agree, field by field, at the data's time.
 */
import { connectRedis, redisReady } from "../../engine/store/redis.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { AGE_MS, REMEMBER_MS } from "../../engine/parts.ts"
import { verifyAll } from "../../engine/journal/verify.ts"
import type { Servers } from "./stack.ts"

const REDIS_WAIT_MS = 5_000
const SHOWN_MAX = 20

export interface Verified { readonly is_clean: boolean; readonly said: string }

/** Run the check; `now_ms` is the latest time that the stack was told. */
export const verifyStack = async ({ redis_url, database_url }: Servers, cells: number, now_ms: number): Promise<Verified> => {
  const redis = connectRedis(redis_url, () => undefined)
  const postgres = openPostgres(database_url, 2)
  try {
    await redisReady(redis, REDIS_WAIT_MS)
    const { checked, differences, is_cut } = await verifyAll({
      redis, sql: postgres.sql, cells, ages: () => ({ now_ms, age_ms: AGE_MS, remember_ms: REMEMBER_MS }),
    })
    const said = differences.length === 0 ? `${checked.toLocaleString("en")} things compared, no difference`
      : [`${checked.toLocaleString("en")} things compared, ${is_cut ? "more than " : ""}${differences.length} differences`,
        ...differences.slice(0, SHOWN_MAX).map((each) => `DIFFERENT  ${each.what} ${each.key} ${each.field}: Redis ${each.redis}, Postgres ${each.postgres}`)].join("\n")
    return { is_clean: differences.length === 0, said }
  } catch (fault) {
    // A check that breaks is no agreement, and what the replay has found is still to be printed.
    return { is_clean: false, said: `it broke: ${fault instanceof Error ? fault.stack ?? fault.message : String(fault)}` }
  } finally {
    redis.disconnect()
    await postgres.close()
  }
}

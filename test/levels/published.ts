/** Levels as the monthly job publishes them: a generation with its blocks, written straight into the tables; and brought into Redis. */
import { randomBytes } from "node:crypto"
import { loadLevels } from "../../engine/levels/load.ts"
import { quietLog } from "../../engine/log.ts"
import type { Parts } from "../../engine/parts.ts"
import type { Sql } from "../../engine/store/postgres.ts"
import { blocksFor, packBlock, packLevels, type PackedLevel, rangeOf } from "../../engine/badges/packed.ts"
import { hashBytes, userHash } from "../../lua/keys.ts"
import { until } from "../support/run_engine.ts"

/** Bring every cell to the newest levels. The worker of the same shop may be at it, with older ones even: then again. */
export const levelsLoaded = (parts: Parts, now_ms: number): Promise<void> =>
  until("every cell has the newest levels", async () => await loadLevels(parts, quietLog, now_ms) !== undefined)

export const publishLevels = async (sql: Sql, period: string, badges: readonly { badge_id: string; version: number }[], users: ReadonlyMap<string, readonly PackedLevel[]>): Promise<number> => {
  const blocks = blocksFor(users.size)
  const rows = [...users].map(([user_id, levels]) => ({ hash: hashBytes(userHash(user_id)), levels: packLevels(levels) })).sort((a, b) => a.hash.compare(b.hash))
  const rules: [number, number][] = []
  for (const { badge_id, version } of badges) rules.push([(await sql<{ badge_no: number }[]>`select badge_no from badges where badge_id = ${badge_id}`)[0]!.badge_no, version])
  const run_id = randomBytes(9).toString("hex")
  return sql.begin(async (tx) => {
    await tx`insert into run_periods (job, period, set_name, run_id) values ('badges', ${period}, '', ${run_id}) on conflict (job, period, set_name) do update set run_id = ${run_id}`
    const [made] = await tx<{ generation: number }[]>`
      insert into level_generations (run_id, period, rules, users, blocks) values (${run_id}, ${period}, ${JSON.stringify(rules)}::text::json, ${users.size}, ${blocks}) returning generation`
    for (let block = 0; block < blocks; block++) {
      const own = rows.filter(({ hash }) => rangeOf(hash, blocks) === block)
      await tx`insert into level_blocks (generation, block, users, body) values (${made!.generation}, ${block}, ${own.length}, ${packBlock(own)})`
    }
    return made!.generation
  })
}

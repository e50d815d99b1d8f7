// Processes that answer, as Postgres knows them: who said goodbye leaves no row, who died is told of.

import { expect, test } from "bun:test"
import { quietLog } from "../../engine/log.ts"
import { DEAD_MS, readLost, rememberAcknowledged, TOLD_MS } from "../../engine/journal/acknowledged.ts"
import { openPostgres } from "../../engine/store/postgres.ts"
import { until } from "../support/run_engine.ts"
import { beforeEnd, stack } from "../support/stack.ts"

const NOON = Date.UTC(2026, 5, 15, 12)

test("a goodbye leaves no row; a process that died is told of for as long as ids are remembered, and then forgotten", async () => {
  const { sql, close } = openPostgres(await (await stack()).freshDatabase(), 2)
  beforeEnd(close)
  let now_ms = NOON
  const memoryOf = (process_id: string) => rememberAcknowledged({ sql, log: quietLog, now_ms: () => now_ms, process_id, pid: 1 })
  const known = async () => (await sql<{ process_id: string }[]>`select process_id from api_processes order by 1`).map(({ process_id }) => process_id)
  const silent = async () => (await readLost(sql, now_ms, 10)).silent.map(({ process_id }) => process_id)
  /** It starts, sweeps, and says goodbye. */
  const comeAndGo = async (process_id: string): Promise<void> => {
    const loop = memoryOf(process_id).start()
    await until(`${process_id} is known`, async () => (await known()).includes(process_id))
    await loop.stop()
  }
  await memoryOf("died").look()
  await comeAndGo("left")
  expect(await known()).toEqual(["died"])
  now_ms += DEAD_MS + 1
  expect(await silent()).toEqual(["died"])
  now_ms = NOON + TOLD_MS
  await comeAndGo("another")
  expect(await known()).toEqual(["died"])
  now_ms += 1
  await comeAndGo("one more")
  expect([await known(), await silent()]).toEqual([[], []])
})

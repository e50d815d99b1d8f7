/** Whether the cells can serve: what is missing, in words. */
import { journalKey, quotaKey } from "../lua/keys.ts"
import { gate_state } from "../lua/gate_state.ts"
import { unpack } from "../lua/records.ts"
import type { Parts } from "./parts.ts"
import { run } from "./store/redis.ts"

/** So many missing cells are named. */
const NAMED_MAX = 10

/** What stands between this process and a first 2xx; nothing when every cell is open. */
export const isOpen = async ({ redis, cells }: Parts): Promise<string[]> => {
  try {
    const states = await Promise.all(Array.from({ length: cells }, (_, cell) =>
      run(redis, gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })))
    const shut = states.flatMap(({ epoch_open, cell: record }, cell) => {
      if (record.length === 0) return [`cell ${cell} has not been opened`]
      const { epoch, rebuilding } = unpack("cell", record)
      return rebuilding === 1 ? [`cell ${cell} is being rebuilt`] : epoch_open === epoch ? [] : [`cell ${cell} is being compared with Postgres`]
    })
    return shut.length > NAMED_MAX ? [...shut.slice(0, NAMED_MAX), `and ${shut.length - NAMED_MAX} more cells`] : shut
  } catch (fault) {
    return [`Redis: ${fault instanceof Error ? fault.message : String(fault)}`]
  }
}

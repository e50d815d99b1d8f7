/**
 * What is unused of each quota of a market after every change of it, in the order in which Redis made them.
 *
 * Looks see it every 12 ms and miss what is sold and freed between two of them; a refusal is held to this.
 */
import type { Redis } from "ioredis"
import { unpack } from "../../../lua/records.ts"
import { cellOfKey } from "../../../lua/keys.ts"
import { sideOf } from "../../../engine/quota/post.ts"
import { monitor } from "../../support/monitor.ts"
import { CELLS } from "./market.ts"

interface Change { readonly at_ms: number; readonly unused: number }

export interface UnusedLedger {
  /** The least that was unused of a quota from one instant to another, by the clock of Redis. */
  readonly leastOf: (name: string, from_ms: number, to_ms: number) => number
  /** Hear all that Redis has done by now, and listen no longer. */
  readonly stop: (redis: Redis) => Promise<void>
}

const END = "the ledger ends here"
const QUOTA_KEY = /^\{c\d+\}q$/

/** Follow these quotas from before they are brought to the market until `stop`. */
export const followUnused = async (redisUrl: string, names: readonly string[]): Promise<UnusedLedger> => {
  const quotas = new Map(names.map((name) => [name, { used: Array.from({ length: CELLS }, () => 0), total: 0, cut: 0, changes: [] as Change[] }]))
  const ended = Promise.withResolvers<void>()
  const silence = await monitor(redisUrl, ({ at_ms, args: [key = "", ...fields] }) => {
    if (key === END) ended.resolve()
    if (!QUOTA_KEY.test(key)) return
    for (let i = 0; i < fields.length; i += 2) {
      const [field, bytes] = [fields[i]!, Buffer.from(fields[i + 1]!, "latin1")]
      const isBank = field[0] === "v", quota = quotas.get(isBank ? field.slice(1) : field)
      if (!quota) continue
      if (isBank) ({ total: quota.total, taken: quota.cut = 0 } = unpack("bank", bytes))
      else quota.used[cellOfKey(key)] = sideOf(field, bytes).used
      quota.changes.push({ at_ms, unused: quota.used.reduce((unused, used) => unused - used, quota.total - quota.cut) })
    }
  }, new Set(["HSET", "ECHO"]))
  const leastOf = (name: string, from_ms: number, to_ms: number): number => {
    const { changes } = quotas.get(name)!
    // What stood at the first instant was made by the last change up to it.
    const first = Math.max(0, changes.findLastIndex(({ at_ms }) => at_ms <= from_ms))
    return changes.slice(first).filter(({ at_ms }) => at_ms <= to_ms).reduce((least, { unused }) => Math.min(least, unused), Number.MAX_SAFE_INTEGER)
  }
  return {
    leastOf,
    stop: async (redis) => {
      await redis.echo(END)
      await ended.promise
      silence()
    },
  }
}

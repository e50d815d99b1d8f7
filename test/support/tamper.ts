/** Change a record of a store that is at work: what it does to the record meanwhile is never undone by the test. */
import type { Redis } from "ioredis"

/** Writes a field unless it moved since it was read: 1 where it was written. */
const SWAP = `return redis.call("HGET", KEYS[1], ARGV[1]) == ARGV[2] and redis.call("HSET", KEYS[1], ARGV[1], ARGV[3]) + 1 or 0`
/** How often a field that moves is tried. */
const SWAPS_MAX = 100

/** Write a hash's field as `changed` makes it of what stands there; throws when it never stands still. */
export const tamper = async (node: Redis, key: string, field: string, changed: (raw: Buffer) => Buffer): Promise<void> => {
  for (let i = 0; i < SWAPS_MAX; i += 1) {
    const raw = (await node.hgetBuffer(key, field))!
    if (await node.eval(SWAP, 1, key, field, raw, changed(raw))) return
  }
  throw new Error(`${field} of ${key} never stood still`)
}

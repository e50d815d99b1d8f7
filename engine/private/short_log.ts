/**
 * The log of a private Redis is kept short, so that a killed one is soon back: it reads a snapshot some ten times faster than entries.
 *
 * The server itself has its log rewritten when it has grown by half. What must stay true here: beside that a rewrite is asked for only while
 * little is written, when nobody feels it; and a server that does not answer is left alone, whoever watches it starts it again.
 */
import { Redis } from "ioredis"
import { startEvery, type Loop } from "../loop.ts"
import type { Log } from "../log.ts"

export interface Calm {
  readonly look_ms: number
  /** So many looks in a row the log has grown by less than `growth_bytes` each. */
  readonly looks: number
  readonly growth_bytes: number
  /** What was written since the last snapshot and is worth a rewrite. */
  readonly tail_bytes: number
}
export const CALM: Calm = { look_ms: 1_000, looks: 5, growth_bytes: 64 * 1024, tail_bytes: 2 * 1024 * 1024 }

/** Follows a log's size and says when it is time. Pure. */
export const makeCalmWatch = ({ looks, growth_bytes, tail_bytes }: Calm = CALM) => {
  let calm = 0, before = Infinity
  return (base_bytes: number, current_bytes: number, isRewriting: 0 | 1): boolean => {
    calm = Math.abs(current_bytes - before) < growth_bytes ? calm + 1 : 0
    before = current_bytes
    if (isRewriting === 1 || calm < looks || current_bytes - base_bytes < tail_bytes) return false
    calm = 0
    return true
  }
}

/** Watch the log of one server until it is stopped. */
export const keepLogShort = (port: number, password: string, log: Log, calm = CALM): Loop => {
  const redis = new Redis({ port, password, lazyConnect: true, enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => null })
  redis.on("error", () => undefined) // the look that fails says it
  const isTime = makeCalmWatch(calm)
  const look = async (): Promise<void> => {
    try {
      if (redis.status !== "ready") await redis.connect()
      const info = await redis.info("persistence")
      const sizeOf = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0)
      const isRewriting = sizeOf("aof_rewrite_in_progress") + sizeOf("aof_rewrite_scheduled") > 0 ? 1 : 0
      if (sizeOf("loading") === 0 && isTime(sizeOf("aof_base_size"), sizeOf("aof_current_size"), isRewriting)) await redis.bgrewriteaof()
    } catch {
      redis.disconnect() // it is away or was killed: the next look connects anew
    }
  }
  const loop = startEvery("log", calm.look_ms, log, look)
  return { name: loop.name, stop: async () => { await loop.stop(); redis.disconnect() } }
}

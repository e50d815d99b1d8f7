/**
 * What time does to codes: claims whose process has died are ended, and the codes of campaigns that are over leave Redis.
 *
 * What must stay true: a claim is ended as its user's cell says, by the same steps as its own process would have taken; nothing leaves
 * that an act has not judged again; each round is bounded, and where it is lives in memory only.
 */
import { drop_codes } from "../../lua/drop_codes.ts"
import { bucketBits, claimsKey, dueKey, hourOf, pendingKey, quotaKey, ticketsKey } from "../../lua/keys.ts"
import { unpack } from "../../lua/records.ts"
import { readHeld } from "../tickets/places.ts"
import { refuse } from "../tickets/settle.ts"
import { act, ask } from "../store/redis.ts"
import { isBatchOver } from "./expected.ts"
import type { SweepParts } from "./sweeper.ts"

/** Buckets of one call, of codes and as many of claims: at a million codes 4,000 records, about 2 ms of Redis. */
const BUCKETS_MAX = 64
/** Calls of one round. */
const CALLS_MAX = 8
/** Fields of one look for batches. */
const SCAN_COUNT = 1_000
/** A claim whose cells cannot be reached now is due again after this long. */
const AGAIN_MS = 1_000

export interface CodesSweep {
  /** The hour of the last whole round. */
  readonly hour: number
  /** Batches that are leaving, and the next bucket; nothing between two rounds. */
  readonly under_way?: { readonly batches: readonly string[]; readonly bucket: number; readonly kept: number }
}
export const newCodesSweep = (): CodesSweep => ({ hour: -1 })

/** End a claim that nobody has settled in time. */
export const sweepClaim = async (parts: SweepParts, cell: number, claim: string): Promise<number> => {
  const { redis, sql, cells, ages: { now_ms, remember_ms } } = parts
  const text = await ask(redis, pendingKey(cell), (node) => node.hget(pendingKey(cell), claim))
  if (text === null) {
    await ask(redis, dueKey(cell), (node) => node.zrem(dueKey(cell), `c${claim}`)) // settled since the look at what is due
    return 0
  }
  try {
    await refuse({ redis, sql, cells, remember_ms }, claim, readHeld(text), now_ms)
    return 1
  } catch {
    // The user's cell is shut or away: its opening is another's work, and this claim does not fill every round meanwhile.
    await ask(redis, dueKey(cell), (node) => node.zadd(dueKey(cell), "XX", now_ms + AGAIN_MS, `c${claim}`))
    return 0
  }
}

/** The batches of a cell whose campaign is over and aged. */
const batchesOver = async ({ redis, ages }: SweepParts, cell: number): Promise<string[]> => {
  const over: string[] = []
  let at = "0"
  do {
    const [next, found] = await ask(redis, quotaKey(cell), (node) => node.hscanBuffer(quotaKey(cell), at, "MATCH", "t*", "COUNT", SCAN_COUNT))
    at = next.toString()
    for (let i = 0; i < found.length; i += 2) {
      const { campaign } = unpack("batch", found[i + 1]!)
      const raw = await ask(redis, quotaKey(cell), (node) => node.hgetBuffer(quotaKey(cell), `k${campaign}`))
      if (isBatchOver(raw ? unpack("campaign", raw) : undefined, ages)) over.push(found[i]!.toString("latin1").slice(1))
    }
  } while (at !== "0")
  return over
}

/** Once an hour: look which batches are over, and let their codes leave, some buckets in each round. */
export const sweepCodes = async (parts: SweepParts, cell: number, state: CodesSweep): Promise<CodesSweep> => {
  const { redis, cells, ages: { now_ms, age_ms } } = parts
  const hour = hourOf(now_ms)
  if (!state.under_way) {
    if (state.hour === hour) return state
    const batches = await batchesOver(parts, cell)
    return batches.length === 0 ? { hour } : { hour: state.hour, under_way: { batches, bucket: 0, kept: 0 } }
  }
  const keys = { quota: quotaKey(cell), tickets: ticketsKey(cell), claims: claimsKey(cell) }
  const drop = (buckets: readonly number[]) => act(redis, drop_codes, { keys, args: { now_ms, batches: state.under_way!.batches, buckets, claim_buckets: buckets, age_ms } })
  const last = 2 ** bucketBits(cells)
  let { bucket, kept } = state.under_way
  for (let calls = 0; calls < CALLS_MAX && bucket < last; calls += 1) {
    const end = Math.min(last, bucket + BUCKETS_MAX)
    kept += (await drop(Array.from({ length: end - bucket }, (_, i) => bucket + i))).kept
    bucket = end
  }
  if (bucket < last) return { hour: state.hour, under_way: { ...state.under_way, bucket, kept } }
  // A claim that is pending keeps its batch until the next hour.
  if (kept === 0) await drop([])
  return { hour }
}

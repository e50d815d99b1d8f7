/**
 * Refills: a lease is lent more before it is empty, beside the acts, so that hardly any of them waits.
 *
 * Each process hears of its own acts at once, and the keeper of everybody's once they are flushed. What either thinks is left is a guess:
 * before a bank is asked, the cell's record is read, so two who guess alike ask once.
 */
import { quotaKey } from "../../lua/keys.ts"
import type { QuotaParts } from "../parts.ts"
import { ask } from "../store/redis.ts"
import { borrow, isAway, leftOf, sideOf } from "./post.ts"

/** A lease is refilled when it lasts for less than this at the pace of its cell, or is half used. */
const AHEAD_MS = 1_000
/** The pace follows what was used within about so long. */
const PACE_MS = 1_000
/** So many refills are under way at once; the next flush asks for the others. */
const REFILLS_MAX = 64
/** A bank that had too little for a refill is not asked for one again before this. */
const REFUSED_MS = 1_000
/** So many leases are followed; beyond it all are forgotten together. */
const PACES_MAX = 100_000

/** What a cell has used of a quota since the last word: negative where more came back. */
export interface Used { readonly cell: number; readonly name: string; readonly used: number }

/** What the keeper thinks of a lease between two looks. */
interface Pace { left: number | undefined; lent: number; per_ms: number; act: number; at: number; isAsking: boolean; rest_until: number }

export interface Refills {
  /** Hear what cells have used; what runs low is refilled beside. */
  hear(used: readonly Used[], now_ms: number): void
  /** A lease as it truly was a moment ago: what is left of it, and how much it was lent last. */
  see(name: string, cell: number, left: number, lent: number): void
}

/** Refills of one process. */
export const makeRefills = (parts: QuotaParts): Refills => {
  const paces = new Map<string, Pace>()
  let under_way = 0
  const paceOf = (name: string, cell: number, at: number): Pace => {
    const key = `${cell} ${name}`
    let pace = paces.get(key)
    if (!pace) {
      if (paces.size >= PACES_MAX) paces.clear()
      paces.set(key, pace = { left: undefined, lent: Infinity, per_ms: 0, act: 1, at, isAsking: false, rest_until: 0 })
    }
    return pace
  }
  const isLow = ({ left, lent, per_ms }: Pace): boolean => left === undefined || left < Math.min(per_ms * AHEAD_MS, lent / 2)

  const refill = async (name: string, cell: number, pace: Pace, now_ms: number): Promise<void> => {
    const key = quotaKey(cell)
    const bytes = await ask(parts.redis, key, (node) => node.hgetBuffer(key, name))
    if (!bytes) return
    pace.left = leftOf(sideOf(name, bytes))
    if (!isLow(pace)) return
    const act = Math.ceil(pace.act)
    const borrowed = await borrow(parts, name, { cell, want: act, least: act, is_early: 1 }, now_ms)
    if (borrowed.outcome === "granted") {
      pace.left = borrowed.left
      pace.lent = borrowed.lent
      parts.leases.grants_early += 1
    } else pace.rest_until = performance.now() + REFUSED_MS
  }

  return {
    hear: (all, now_ms) => {
      const at = performance.now()
      for (const { cell, name, used } of all) {
        const pace = paceOf(name, cell, at)
        if (pace.left !== undefined) pace.left -= used
        if (used <= 0) continue
        pace.per_ms = pace.per_ms * Math.exp((pace.at - at) / PACE_MS) + used / PACE_MS
        pace.act += (used - pace.act) / 4
        pace.at = at
        if (pace.isAsking || under_way >= REFILLS_MAX || at < pace.rest_until || !isLow(pace)) continue
        pace.isAsking = true
        under_way += 1
        refill(name, cell, pace, now_ms)
          .catch((fault: unknown) => { if (!isAway(fault)) throw fault }) // one that was lost is asked for again by the next act
          .finally(() => { pace.isAsking = false; under_way -= 1 })
      }
    },
    see: (name, cell, left, lent) => {
      const pace = paces.get(`${cell} ${name}`)
      if (!pace) return
      pace.left = left
      pace.lent = lent || Infinity
    },
  }
}

const own = new WeakMap<QuotaParts, Refills>()

/** The refills of the process that these parts belong to, which hears of each of its acts. */
export const refillsOf = (parts: QuotaParts): Refills => {
  let refills = own.get(parts)
  if (!refills) own.set(parts, refills = makeRefills(parts))
  return refills
}

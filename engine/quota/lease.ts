/**
 * Leases: how a cell that has run short gets more of a quota from its bank.
 *
 * The giver is debited first and the messages carry absolute, growing values, so loss, repetition and reordering are harmless. With one
 * cell the cell holds the whole quota and none of this is ever called. Before anyone hears "exhausted", what the other cells do not
 * use has been recalled.
 */
import { give_back } from "../../lua/give_back.ts"
import { grant } from "../../lua/grant.ts"
import { homeOf, quotaKey } from "../../lua/keys.ts"
import { take_back } from "../../lua/take_back.ts"
import { take_grant } from "../../lua/take_grant.ts"
import type { Parts } from "../parts.ts"
import { act } from "../store/redis.ts"

/** A grant is what is lacking, or this many times less than an equal part of what is free, so that early cells do not take everything. */
const SHARES_PER_CELL = 2

export interface Short {
  /** "b7" for budget 7, "k12" for the stock of campaign 12. */
  readonly name: string
  readonly cell: number
  /** What the cell lacks: minor units, or coupons. */
  readonly want: number
  readonly opens_ms: number
  readonly closes_ms: number
}

const borrow = async ({ redis, cells }: Parts, { name, cell, want, opens_ms, closes_ms }: Short, now_ms: number): Promise<"granted" | number> => {
  const bank = quotaKey(homeOf(name, cells))
  const granted = await act(redis, grant, { keys: { quota: bank }, args: { now_ms, name, cell, want, shares: SHARES_PER_CELL * cells } })
  switch (granted.outcome) {
    case "bank_unknown": return 0
    case "not_enough": return granted.free
    case "granted": {
      const taken = await act(redis, take_grant, {
        keys: { quota: quotaKey(cell) }, args: { now_ms, name, granted_total: granted.granted_total, opens_ms, closes_ms },
      })
      return taken.outcome === "taken" ? "granted" : 0
    }
  }
}

/** Take back from every cell but one what it does not use of a quota; answers what the bank then has free. */
export const recall = async ({ redis, cells }: Parts, name: string, except: number | undefined, now_ms: number): Promise<number> => {
  const bank = quotaKey(homeOf(name, cells))
  let free = 0
  for (let cell = 0; cell < cells; cell++) {
    if (cell === except) continue
    const back = await act(redis, give_back, { keys: { quota: quotaKey(cell) }, args: { now_ms, name, keep: 0 } })
    if (back.outcome === "quota_unknown") continue
    const told = await act(redis, take_back, { keys: { quota: bank }, args: { now_ms, name, cell, returned_total: back.returned_total } })
    if (told.outcome === "taken") free = told.free
  }
  return free
}

const leaseNow = async (parts: Parts, short: Short, now_ms: number): Promise<boolean> => {
  const first = await borrow(parts, short, now_ms)
  if (first === "granted") return true
  const free = await recall(parts, short.name, short.cell, now_ms)
  return free >= short.want && await borrow(parts, short, now_ms) === "granted"
}

interface UnderWay { readonly want: number; readonly done: Promise<boolean> }
const underWay = new WeakMap<Parts, Map<string, UnderWay>>()

/**
 * Get a cell what it lacks of a quota, and say whether the act is worth another try. False: it is exhausted, everywhere. One call for a
 * quota and a cell is under way at a time; who comes meanwhile waits for it, and hears its "exhausted" too where he wants no less.
 */
export const lease = (parts: Parts, short: Short, now_ms: number): Promise<boolean> => {
  if (parts.cells === 1) return Promise.resolve(false)
  let ours = underWay.get(parts)
  if (!ours) underWay.set(parts, ours = new Map())
  const key = `${short.name} ${short.cell}`
  const before = ours.get(key)
  if (before) return before.done.then((isWorthIt) => isWorthIt || short.want < before.want)
  const done = leaseNow(parts, short, now_ms).finally(() => ours.delete(key))
  ours.set(key, { want: short.want, done })
  return done
}

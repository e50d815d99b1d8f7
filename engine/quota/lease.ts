/**
 * Leases: how a cell that has run short gets more of a quota from its bank.
 *
 * With one cell the cell holds the whole quota and none of this is ever called. With many, whoever is short waits here, and everyone who
 * waits for a quota in this process is served together: each cell asks its bank once for all of its own, and before anyone hears
 * "exhausted" every cell was asked for what it does not use, in one recall for all.
 *
 * What must stay true: "exhausted" is the truth of a moment ago. What all cells use is summed twice, one after the other, because a sum
 * over cells is not taken at one instant: money that was freed behind it and used before it would be missed, but not twice. While a cell
 * cannot answer, or a cut is taking the quota down, the answer is "busy".
 */
import type { QuotaParts } from "../parts.ts"
import { borrow, isAway, type Borrowed } from "./post.ts"
import { recall } from "./recall.ts"
import { refillsOf } from "./refill.ts"

/** Recalls of one quota take at most a fifth of the time: after one, the next waits for four times as long as it took. */
const REST_PER_RECALL = 4
/** Between two recalls of a quota whose money is on its way to somebody else. */
const AGAIN_MS = 2
/** Whoever is still short after so long is told that the quota is busy. */
const WAIT_MS_MAX = 2_000
/** So many recalls in a row must find too little. */
const PROOFS = 2

export interface Short {
  /** "b7" for budget 7, "k12" for the stock of campaign 12. */
  readonly name: string
  readonly cell: number
  /** What the cell lacks for the act, beyond the `left` that it has: minor units, or coupons. */
  readonly missing: number
  readonly left: number
  /** How often this act has waited before. */
  readonly waited: number
}

export type Leased =
  /** The act is worth another try. */
  | { readonly outcome: "granted" }
  /** All cells together do not have it; they had so much. */
  | { readonly outcome: "exhausted"; readonly unused: number }
  | { readonly outcome: "busy" }
const GRANTED: Leased = { outcome: "granted" }, BUSY: Leased = { outcome: "busy" }

interface Waiter {
  readonly short: Short
  readonly settle: (leased: Leased) => void
  readonly fail: (fault: unknown) => void
  /** Recalls in a row that found less than it needs. */
  proofs: number
}

/** Who waits for one quota; `waiting` those of them who came since the last round began. As many desks are kept as quotas ran short. */
interface Desk { readonly all: Set<Waiter>; waiting: Waiter[]; rest_until: number; now_ms: number; isServing: boolean }
const desks = new WeakMap<QuotaParts, Map<string, Desk>>()

/** Ask the bank for each cell in which somebody waits; who is still short comes back. */
const borrowFor = async (parts: QuotaParts, name: string, waiters: readonly Waiter[], needOf: (short: Short) => number, now_ms: number): Promise<Waiter[]> => {
  const cells = Map.groupBy(waiters, ({ short }) => short.cell)
  const left = await Promise.all([...cells].map(async ([cell, group]) => {
    const needs = group.map(({ short }) => needOf(short))
    const want = Math.min(needs.reduce((sum, need) => sum + need, 0), Number.MAX_SAFE_INTEGER)
    let outcome: Borrowed["outcome"]
    try {
      const borrowed = await borrow(parts, name, { cell, want, least: Math.min(...needs), is_early: 0 }, now_ms)
      outcome = borrowed.outcome
      if (borrowed.outcome === "granted") refillsOf(parts).see(name, cell, borrowed.left, borrowed.lent)
    } catch (fault) {
      if (!isAway(fault)) throw fault
      outcome = "busy"
    }
    if (outcome === "not_enough") return group
    if (outcome === "granted") parts.leases.grants_waited += 1
    for (const { settle } of group) settle(outcome === "granted" ? GRANTED : outcome === "unknown" ? { outcome: "exhausted", unused: 0 } : BUSY)
    return []
  }))
  return left.flat()
}

/** Serve who waits, and who comes while it lasts. */
const serve = async (parts: QuotaParts, name: string, desk: Desk): Promise<void> => {
  const first = desk.waiting.splice(0)
  let short = await borrowFor(parts, name, first, ({ missing }) => missing, desk.now_ms)
  if (short.length === 0) return
  const until = performance.now() + WAIT_MS_MAX
  await Bun.sleep(Math.max(0, desk.rest_until - performance.now()))
  short.push(...desk.waiting.splice(0)) // one recall serves all
  for (let patience = 0; short.length > 0; patience++) {
    const began = performance.now()
    const recalled = await recall(parts, name, patience, desk.now_ms)
    desk.rest_until = performance.now() + REST_PER_RECALL * (performance.now() - began)
    // Their own cells have given back too: now each needs all of it from the bank.
    short = await borrowFor(parts, name, short, ({ missing, left }) => missing + left, desk.now_ms)
    const isLate = performance.now() > until
    short = short.filter((waiter) => {
      const { missing, left } = waiter.short
      waiter.proofs = recalled === undefined || recalled.unused < missing + left ? waiter.proofs + 1 : 0
      const leased: Leased | undefined = recalled !== undefined && !recalled.is_whole || isLate ? BUSY
        : waiter.proofs >= PROOFS ? { outcome: "exhausted", unused: recalled?.unused ?? 0 } : undefined
      if (leased !== undefined) waiter.settle(leased)
      return leased === undefined
    })
    if (short.some(({ proofs }) => proofs === 0)) await Bun.sleep(AGAIN_MS)
  }
}

const serveAll = async (parts: QuotaParts, name: string, desk: Desk): Promise<void> => {
  desk.isServing = true
  while (desk.waiting.length > 0) {
    try {
      await serve(parts, name, desk)
    } catch (fault) {
      desk.waiting = []
      for (const { settle, fail } of [...desk.all]) isAway(fault) ? settle(BUSY) : fail(fault)
    }
  }
  desk.isServing = false
}

/** Get a cell what it lacks of a quota, and say whether the act is worth another try. */
export const lease = async (parts: QuotaParts, short: Short, now_ms: number): Promise<Leased> => {
  let ours = desks.get(parts)
  if (!ours) desks.set(parts, ours = new Map())
  let desk = ours.get(short.name)
  if (!desk) ours.set(short.name, desk = { all: new Set(), waiting: [], rest_until: 0, now_ms, isServing: false })
  const at = desk
  at.now_ms = Math.max(at.now_ms, now_ms)
  const tally = parts.leases
  if (short.waited === 0) tally.acts_waited += 1
  const leased = await new Promise<Leased>((settle, fail) => {
    const waiter: Waiter = {
      short, proofs: 0,
      settle: (heard) => { at.all.delete(waiter); settle(heard) },
      fail: (fault) => { at.all.delete(waiter); fail(fault) },
    }
    at.all.add(waiter)
    at.waiting.push(waiter)
    if (!at.isServing) void serveAll(parts, short.name, at)
  })
  tally.waits[leased.outcome] += 1
  return leased
}

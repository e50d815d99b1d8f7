/**
 * Misses: how many wrong codes a key, a user and an address may try in a span of time before their next ones are not looked at.
 *
 * The counters are in the cell of the code that was missed, so that a claim and its count are one act. A guesser's codes fall on all
 * cells alike, so with many cells each counts a part of the limit, and never less than two, so that a user who mistypes twice is not
 * taken for one: with n cells a guesser has at most n times the larger of two and a limit's n-th part.
 */
import { idHash } from "../../lua/keys.ts"
import type { No } from "../answers.ts"

/** So many misses in one span are allowed to each. */
export interface MissLimits { readonly key: number; readonly user: number; readonly address: number; readonly window_s: number }

/** Two mistyped codes are one person's. */
const PER_CELL_MIN = 2

export const MISS_LIMITS: MissLimits = { key: 10_000, user: 20, address: 200, window_s: 600 }

/** Who may miss: the key always, the user always, the shopper's address where the caller tells it. */
export interface Misser { readonly key_id: string; readonly user: string; readonly address?: string }

const WHO = ["key", "user", "address"] as const

/** So many of a limit one cell of several counts before it says that it is exceeded. */
export const missesInCell = (max: number, cells: number): number => cells === 1 ? max : Math.max(PER_CELL_MIN, Math.ceil(max / cells))

/** The counters of an instant, with their limits in one cell. */
export const missesAt = (limits: MissLimits, { key_id, user, address }: Misser, code: string, cells: number, now_ms: number) => {
  const window_ms = limits.window_s * 1_000
  const window = Math.floor(now_ms / window_ms)
  const names = [`k${idHash(key_id)}`, `u${user}`, ...(address === undefined ? [] : [`a${address}`])]
  return {
    window,
    args: { missed_as: `${user}${code}`, missed_by: names, misses_max: names.map((_, i) => missesInCell(limits[WHO[i]!], cells)), forget_ms: window_ms },
    /** What whoever has missed too often is told; `which` counts from 1. */
    exceeded: (which: number): No => ({ outcome: "code_misses_exceeded", of: WHO[which - 1]!, retry_after_s: Math.ceil(((window + 1) * window_ms - now_ms) / 1_000) }),
  }
}

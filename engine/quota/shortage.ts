/**
 * What a request does whose cell was found short of a quota: ask Redis again, say that the quota is busy, or say no.
 *
 * What must stay true: nobody hears that all is gone straight after the cells were asked. That takes up to seconds, in which an earlier attempt of
 * the request may have been done, so Redis is asked once more, replay first, and only the quota that is short then too is gone.
 */
import type { QuotaParts } from "../parts.ts"
import { lease } from "./lease.ts"

export type Word =
  | { readonly outcome: "again" }
  | { readonly outcome: "busy" }
  /** All cells together do not have it; they had so much. */
  | { readonly outcome: "no"; readonly unused: number }

/** The shortages of one request, over all its tries. */
export type Shortages = ReturnType<typeof shortagesOf>

export const shortagesOf = (parts: QuotaParts, cell: number, now_ms: number) => {
  let waited = 0
  /** What all cells together were found short of just now; a no uses it up, so a try that asks for less is not refused by it. */
  let gone: { readonly name: string; readonly unused: number } | undefined
  return {
    hasWaited: (): boolean => waited > 0,
    /** The cell lacks `missing` of a quota beyond the `left` that it has. */
    ask: async (name: string, missing: number, left: number): Promise<Word> => {
      if (parts.cells === 1) return { outcome: "no", unused: left }
      if (gone?.name === name) {
        const { unused } = gone
        gone = undefined
        return { outcome: "no", unused }
      }
      const leased = await lease(parts, { name, cell, missing, left, waited: waited++ }, now_ms)
      gone = leased.outcome === "exhausted" ? { name, unused: leased.unused } : undefined
      return { outcome: leased.outcome === "busy" ? "busy" : "again" }
    },
  }
}

/**
 * The close of a budget over all cells: shut in each of them first, then everything unused recalled, then the bank's limit lowered to
 * what is held and spent.
 *
 * Each step may be repeated: a close that was cut short is begun again from the start and finishes.
 */
import { close_budget } from "../../lua/close_budget.ts"
import { homeOf, journalKey, quotaKey } from "../../lua/keys.ts"
import { shut_budget } from "../../lua/shut_budget.ts"
import { cellsOf, type QuotaParts } from "../parts.ts"
import { act } from "../store/redis.ts"
import { greet, isAway } from "./post.ts"
import { recall } from "./recall.ts"

/** The second recall tells again what was on its way during the first. */
const RECALLS = 2
/** A bank that is being cut or restored is tried again so often. */
const TRIES_MAX = 100
const AGAIN_MS = 10

export interface Closing { readonly budget_no: number; readonly budget_id: string; readonly opens_ms: number; readonly closes_ms: number }

/** `released_minor`: what this close took out of the limit. "busy": a cell could not answer; the close goes on when it is asked for again. */
export type Closed = { readonly outcome: "closed"; readonly released_minor: number } | { readonly outcome: "budget_unknown" } | { readonly outcome: "busy" }

/** Close a budget in every cell. `is_again`: that was begun before, so where nothing has come back since nothing is written. */
export const closeEverywhere = async (parts: QuotaParts, { budget_no, budget_id, opens_ms, closes_ms }: Closing, now_ms: number, is_again = false): Promise<Closed> => {
  const { redis, cells } = parts
  const name = `b${budget_no}`, home = homeOf(name, cells), payload = JSON.stringify({ budget_id })
  const keysOf = (cell: number) => ({ quota: quotaKey(cell), journal: journalKey(cell) })
  if (cells > 1) {
    try {
      // The home too, and first: from then on its bank refills nobody.
      const shut = (cell: number) => act(redis, shut_budget, { keys: keysOf(cell), args: { now_ms, budget: budget_no, opens_ms, closes_ms, payload } })
      await shut(home)
      await Promise.all(cellsOf(parts).filter((cell) => cell !== home).map(shut))
      for (let patience = 0; patience < RECALLS; patience++) {
        if (!(await recall(parts, name, patience, now_ms))?.is_whole) return { outcome: "busy" }
      }
    } catch (fault) {
      if (isAway(fault)) return { outcome: "busy" }
      throw fault
    }
  }
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const reply = await act(redis, close_budget, { keys: keysOf(home), args: { now_ms, budget: budget_no, cells, is_again: is_again ? 1 : 0, payload } })
    if (reply.outcome === "closed" || reply.outcome === "budget_unknown") return reply
    if (reply.outcome === "bank_asking" && !await greet(parts, home, now_ms)) return { outcome: "busy" }
    await Bun.sleep(AGAIN_MS)
  }
  return { outcome: "busy" }
}

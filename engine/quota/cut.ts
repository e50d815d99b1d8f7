/**
 * A cut over many cells: a quota's total comes down by all that was asked, or not at all.
 *
 * What the bank has free it takes at once, and then what every cell gives back. What it has taken so far is kept in the bank under the
 * addition, so whoever comes after a crash goes on with it or puts it back; meanwhile nothing is lent from that bank.
 */
import type { ReplyOf } from "../../lua/declare.ts"
import { fund } from "../../lua/fund.ts"
import { homeOf, journalKey, quotaKey } from "../../lua/keys.ts"
import { put_back } from "../../lua/put_back.ts"
import { set_aside } from "../../lua/set_aside.ts"
import type { QuotaParts } from "../parts.ts"
import { act, ask } from "../store/redis.ts"
import { greet } from "./post.ts"
import { recall } from "./recall.ts"

/** A cut that is not whole after so long is put back: until then whoever needs a grant hears that the quota is busy. */
const CUT_MS_MAX = 2_000
const AGAIN_MS = 2
/** So many recalls in a row must find too little before it is said that there is too little. */
const PROOFS = 2

/** A change of a budget's limit, known by its addition; a negative amount is a cut. */
export interface Change {
  readonly budget_no: number; readonly opens_ms: number; readonly closes_ms: number
  readonly addition: string; readonly fingerprint: string; readonly amount_minor: number; readonly payload: string
}

/** What a change ends in; "busy": a cell could not answer, and nothing was cut. */
export type Changed = Exclude<ReplyOf<typeof fund>, { readonly outcome: "gate_closed" }> | { readonly outcome: "busy" }

const homeKeys = ({ cells }: QuotaParts, { budget_no }: Change) => {
  const home = homeOf(`b${budget_no}`, cells)
  return { quota: quotaKey(home), journal: journalKey(home) }
}

const write = (parts: QuotaParts, change: Change, now_ms: number) => {
  const { budget_no: budget, amount_minor, addition, fingerprint, opens_ms, closes_ms, payload } = change
  return act(parts.redis, fund, {
    keys: homeKeys(parts, change),
    args: {
      now_ms, budget, addition, fingerprint, amount_minor: Math.abs(amount_minor), is_cut: amount_minor < 0 ? 1 : 0, opens_ms, closes_ms,
      is_alone: parts.cells === 1 ? 1 : 0, payload,
    },
  })
}

/** Give up a cut: all that was set aside is lent again. */
const putBack = async (parts: QuotaParts, change: Change, now_ms: number): Promise<number> => {
  const { quota } = homeKeys(parts, change)
  const reply = await act(parts.redis, put_back, { keys: { quota }, args: { now_ms, budget: change.budget_no, addition: change.addition } })
  return reply.outcome === "put_back" ? reply.free_minor : 0
}

/** Set aside all of a cut, as often as it takes; how it stands then. */
const gather = async (parts: QuotaParts, change: Change, now_ms: number): Promise<"whole" | "too_little" | "busy" | Changed> => {
  const { redis, cells } = parts
  const { budget_no: budget, addition, fingerprint, payload } = change
  const name = `b${budget}`, amount_minor = -change.amount_minor
  const until = performance.now() + CUT_MS_MAX
  for (let patience = 0, proofs = 0; performance.now() < until;) {
    const reply = await act(redis, set_aside, { keys: { quota: homeKeys(parts, change).quota }, args: { now_ms, budget, addition, fingerprint, amount_minor, cells, payload } })
    switch (reply.outcome) {
      case "bank_unknown": case "bank_asking":
        if (!await greet(parts, homeOf(name, cells), now_ms)) return "busy"
        continue
      case "cut_pending": await Bun.sleep(AGAIN_MS); continue
      case "set_aside": {
        if (reply.missing_minor === 0) return "whole"
        if (proofs >= PROOFS) return "too_little"
        const recalled = await recall(parts, name, patience++, now_ms)
        if (!recalled?.is_whole) return "busy"
        proofs = recalled.unused < amount_minor ? proofs + 1 : 0
        continue
      }
      default: return reply
    }
  }
  return "busy"
}

/** Raise or cut a budget's limit. */
export const changeLimit = async (parts: QuotaParts, change: Change, now_ms: number): Promise<Changed> => {
  if (parts.cells === 1 || change.amount_minor >= 0) return write(parts, change, now_ms)
  const gathered = await gather(parts, change, now_ms)
  if (gathered === "whole") return write(parts, change, now_ms)
  if (gathered !== "too_little" && gathered !== "busy") return gathered
  const free_minor = await putBack(parts, change, now_ms)
  return gathered === "busy" ? { outcome: "busy" } : { outcome: "budget_in_use", free_minor }
}

/** Whether an addition has been made before, with this content or with other; nothing where its bank does not know it. */
export const madeBefore = async (parts: QuotaParts, change: Pick<Change, "budget_no" | "addition" | "fingerprint">): Promise<"replayed" | "request_conflict" | undefined> => {
  const quota = quotaKey(homeOf(`b${change.budget_no}`, parts.cells))
  const [fingerprint, limit] = (await ask(parts.redis, quota, (node) => node.hget(quota, `a${change.addition}`)))?.split(" ") ?? []
  if (fingerprint === undefined || limit === "cut") return undefined
  return fingerprint === change.fingerprint ? "replayed" : "request_conflict"
}

/** The cut that a bank is under, as its addition's field says it. */
export const readCut = (addition: string, field: string): Pick<Change, "addition" | "fingerprint" | "amount_minor" | "payload"> | undefined => {
  const match = /^(\S+) cut (\d+) (.*)$/s.exec(field)
  return match ? { addition, fingerprint: match[1]!, amount_minor: -Number(match[2]), payload: match[3]! } : undefined
}

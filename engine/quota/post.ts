/**
 * The messages between a bank and its cells.
 *
 *   grant    bank: G += x, if x is free      then cell: g = max(g, G)
 *   return   cell: r += x, if x is unused    then bank: B = max(B, r)
 *
 * What must stay true: the giver is debited first, and what it says is absolute and only grows, so that a message may be lost, told
 * again or overtaken; nothing is told before the giver's debit is durable, which is when `act` answers; every message carries the epoch of its bank, and one
 * of a cell its own too: who was opened anew has the others refuse what was sent before. A bank that was restored grants nothing until each cell has told it what it has.
 */
import { gate_state } from "../../lua/gate_state.ts"
import { give_back } from "../../lua/give_back.ts"
import { grant } from "../../lua/grant.ts"
import { hear, TOLD_MAX } from "../../lua/hear.ts"
import { homeOf, journalKey, quotaKey } from "../../lua/keys.ts"
import { meet } from "../../lua/meet.ts"
import { unpack, type BankRecord } from "../../lua/records.ts"
import { take_back } from "../../lua/take_back.ts"
import { take_grant } from "../../lua/take_grant.ts"
import { weigh } from "../../lua/weigh.ts"
import { cellsOf, type QuotaParts } from "../parts.ts"
import { act, ask, NotExecuted, OutcomeUnknown, run } from "../store/redis.ts"

/** A cell did not answer, or not in time: what it holds is not known. */
export const isAway = (fault: unknown): boolean => fault instanceof NotExecuted || fault instanceof OutcomeUnknown

/** What a cell has of a quota. */
export interface Side { readonly granted: number; readonly returned: number; readonly used: number }
export const NOTHING: Side = { granted: 0, returned: 0, used: 0 }

/** A quota's record in a cell, as the leases see it. */
export const sideOf = (name: string, bytes: Uint8Array): Side => {
  if (name[0] === "b") {
    const { granted, returned, held, spent } = unpack("budget", bytes)
    return { granted, returned, used: held + spent }
  }
  const { granted, returned, issued, revoked } = unpack("campaign", bytes)
  return { granted, returned, used: issued - revoked }
}

export const leftOf = ({ granted, returned, used }: Side): number => granted - returned - used
export const freeOf = ({ total, leases, taken = 0 }: BankRecord): number =>
  leases.reduce((free, [, granted, returned]) => free - (granted - returned), total - taken)

export interface Wish {
  readonly cell: number
  /** What would serve all who wait there, and what serves the one who wants least. */
  readonly want: number
  readonly least: number
  /** 1: nobody waits yet. */
  readonly is_early: 0 | 1
}

export type Borrowed =
  | { readonly outcome: "granted"; readonly lent: number; readonly left: number }
  | { readonly outcome: "not_enough"; readonly free: number }
  /** The bank is being restored or cut, or the cell knows of a newer one. */
  | { readonly outcome: "busy" }
  | { readonly outcome: "unknown" }

/** Lend a cell more of a quota: one grant, told to the cell. */
export const borrow = async (parts: QuotaParts, name: string, wish: Wish, now_ms: number): Promise<Borrowed> => {
  const { redis, cells } = parts
  const home = homeOf(name, cells)
  const { cell } = wish
  const ask = () => act(redis, grant, { keys: { quota: quotaKey(home) }, args: { now_ms, name, cells, ...wish } })
  let granted = await ask()
  if (granted.outcome === "bank_asking" && await greet(parts, home, now_ms)) granted = await ask()
  switch (granted.outcome) {
    case "bank_unknown": return { outcome: "unknown" }
    case "bank_asking": return { outcome: "busy" }
    case "not_enough": return granted.is_cutting === 1 ? { outcome: "busy" } : { outcome: "not_enough", free: granted.free }
    case "granted": {
      const { granted_total, epoch, opens_ms, closes_ms, lent } = granted
      const taken = await tellGrant(parts, name, cell, { epoch, granted_total, opens_ms, closes_ms }, now_ms)
      return taken === undefined ? { outcome: "busy" } : { outcome: "granted", lent, left: taken }
    }
  }
}

export interface Grant { readonly epoch: number; readonly granted_total: number; readonly opens_ms: number; readonly closes_ms: number }

/** Tell a cell what its bank has lent it in all; what it then has left, or nothing where it cannot take it. */
export const tellGrant = async ({ redis, cells }: QuotaParts, name: string, cell: number, told: Grant, now_ms: number): Promise<number | undefined> => {
  const taken = await act(redis, take_grant, { keys: { quota: quotaKey(cell) }, args: { now_ms, name, home: homeOf(name, cells), ...told } })
  return taken.outcome === "taken" ? taken.left : undefined
}

/** `epoch` is the bank's as the cell knows it, `cell_epoch` the cell's own. */
export interface Given extends Side { readonly cell: number; readonly epoch: number; readonly cell_epoch: number }

/** Have a cell give back what it does not use, but for `keep`. The bank is told by `tellReturn`. */
export const giveBack = async ({ redis, cells }: QuotaParts, name: string, cell: number, keep: number, now_ms: number): Promise<Given> => {
  const given = await act(redis, give_back, { keys: { quota: quotaKey(cell) }, args: { now_ms, name, home: homeOf(name, cells), keep } })
  if (given.outcome === "quota_unknown") return { cell, epoch: 0, cell_epoch: 0, ...NOTHING }
  return { cell, epoch: given.epoch, cell_epoch: given.cell_epoch, granted: given.granted_total, returned: given.returned_total, used: given.used }
}

/** Tell a bank what a cell has returned in all; false where the bank or the cell is in another epoch than the message says. */
export const tellReturn = async (parts: QuotaParts, name: string, { cell, epoch, cell_epoch, returned }: Given, now_ms: number): Promise<boolean> => {
  const home = homeOf(name, parts.cells)
  const taken = await act(parts.redis, take_back, { keys: { quota: quotaKey(home) }, args: { now_ms, name, cell, epoch, cell_epoch, returned_total: returned } })
  return taken.outcome === "taken"
}

export interface Weighed { readonly bank: BankRecord; readonly free: number; readonly epoch: number; readonly opens_ms: number; readonly closes_ms: number }

/** A quota's bank as it is now; nothing where there is none. */
export const weighBank = async ({ redis, cells }: QuotaParts, name: string, now_ms: number): Promise<Weighed | undefined> => {
  const weighed = await act(redis, weigh, { keys: { quota: quotaKey(homeOf(name, cells)) }, args: { now_ms, name } })
  if (weighed.outcome !== "weighed") return undefined
  const { bank, free, epoch, opens_ms, closes_ms } = weighed
  return { bank: unpack("bank", bank), free, epoch, opens_ms, closes_ms }
}

type Telling = [name: string, granted: number, returned: number]

/** What a cell was granted and has returned of every quota, by the quota's home, and in which epoch it is so. */
const tellingsOf = async ({ redis, cells }: QuotaParts, cell: number): Promise<{ cell_epoch: number; byHome: Map<number, Telling[]> }> => {
  const fields = await ask(redis, quotaKey(cell), (node) => node.hgetallBuffer(quotaKey(cell)))
  const cell_epoch = fields["cell"] ? unpack("cell", fields["cell"]).epoch : 0
  return { cell_epoch, byHome: Map.groupBy(Object.entries(fields).filter(([name]) => /^[bk]\d/.test(name)).map(([name, bytes]): Telling => {
    const { granted, returned } = sideOf(name, bytes)
    return [name, granted, returned]
  }), ([name]) => homeOf(name, cells)) }
}

/** Tell the banks of one home all that one cell has of them; false where they are not open in this epoch. */
const tellHome = async ({ redis }: QuotaParts, { home, epoch, cell, cell_epoch, leases }: { home: number; epoch: number; cell: number; cell_epoch: number; leases: readonly Telling[] }, now_ms: number): Promise<boolean> => {
  let heard = ""
  try {
    for (let i = 0; i === 0 || i < leases.length; i += TOLD_MAX) {
      const reply = await act(redis, hear, {
        keys: { quota: quotaKey(home) }, args: { now_ms, epoch, cell, cell_epoch, leases: leases.slice(i, i + TOLD_MAX), is_all: i + TOLD_MAX >= leases.length ? 1 : 0 },
      })
      heard = reply.outcome
    }
  } catch (fault) {
    if (!isAway(fault)) throw fault
    return false
  }
  return heard === "heard"
}

/** Have every cell tell the banks of some homes; which of the homes every cell has told. */
const greetNow = async (parts: QuotaParts, asked: readonly number[], now_ms: number): Promise<ReadonlySet<number>> => {
  const { redis } = parts
  try {
    const homes = (await Promise.all(asked.map(async (home): Promise<[home: number, epoch: number]> =>
      [home, (await run(redis, gate_state, { keys: { quota: quotaKey(home), journal: journalKey(home) }, args: {} })).epoch_open]))).filter(([, epoch]) => epoch > 0)
    const greeted = new Set(homes.map(([home]) => home))
    await Promise.all(cellsOf(parts).map(async (cell) => {
      // First the cell refuses what the banks sent before, so that what it tells then is all there is.
      const meeting = () => act(redis, meet, { keys: { quota: quotaKey(cell) }, args: { now_ms, cells: homes } })
      await meeting()
      const { cell_epoch, byHome } = await tellingsOf(parts, cell)
      // And what it tells has been made as durable as it was promised before a bank hears it: an act is answered only then.
      await meeting()
      await Promise.all(homes.map(async ([home, epoch]) => {
        if (!await tellHome(parts, { home, epoch, cell, cell_epoch, leases: byHome.get(home) ?? [] }, now_ms)) greeted.delete(home)
      }))
    }))
    return greeted
  } catch (fault) {
    if (isAway(fault)) return new Set()
    throw fault
  }
}

interface Greeting { readonly homes: Set<number>; readonly greeted: Promise<ReadonlySet<number>> }
const greetings = new WeakMap<QuotaParts, { running: Greeting | undefined; next: Greeting | undefined }>()

/**
 * Have every cell tell the banks of a home cell, opened anew, what they were granted. True: those banks grant again. One greeting at a time:
 * homes that are asked for while one is under way are greeted together in the next, because after a restart they are all, and what a cell
 * says of one home it says of 64 in the same breath.
 */
export const greet = async (parts: QuotaParts, home: number, now_ms: number): Promise<boolean> => {
  const ours = greetings.get(parts) ?? { running: undefined, next: undefined }
  greetings.set(parts, ours)
  const begin = (homes: Set<number>, before: Promise<unknown>): Greeting => {
    const greeting: Greeting = {
      homes,
      greeted: before.then(() => {
        ours.running = greeting
        ours.next = undefined
        return greetNow(parts, [...homes], now_ms)
      }).finally(() => { ours.running = undefined }),
    }
    return greeting
  }
  if (ours.running?.homes.has(home)) return (await ours.running.greeted).has(home)
  ours.next ??= begin(new Set(), ours.running?.greeted.catch(() => undefined) ?? Promise.resolve())
  ours.next.homes.add(home)
  return (await ours.next.greeted).has(home)
}

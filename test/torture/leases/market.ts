/**
 * A market of 64 cells on a real Redis, without an engine around it: the acts that take and give back, and the same code that leases.
 *
 * What must stay true: what sells here is the library that sells in production, and every cell is opened, shut and rewritten as the gate
 * and the rebuild do it to its leases.
 */
import { Redis } from "ioredis"
import { act, ask, run, NotExecuted, ourLibrary } from "../../../engine/store/redis.ts"
import type { QuotaParts } from "../../../engine/parts.ts"
import { lease } from "../../../engine/quota/lease.ts"
import { leftOf, sideOf } from "../../../engine/quota/post.ts"
import { bankReader, takeLeases } from "../../../engine/quota/restore.ts"
import { begin_rebuild } from "../../../lua/begin_rebuild.ts"
import { fund } from "../../../lua/fund.ts"
import { gate_state } from "../../../lua/gate_state.ts"
import { issue } from "../../../lua/issue.ts"
import { cellOf, couponField, dueKey, homeOf, idHash, journalKey, quotaKey, userHash, walletKey } from "../../../lua/keys.ts"
import { open_gate } from "../../../lua/open_gate.ts"
import { publish } from "../../../lua/publish.ts"
import { pack, unpack } from "../../../lua/records.ts"
import { revoke } from "../../../lua/revoke.ts"

export const CELLS = 64
const CELL_LIST = Array.from({ length: CELLS }, (_, cell) => cell)
const FOREVER_MS = 4_102_444_800_000
/** An act is tried so often while leases come and go. */
const TRIES_MAX = 12

/** Two quotas: the stock of a campaign and the money of a budget. */
export interface Goods { readonly campaign: number; readonly budget: number }
export const stockOf = ({ campaign }: Goods): string => `k${campaign}`
export const moneyOf = ({ budget }: Goods): string => `b${budget}`

const now = (): number => Date.now()

/** The cells that are shut. */
export const shutCells = async (redis: Redis): Promise<number[]> => {
  const states = await Promise.all(CELL_LIST.map((cell) => run(redis, gate_state, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: {} })))
  return CELL_LIST.filter((cell) => { const { epoch_open, cell: raw } = states[cell]!; return epoch_open === 0 || raw.length === 0 || unpack("cell", raw).epoch !== epoch_open || unpack("cell", raw).rebuilding === 1 })
}

/** Open every cell that is shut, in a new epoch, with its leases from every bank. */
export const openAll = async (redis: Redis): Promise<void> => {
  const read = bankReader({ redis, cells: CELLS })
  await Promise.all(CELL_LIST.map(async (cell) => {
    const keys = { quota: quotaKey(cell), journal: journalKey(cell) }
    const { epoch_open, cell: raw, tail } = await run(redis, gate_state, { keys, args: {} })
    const epoch = raw.length > 0 ? unpack("cell", raw).epoch : 0
    if (epoch_open !== 0 && epoch_open === epoch) return
    await takeLeases({ redis, cells: CELLS }, read, cell, epoch + 1)
    const { outcome } = await run(redis, open_gate, { keys, args: { now_ms: now(), epoch: epoch + 1, tail, is_joining: 0 } })
    if (outcome !== "opened") throw new Error(`cell ${cell} was not opened: ${outcome}`)
  }))
}

/** Forget, as a restart does, which cells were open; then open them again. */
export const restart = async (redis: Redis): Promise<void> => {
  await redis.call("FUNCTION", "DELETE", ourLibrary().name)
  await openAll(redis)
}

/** Write a cell anew, as the rebuild does it to leases: each has what it uses, each bank here nothing but its total. */
export const rewrite = async (redis: Redis, cell: number): Promise<void> => {
  const quota = quotaKey(cell)
  await run(redis, begin_rebuild, { keys: { quota }, args: {} })
  const fields = await redis.hgetallBuffer(quota)
  // In one turn: a cell that stays shut for seconds is another story, and earlier runs have left their goods.
  await Promise.all(Object.entries(fields).map(async ([name, bytes]) => {
    const { used } = /^[bk]\d/.test(name) ? sideOf(name, bytes) : { used: 0 }
    if (name[0] === "b") await redis.hset(quota, name, pack("budget", { ...unpack("budget", bytes), granted: used, returned: 0 }))
    if (name[0] === "k") await redis.hset(quota, name, pack("campaign", { ...unpack("campaign", bytes), granted: used, returned: 0 }))
    // A cut that was being gathered is forgotten with the bank that knew of it.
    if (name[0] === "v") await redis.hset(quota, name, pack("bank", { total: unpack("bank", bytes).total, leases: [] }))
    if (name[0] === "h" || name[0] === "a" && bytes.includes(" cut ")) await redis.hdel(quota, name)
  }))
  const record = unpack("cell", (await redis.hgetBuffer(quota, "cell"))!)
  await takeLeases({ redis, cells: CELLS }, bankReader({ redis, cells: CELLS }), cell, record.epoch)
  await redis.hset(quota, "cell", pack("cell", { ...record, rebuilding: 0 }))
  await openAll(redis)
}

/** Take the goods of earlier runs off the market. */
export const clearAll = async (redis: Redis): Promise<void> => {
  await Promise.all(CELL_LIST.map(async (cell) => {
    const fields = (await redis.hkeys(quotaKey(cell))).filter((field) => /^[bkva]/.test(field))
    if (fields.length > 0) await redis.hdel(quotaKey(cell), ...fields)
  }))
}

/** Put new goods on the market. */
export const bring = async (redis: Redis, goods: Goods, stock: number, money: number): Promise<void> => {
  await Promise.all(CELL_LIST.map((cell) => act(redis, publish, {
    keys: { quota: quotaKey(cell), journal: journalKey(cell) },
    args: {
      now_ms: now(), campaign: goods.campaign, version: 1, state: 1, starts_ms: 0, ends_ms: FOREVER_MS, per_user: 1_000_000, stock,
      is_home: homeOf(stockOf(goods), CELLS) === cell ? 1 : 0, is_alone: 0, payload: "{}",
    },
  })))
  const home = homeOf(moneyOf(goods), CELLS)
  await act(redis, fund, {
    keys: { quota: quotaKey(home), journal: journalKey(home) },
    args: { now_ms: now(), budget: goods.budget, addition: idHash(`${goods.budget}`), fingerprint: "first", amount_minor: money, is_cut: 0, opens_ms: 0, closes_ms: FOREVER_MS, is_alone: 0, payload: "{}" },
  })
}

export type Sold = { readonly outcome: "yes" } | { readonly outcome: "busy" | "later" } | { readonly outcome: "exhausted"; readonly name: string; readonly need: number }

/** Sell one coupon for some money to a user, as the use case does: with leases where the cell has too little. */
export const sell = async (parts: QuotaParts, goods: Goods, user_id: string, request: string, amount: number): Promise<Sold> => {
  const user = userHash(user_id), cell = cellOf(user, CELLS)
  const keys = { quota: quotaKey(cell), journal: journalKey(cell), due: dueKey(cell), wallet: walletKey(cell, user) }
  for (let tries = 0, waited = 0; tries < TRIES_MAX; tries++) {
    let reply
    try {
      reply = await act(parts.redis, issue, {
        keys, args: {
          now_ms: now(), user, field: couponField(goods.campaign, request), campaign: goods.campaign, version: 1, fingerprint: "as-sent", valid_ms: 0,
          holds: [[goods.budget, amount]], is_unfunded: 0, held_out: 0, is_new: 0, age_ms: 1, claim: "", payload: "{}",
        },
      })
    } catch (fault) {
      if (fault instanceof NotExecuted) return { outcome: "later" }
      throw fault
    }
    if (reply.outcome === "issued" || reply.outcome === "replayed") return { outcome: "yes" }
    const short = reply.outcome === "stock_exhausted" ? { name: stockOf(goods), missing: 1, left: 0 }
      : reply.outcome === "budget_exhausted" ? { name: moneyOf(goods), missing: reply.missing_minor, left: reply.left_minor } : undefined
    if (!short) throw new Error(`a sale was answered ${reply.outcome}`)
    const leased = await lease(parts, { ...short, cell, waited: waited++ }, now())
    if (leased.outcome === "exhausted") return { outcome: "exhausted", name: short.name, need: short.missing + short.left }
    if (leased.outcome === "busy") return { outcome: "busy" }
  }
  return { outcome: "busy" }
}

/** Give a coupon back: its stock and its money are free again. */
export const giveUp = async (parts: QuotaParts, { campaign }: Goods, user_id: string, request: string): Promise<void> => {
  const user = userHash(user_id), cell = cellOf(user, CELLS)
  await act(parts.redis, revoke, {
    keys: { quota: quotaKey(cell), journal: journalKey(cell), wallet: walletKey(cell, user) },
    args: { now_ms: now(), user, field: couponField(campaign, request), campaign, payload: "{}" },
  })
}

/** A quota at one instant, over all cells; `ahead` are cells that were granted what their bank does not know, which one that was told all does. */
export interface Instant { readonly total: number; readonly used: number; readonly lent: number; readonly left: number; readonly free: number; readonly cut: number; readonly faults: string[]; readonly ahead: string[] }

/**
 * Look at a quota in every cell at one instant, and hold it to I1, I2 and I3. A cell that is being written anew has no word of its own on
 * what it returned, until its banks have told it.
 */
export const lookAt = async (redis: Redis, name: string): Promise<Instant> => {
  const home = homeOf(name, CELLS)
  const replies = await ask(redis, quotaKey(home), async (node) => {
    // Written in one turn, so that nothing comes between.
    const sent = [node.call("MULTI"), ...CELL_LIST.map((cell) => node.callBuffer("HMGET", quotaKey(cell), name, "cell")), node.callBuffer("HGET", quotaKey(home), `v${name}`), node.callBuffer("EXEC")]
    return (await Promise.all(sent)).at(-1) as [...(readonly [quota: Buffer | null, cell: Buffer | null])[], bank: Buffer | null]
  })
  const bytes = replies.at(-1) as Buffer | null
  const cells = replies.slice(0, -1) as (readonly [quota: Buffer | null, cell: Buffer | null])[]
  const bank = bytes ? unpack("bank", bytes) : { total: 0, leases: [] }
  const sides = cells.map(([quota]) => quota ? sideOf(name, quota) : { granted: 0, returned: 0, used: 0 })
  const isWrittenAnew = (cell: number): boolean => { const raw = cells[cell]![1]; return raw !== null && unpack("cell", raw).rebuilding === 1 }
  const faults: string[] = []
  const lent = bank.leases.reduce((sum, [, granted, returned]) => sum + granted - returned, 0)
  const used = sides.reduce((sum, side) => sum + side.used, 0)
  if (lent + (bank.taken ?? 0) > bank.total) faults.push(`I1: ${name} is lent ${lent} and cut by ${bank.taken ?? 0} of ${bank.total}`)
  sides.forEach((side, cell) => { if (leftOf(side) < 0 || side.used < 0) faults.push(`I2: ${name} in cell ${cell}: ${JSON.stringify(side)}`) })
  for (const [cell, , returned] of bank.leases) if (returned > sides[cell]!.returned && !isWrittenAnew(cell)) faults.push(`I3: ${name} has ${returned} back of cell ${cell}, which returned ${sides[cell]!.returned}`)
  const grantedTo = new Map(bank.leases.map(([cell, granted]) => [cell, granted]))
  const ahead = sides.flatMap(({ granted }, cell) => granted > (grantedTo.get(cell) ?? 0) ? [`I3: ${name} in cell ${cell} was granted ${granted}, and its bank says ${grantedTo.get(cell) ?? 0}`] : [])
  if (used > bank.total) faults.push(`over: ${used} of ${bank.total} of ${name} are used`)
  return { total: bank.total, used, lent, left: sides.reduce((sum, side) => sum + leftOf(side), 0), free: bank.total - lent, cut: bank.taken ?? 0, faults, ahead }
}

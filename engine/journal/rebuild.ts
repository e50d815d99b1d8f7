/**
 * The rebuild: it writes a cell anew from Postgres.
 *
 * What must stay true:
 * - The mark comes first and leaves last. While it stands no gate opens, whatever crashes; a rebuild that was cut short is
 *   begun again from the start.
 * - Nothing that was answered is thrown away unseen: what is not yet flushed is waited for, or the rebuild refuses, unless the
 *   operator has it listed and discarded.
 * - The cell's cursor row is locked from the first read to the last write, so no flush moves what is being read.
 * - The journal goes on: its last id is the cursor, so that the next epoch's entry 0 repeats it.
 *
 * Aged records are left where they are, with their marks: absence means new, so a mark must be where a record was.
 */
import { Redis } from "ioredis"
import { begin_rebuild } from "../../lua/begin_rebuild.ts"
import {
  campaignOfField, cellOf, dueKey, homeOf, hourOf, journalKey, levelsKey, openKey, quotaKey, settledKey, USER_HASH_CHARS, walletKey,
} from "../../lua/keys.ts"
import { FORMAT, pack, packKept, unpack, type BankRecord, type BudgetRecord, type CampaignRecord, type CellRecord } from "../../lua/records.ts"
import type { Log } from "../log.ts"
import type { Sql } from "../store/postgres.ts"
import { bankReader, takeLeases } from "../quota/restore.ts"
import { slotOf } from "../store/slots.ts"
import { ask, loadLibrary, ourLibrary, run, type Servers } from "../store/redis.ts"
import { cursorOf, tailOf } from "./caught_up.ts"
import { compareIds, readEntry, textOf, type EntryId, type RawEntry } from "./entry.ts"
import {
  couponDue, couponFrom, couponMark, couponMarkHour, isAged, isCountOver, isHourAged, isHourOver, isMarkForgotten, jsonOf, OPEN, overSince, redemptionFrom,
  redemptionMark, refusedMark, refusedMarkHour, type Ages, type CampaignFacts, type StoredCoupon, type StoredRedemption,
} from "./expected.ts"
import { loadedLibraries } from "./gate.ts"
import { writeCodes } from "./rebuild_codes.ts"

/** Rows read and commands sent at once. */
const BATCH_ROWS = 5_000
const SCAN_COUNT = 10_000
/** Unflushed entries that are listed before they are discarded. */
const LISTED_MAX = 1_000
const FLUSH_POLL_MS = 20

export interface RebuildParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly log: Log
  /** How many cells there are. */
  readonly cells: number
  readonly ages: Ages
  /** How long the journal is given to be flushed. */
  readonly wait_ms: number
  readonly discard_unflushed: boolean
  readonly onProgress?: (progress: Progress) => void
}

export interface Progress { readonly cell: number; readonly step: "clearing" | "quotas" | "coupons" | "counts" | "redemptions" | "done"; readonly rows: number }
export interface Discarded { readonly entry_id: string; readonly act: string; readonly user_hash: string; readonly payload: string }

export type Rebuilt =
  | { readonly outcome: "rebuilt"; readonly coupons: number; readonly redemptions: number; readonly discarded: readonly Discarded[] }
  /** Entries lie in quarantine: what they did is in Redis only, until a person has settled them. */
  | { readonly outcome: "quarantined"; readonly entries: number }
  /** The journal was not flushed in time; nothing was changed. */
  | { readonly outcome: "unflushed"; readonly entries: number; readonly cursor: string; readonly tail: string }
  /** Another rebuild has come between; nothing was changed by this one. */
  | { readonly outcome: "overtaken" }

type Tx = Parameters<Parameters<Sql["begin"]>[1]>[0]

type Command = [name: string, ...args: (string | number | Buffer)[]]

/** Send writes to a cell as one pipeline; the first error of any is thrown. Each is safe to repeat. */
const send = async (redis: Servers, cell: number, writes: Command[]): Promise<void> => {
  if (writes.length === 0) return
  await ask(redis, quotaKey(cell), async (node) => {
    for (const [error] of await node.pipeline(writes).exec() ?? []) if (error) throw error
  })
}

/**
 * Shut a cell in every library that is loaded, and mark it. A library that cannot read what the cell now holds is taken away, which
 * shuts it too: whoever calls it next loads it anew, with no gate open.
 */
export const shut = async (redis: Servers, cell: number): Promise<void> => {
  await ask(redis, quotaKey(cell), loadLibrary)
  await run(redis, begin_rebuild, { keys: { quota: quotaKey(cell) }, args: {} })
  for (const name of await loadedLibraries(redis, cell)) {
    if (name === ourLibrary().name) continue
    try {
      await ask(redis, quotaKey(cell), (node) => node.call("FCALL", `begin_rebuild_${name.slice("scrip_".length)}`, 1, quotaKey(cell)))
    } catch (fault) {
      if (!(fault instanceof Error && /user_function|@user_script/.test(fault.message))) throw fault
      await ask(redis, quotaKey(cell), (node) => node.call("FUNCTION", "DELETE", name))
    }
  }
}

const unflushedOf = async (redis: Servers, cell: number, cursor: EntryId): Promise<Discarded[]> => {
  const raw = await ask(redis, journalKey(cell), (node) => node.xrangeBuffer(journalKey(cell), `(${textOf(cursor)}`, "+", "COUNT", LISTED_MAX)) as unknown as RawEntry[]
  return raw.map((each) => {
    const read = readEntry(each)
    const entry_id = each[0].toString("latin1")
    return "entry" in read ? { entry_id, act: read.entry.act, user_hash: read.entry.user, payload: read.entry.payload } : { entry_id, act: "unreadable", user_hash: "", payload: "" }
  })
}

/** Make the journal end at the cursor, where it does not; entries beyond it are gone then. */
const endJournalAt = (redis: Servers, cell: number, cursor: EntryId): Promise<void> => {
  const key = journalKey(cell)
  return ask(redis, key, async (node) => {
    const replies = cursor.epoch === 0 ? await node.multi().del(key).exec()
      : await node.multi().del(key).xadd(key, textOf(cursor), String(FORMAT), "").xtrim(key, "MAXLEN", 0).exec()
    for (const [error] of replies ?? []) if (error) throw error
  })
}

/** The keys of a cell, a page at a time. A cluster knows them by their slot; one server looks through all it has. */
async function* keysOf(redis: Servers, cell: number): AsyncGenerator<string[]> {
  const key = quotaKey(cell), tag = `{c${cell}}`
  if (!(redis instanceof Redis) && redis.is_cluster) {
    const slot = String(slotOf(key))
    const found = await ask(redis, key, async (node) => node.call("CLUSTER", "GETKEYSINSLOT", slot, String(await node.call("CLUSTER", "COUNTKEYSINSLOT", slot)))) as string[]
    const names = found.map(String).filter((name) => name.startsWith(tag))
    for (let i = 0; i < names.length; i += SCAN_COUNT) yield names.slice(i, i + SCAN_COUNT)
    return
  }
  let at = "0"
  do {
    const [next, found] = await ask(redis, key, (node) => node.scan(at, "MATCH", `${tag}*`, "COUNT", SCAN_COUNT))
    at = next
    yield found
  } while (at !== "0")
}

/** Remove what a cell has, but for its own record and its journal. */
export const clear = async ({ redis, onProgress }: Pick<RebuildParts, "redis" | "onProgress">, cell: number): Promise<void> => {
  const quota = quotaKey(cell), journal = journalKey(cell)
  // First what says that the badge levels are here: without it they are read from Postgres, and loaded anew.
  await ask(redis, quota, (node) => node.unlink(levelsKey(cell)))
  let rows = 0
  for await (const found of keysOf(redis, cell)) {
    const keys = found.filter((key) => key !== quota && key !== journal)
    if (keys.length > 0) await ask(redis, quota, (node) => node.unlink(keys))
    rows += keys.length
    onProgress?.({ cell, step: "clearing", rows })
  }
  const fields = (await ask(redis, quota, (node) => node.hkeys(quota))).filter((field) => field !== "cell")
  for (let i = 0; i < fields.length; i += BATCH_ROWS) await ask(redis, quota, (node) => node.hdel(quota, ...fields.slice(i, i + BATCH_ROWS)))
}

export interface BudgetSum { cell: number; budget_no: number; limit_minor: number; held_minor: number; spent_minor: number; closed_ms: number | null; opens_ms: number; closes_ms: number }
export interface CampaignSum {
  cell: number; campaign_no: number; version: number; state: number; stock: number; issued: number; revoked: number; reserved: number; redeemed: number
  starts_ms: number | null; ends_ms: number | null; per_user: number | null
}
export interface IdleSum { campaign_no: number; budget_no: number; held_minor: number }

/** The sums of every cell at their cursors, with what a cell has to know beside them. */
export const readSums = async (tx: Tx | Sql, cell: number): Promise<{ budgets: BudgetSum[]; campaigns: CampaignSum[]; idle: IdleSum[] }> => {
  const budgets = await tx<BudgetSum[]>`
    select s.cell, s.budget_no, s.limit_minor, s.held_minor, s.spent_minor, s.closed_ms, b.opens_ms, b.closes_ms
    from cell_budgets s join budgets b on b.budget_no = s.budget_no order by s.budget_no, s.cell`
  // A cell is given the version that it had; the newer ones are pushed to it once it is open.
  const campaigns = await tx<CampaignSum[]>`
    select s.cell, s.campaign_no, s.version, s.state, s.stock, s.issued, s.revoked, s.reserved, s.redeemed, v.starts_ms, v.ends_ms, v.per_user
    from cell_campaigns s left join campaign_versions v on v.campaign_no = s.campaign_no and v.version = s.version order by s.campaign_no, s.cell`
  const idle = await tx<IdleSum[]>`select campaign_no, budget_no, held_minor from cell_idle where cell = ${cell} order by campaign_no, budget_no`
  return { budgets, campaigns, idle }
}

/** What the marks of additions say, in the home cells of their budgets: the fingerprint, and the limit that was answered. */
export const readAdditions = async (tx: Tx, cells: number, cell: number): Promise<{ addition: string; fingerprint: string; limit_minor: number }[]> => {
  const rows = await tx<{ payload: unknown; act: string; moves: unknown }[]>`
    select act, payload, moves from events where act in ('funded', 'closed') order by at_ms, epoch, n`
  const limits = new Map<string, number>()
  return rows.flatMap(({ act, payload, moves }) => {
    const [name, more] = (jsonOf(moves) as [string, number][])[0]!
    if (homeOf(name, cells) !== cell) return []
    const limit_minor = (limits.get(name) ?? 0) + more
    limits.set(name, limit_minor)
    const { addition, fingerprint } = jsonOf(payload) as { addition?: string; fingerprint?: string }
    return act === "funded" && addition !== undefined && fingerprint !== undefined ? [{ addition, fingerprint, limit_minor }] : []
  })
}

/**
 * The lease of the rebuilt cell, and the bank if this is its home. Alone, the cell has all. Otherwise it has what it uses, and its bank
 * nothing but a total: what was lent they tell each other, before the cell opens and before the bank grants again.
 */
const leaseAndBank = (cells: number, cell: number, name: string, total: number, used: number): { lease: { granted: number; returned: number }; bank: BankRecord | undefined } =>
  cells === 1 ? { lease: { granted: total, returned: 0 }, bank: { total, leases: [[0, total, 0]] } }
  : { lease: { granted: used, returned: 0 }, bank: homeOf(name, cells) === cell ? { total, leases: [] } : undefined }

const writeQuotas = async (parts: RebuildParts, tx: Tx, cell: number): Promise<Map<number, CampaignFacts>> => {
  const { redis, cells, onProgress } = parts
  const { budgets, campaigns, idle } = await readSums(tx, cell)
  const writes: Command[] = []
  const quota = quotaKey(cell)
  const facts = new Map<number, CampaignFacts>()
  let rows = 0

  for (const budget_no of new Set(budgets.map((row) => row.budget_no))) {
    const all = budgets.filter((row) => row.budget_no === budget_no)
    const ours = all.find((row) => row.cell === cell)
    const name = `b${budget_no}`
    const { lease, bank } = leaseAndBank(cells, cell, name, all.reduce((sum, row) => sum + row.limit_minor, 0), ours ? ours.held_minor + ours.spent_minor : 0)
    // Neither used here nor at home here.
    if (!ours && !bank) continue
    const record: BudgetRecord = {
      opens_ms: all[0]!.opens_ms, closes_ms: Math.min(all[0]!.closes_ms, ours?.closed_ms ?? Infinity), ...lease, held: ours?.held_minor ?? 0, spent: ours?.spent_minor ?? 0,
    }
    writes.push(["hset", quota, name, pack("budget", record)])
    if (bank) writes.push(["hset", quota, `v${name}`, pack("bank", bank)])
    rows += 1
  }
  for (const campaign_no of new Set(campaigns.map((row) => row.campaign_no))) {
    const all = campaigns.filter((row) => row.campaign_no === campaign_no)
    const ours = all.find((row) => row.cell === cell)
    const name = `k${campaign_no}`
    if (!ours) continue
    if (ours.starts_ms === null || ours.ends_ms === null || ours.per_user === null) throw new Error(`campaign ${campaign_no} has no version ${ours.version} in Postgres`)
    facts.set(campaign_no, { state: ours.state, ends_ms: ours.ends_ms })
    const { lease, bank } = leaseAndBank(cells, cell, name, all.reduce((sum, row) => sum + row.stock, 0), ours.issued - ours.revoked)
    const record: CampaignRecord = {
      version: ours.version, state: ours.state, starts_ms: ours.starts_ms, ends_ms: ours.ends_ms, per_user: ours.per_user, ...lease,
      issued: ours.issued, revoked: ours.revoked, reserved: ours.reserved, redeemed: ours.redeemed,
      idle: idle.filter((row) => row.campaign_no === campaign_no).map((row) => [row.budget_no, row.held_minor]),
    }
    writes.push(["hset", quota, name, pack("campaign", record)])
    if (bank) writes.push(["hset", quota, `v${name}`, pack("bank", bank)])
    rows += 1
  }
  for (const { addition, fingerprint, limit_minor } of await readAdditions(tx, parts.cells, cell)) writes.push(["hset", quota, `a${addition}`, `${fingerprint} ${limit_minor}`])
  await send(redis, cell, writes)
  onProgress?.({ cell, step: "quotas", rows })
  return facts
}

/** Fields gathered by wallet, sent as one write each. */
const walletWrites = (commands: Command[], cell: number) => {
  const fields = new Map<string, (string | Buffer)[]>()
  const dues = new Map<string, number>()
  return {
    put: (user: string, field: string, value: string | Buffer): void => {
      const list = fields.get(user)
      if (list) list.push(field, value)
      else fields.set(user, [field, value])
    },
    due: (user: string, at_ms: number): void => { dues.set(user, Math.min(at_ms, dues.get(user) ?? Infinity)) },
    flush: (): void => {
      for (const [user, list] of fields) commands.push(["hset", walletKey(cell, user), ...list])
      if (dues.size > 0) commands.push(["zadd", dueKey(cell), "LT", ...[...dues].flatMap(([user, at_ms]) => [at_ms, `u${user}`])])
    },
  }
}

const writeCoupons = async ({ redis, ages, onProgress }: RebuildParts, tx: Tx, cell: number, facts: ReadonlyMap<number, CampaignFacts>): Promise<number> => {
  let rows = 0
  const found = tx<StoredCoupon[]>`
    select coupon_id, state, ends_at_ms, fingerprint, redemption, since_ms, holds from coupons where cell = ${cell} order by coupon_id`.cursor(BATCH_ROWS)
  let sent: Promise<unknown> = Promise.resolve()
  for await (const batch of found) {
    const commands: Command[] = []
    const writes = walletWrites(commands, cell)
    for (const row of batch) {
      const user = row.coupon_id.slice(0, USER_HASH_CHARS), field = row.coupon_id.slice(USER_HASH_CHARS)
      const coupon = couponFrom(row)
      const campaign = facts.get(campaignOfField(field))
      if (isAged(coupon, campaign, ages)) {
        const hour = couponMarkHour(overSince(coupon, campaign, ages)!, ages)
        if (isHourOver(hour, ages.now_ms)) continue
        writes.put(user, couponMark(field), String(hour))
        writes.due(user, ages.now_ms + ages.remember_ms)
      } else {
        writes.put(user, field, pack("coupon", coupon))
        writes.due(user, couponDue(coupon, ages))
      }
    }
    writes.flush()
    await sent // one batch is on its way while the next is read
    sent = send(redis, cell, commands)
    rows += batch.length
    onProgress?.({ cell, step: "coupons", rows })
  }
  await sent
  return rows
}

const writeCounts = async ({ redis, ages, onProgress }: RebuildParts, tx: Tx, cell: number, facts: ReadonlyMap<number, CampaignFacts>): Promise<void> => {
  let rows = 0
  const found = tx<{ user_hash: string; campaign_no: number; count: string }[]>`
    select u.user_hash, w.campaign_no, w.count from wallet_counts w join users u on u.user_no = w.user_no where w.cell = ${cell}`.cursor(BATCH_ROWS)
  for await (const batch of found) {
    const commands: Command[] = []
    const writes = walletWrites(commands, cell)
    for (const { user_hash, campaign_no, count } of batch) {
      const campaign = facts.get(campaign_no)
      if (isCountOver(campaign, ages)) continue
      writes.put(user_hash, `n${campaign_no}`, count)
      writes.due(user_hash, campaign!.ends_ms + ages.age_ms)
    }
    writes.flush()
    await send(redis, cell, commands)
    rows += batch.length
    onProgress?.({ cell, step: "counts", rows })
  }
}

/** The marks of grants that were refused to a code's claim. */
const writeRefused = async ({ redis, ages, cells }: RebuildParts, tx: Tx, cell: number): Promise<void> => {
  const found = tx<{ user_hash: string; nonce: string; at_ms: number }[]>`
    select u.user_hash, r.nonce, r.at_ms from refused_grants r join users u on u.user_no = r.user_no`.cursor(BATCH_ROWS)
  for await (const batch of found) {
    const commands: Command[] = []
    const writes = walletWrites(commands, cell)
    for (const { user_hash, nonce, at_ms } of batch) {
      const hour = refusedMarkHour(at_ms, ages)
      if (cellOf(user_hash, cells) !== cell || isHourOver(hour, ages.now_ms)) continue
      writes.put(user_hash, refusedMark(nonce), String(hour))
      writes.due(user_hash, ages.now_ms + ages.remember_ms)
    }
    writes.flush()
    await send(redis, cell, commands)
  }
}

/** Which of two redemptions of an order the order's mark names: the one that stands, else the later. */
const standsBefore = (a: { state: number; reserved_ms: number }, b: { state: number; reserved_ms: number }): boolean => {
  const stands = (row: { state: number }): boolean => redemptionMark(row.state, 0)[0] !== "x"
  return stands(a) !== stands(b) ? stands(a) : a.reserved_ms > b.reserved_ms
}

const writeRedemptions = async ({ redis, ages, onProgress }: RebuildParts, tx: Tx, cell: number): Promise<number> => {
  let rows = 0
  const found = tx<(StoredRedemption & { reserved_ms: number })[]>`
    select redemption_id, state, head, body, since_ms, reserved_ms from redemptions where cell = ${cell} order by redemption_id`.cursor(BATCH_ROWS)
  // A user's redemptions come one after the other, so orders are settled user by user.
  let user_now = ""
  let orders = new Map<string, { redemption: string; state: number; reserved_ms: number }>()
  for await (const batch of found) {
    const commands: Command[] = []
    const writes = walletWrites(commands, cell)
    const putOrders = (): void => { for (const [order, { redemption }] of orders) writes.put(user_now, `o${order}`, redemption) }
    for (const row of batch) {
      const user = row.redemption_id.slice(0, USER_HASH_CHARS), redemption = row.redemption_id.slice(USER_HASH_CHARS)
      if (user !== user_now) {
        putOrders()
        user_now = user
        orders = new Map()
      }
      const hour = hourOf(row.since_ms)
      if (row.state !== OPEN && isMarkForgotten(hour, ages)) continue
      const head = redemptionFrom(row)
      const kept = packKept({ head, body: row.body })
      writes.put(user, `r${redemption}`, redemptionMark(row.state, row.since_ms))
      writes.due(user, ages.now_ms + ages.remember_ms)
      const rival = orders.get(head.order)
      if (!rival || standsBefore(row, rival)) orders.set(head.order, { redemption, state: row.state, reserved_ms: row.reserved_ms })
      if (row.state === OPEN) {
        commands.push(["hset", openKey(cell), redemption, kept])
        commands.push(["zadd", dueKey(cell), head.expires_ms, `r${user}${redemption}`])
      } else if (!isHourAged(hour, ages)) commands.push(["hset", settledKey(cell, hour), redemption, kept])
    }
    putOrders()
    writes.flush()
    await send(redis, cell, commands)
    rows += batch.length
    onProgress?.({ cell, step: "redemptions", rows })
  }
  return rows
}

export const waitForFlush = async ({ redis, sql, wait_ms }: Pick<RebuildParts, "redis" | "sql" | "wait_ms">, cell: number): Promise<{ cursor: EntryId; tail: EntryId }> => {
  const tail = await tailOf(redis, cell)
  const until = performance.now() + wait_ms
  for (;;) {
    const cursor = await cursorOf(sql, cell)
    if (compareIds(cursor, tail) >= 0 || performance.now() >= until) return { cursor, tail }
    await Bun.sleep(FLUSH_POLL_MS)
  }
}

const ownRecord = async (redis: Servers, cell: number) => {
  const raw = await ask(redis, quotaKey(cell), (node) => node.hgetBuffer(quotaKey(cell), "cell"))
  return raw ? unpack("cell", raw) : undefined
}

const setRecord = (redis: Servers, cell: number, record: CellRecord) =>
  ask(redis, quotaKey(cell), (node) => node.hset(quotaKey(cell), "cell", pack("cell", record)))

/** Write one cell from Postgres. It is shut afterwards; its gate is opened as after any restart. */
export const rebuildCell = async (parts: RebuildParts, cell: number): Promise<Rebuilt> => {
  const { redis, sql, log } = parts
  const [quarantined] = await sql<{ entries: number }[]>`select count(*)::integer as entries from quarantine where cell = ${cell} and settled_ms is null`
  if (quarantined!.entries > 0) return { outcome: "quarantined", entries: quarantined!.entries }

  const before = await ownRecord(redis, cell)
  await shut(redis, cell)
  const { cursor: flushed, tail } = await waitForFlush(parts, cell)
  const unflushed = compareIds(tail, flushed) > 0 ? await unflushedOf(redis, cell, flushed) : []
  if (unflushed.length > 0 && !parts.discard_unflushed) {
    // Nothing was touched, so the mark that was not there before is taken away; the gate stays shut.
    if (before && before.rebuilding === 0) await setRecord(redis, cell, before)
    return { outcome: "unflushed", entries: unflushed.length, cursor: textOf(flushed), tail: textOf(tail) }
  }
  for (const { entry_id, act, user_hash } of unflushed) log.warn("an entry that Postgres does not have is discarded", { cell, tail: entry_id, act, user_hash })

  return sql.begin("read write", async (tx): Promise<Rebuilt> => {
    const [row] = await tx<{ epoch: number; n: number; at_ms: number }[]>`select epoch, n, at_ms from cells where cell = ${cell} for update`
    if (!row) throw new Error(`cell ${cell} is unknown to Postgres`)
    const cursor: EntryId = { epoch: row.epoch, n: row.n }
    // Another rebuild may have finished while this one waited for the lock, and the cell may be open again and have gone on.
    if ((await ownRecord(redis, cell))?.rebuilding !== 1) return { outcome: "overtaken" }
    const tail_now = await tailOf(redis, cell)
    if (compareIds(tail_now, tail) !== 0) return { outcome: "overtaken" }
    // Before all else, so that a crash from here on leaves nothing for the flusher to find.
    if (compareIds(tail_now, cursor) !== 0) await endJournalAt(redis, cell, cursor)
    await clear(parts, cell)
    const facts = await writeQuotas(parts, tx, cell)
    const coupons = await writeCoupons(parts, tx, cell, facts)
    await writeCounts(parts, tx, cell, facts)
    await writeRefused(parts, tx, cell)
    await writeCodes(parts, tx, cell, facts)
    const redemptions = await writeRedemptions(parts, tx, cell)
    if (parts.cells > 1) await takeLeases(parts, bankReader(parts), cell, cursor.epoch)
    await setRecord(redis, cell, { format: FORMAT, epoch: cursor.epoch, at_ms: row.at_ms, full: 0, rebuilding: 0, evicted: textOf(cursor) })
    parts.onProgress?.({ cell, step: "done", rows: coupons + redemptions })
    return { outcome: "rebuilt", coupons, redemptions, discarded: unflushed }
  }) as Promise<Rebuilt>
}

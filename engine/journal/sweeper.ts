/**
 * The sweeper: it does what time does. Holds that ran out come back, unused coupons that hold money end, aged records leave
 * Redis, and each hour a cell says how far it has come.
 *
 * What must stay true: it only proposes. Every act judges again in Lua, so a sweeper that is late, repeated or one of several
 * changes nothing but its own work. Each round is bounded; what is left over is due in the next.
 */
import { end_coupons, SWEPT_FIELDS_MAX } from "../../lua/end_coupons.ts"
import { evict } from "../../lua/evict.ts"
import { evict_settled } from "../../lua/evict_settled.ts"
import { expire } from "../../lua/expire.ts"
import {
  campaignOfField, COUPON_HASH_CHARS, dueKey, HOUR_MS, hourOf, journalKey, openKey, quotaKey, settledKey, USER_HASH_CHARS, walletKey,
} from "../../lua/keys.ts"
import { mark_full } from "../../lua/mark_full.ts"
import { unpack } from "../../lua/records.ts"
import { tick } from "../../lua/tick.ts"
import { faultFields, type Log } from "../log.ts"
import type { Sql } from "../store/postgres.ts"
import { withinWait } from "../store/away.ts"
import { ask, run, type Servers } from "../store/redis.ts"
import {
  couponDue, isAged, isCountOver, isMarkForgotten, mustEnd, overSince, type Ages, type CampaignFacts,
} from "./expected.ts"
import { JOURNAL_KEEP_BYTES } from "./flusher.ts"
import { type CodesSweep, newCodesSweep, sweepClaim, sweepCodes } from "./sweep_codes.ts"

/** A hold is free again within a second of its end: a round over all cells is so long, */
export const SWEEP_MS = 100
/** and with many cells longer, so that their number does not make Redis busy: 64 are looked at three times a second. */
const SWEEP_MS_PER_CELL = 5, SWEEP_MS_MAX = 500
/** A round that takes longer hangs on a connection that is gone: the next one begins anew. */
const ROUND_MS_MAX = 30_000
/** Deadlines of one cell in one round. */
const DUE_MAX = 500
/** So many calls are under way at once: Redis answers others in between. */
const CALLS_MAX = 32
/** A wallet with something left over that cannot go yet is looked at again after this long. */
const AGAIN_MS = 10 * 60_000
/** Deadlines that are set in one call. */
const USERS_BATCH = 1_000
/** How far back the first round looks for hours that should have left. */
const HOURS_BACK_MAX = 100 * 24
/** Hours whose settled redemptions leave in one round, each with a question to Postgres: holds that run out meanwhile wait for them. */
export const HOURS_MAX = 4
/** What is not flushed may take so much of Redis, over all cells, before what spends is refused; and how far it must fall again. */
export const JOURNAL_BYTES_MAX = 1024 * 1024 * 1024
const FULL_ENDS_SHARE = 0.8
const MEASURE_MS = 1_000

/** What a sweeper remembers of a cell; all of it is found again after a restart. */
export interface CellSweep {
  readonly cell: number
  /** The last hour that was ticked and the last whose settled redemptions have left. */
  ticked_hour: number
  evicted_hour: number
  measured_at: number
  is_full: boolean
  /** Where the round over the codes of campaigns that are over is, and when the last one was done. */
  codes: CodesSweep
}

export const newCellSweep = (cell: number): CellSweep => ({ cell, ticked_hour: -1, evicted_hour: -1, measured_at: -Infinity, is_full: false, codes: newCodesSweep() })

export interface SweepParts {
  readonly redis: Servers
  readonly sql: Sql
  readonly log: Log
  readonly cells: number
  readonly ages: Ages
  /** The instant of the cell's cursor: up to it everything is in Postgres. */
  readonly flushed_ms: number
  /** Bytes of all unflushed journals that are too many. */
  readonly journal_bytes_max: number
}

export interface Swept {
  /** Whether the cell is shut: nothing was done, and somebody has to open it. */
  readonly is_shut: boolean
  readonly expired: number
  readonly ended: number
  readonly evicted: number
  /** Whether more was due than a round takes. */
  readonly is_behind: boolean
  readonly journal_bytes: number
}

class Shut extends Error { override readonly name = "Shut" }

/** A reply that is not `gate_closed`; a shut cell ends the round. */
const open = <R extends { readonly outcome: string }>(reply: R): Exclude<R, { readonly outcome: "gate_closed" }> => {
  if (reply.outcome === "gate_closed") throw new Shut("the cell is shut")
  return reply as Exclude<R, { readonly outcome: "gate_closed" }>
}

/** Do this for all, a bounded number at a time, and sum what each says. */
const forAll = async <T>(items: readonly T[], work: (item: T) => Promise<number>): Promise<number> => {
  let sum = 0
  for (let i = 0; i < items.length; i += CALLS_MAX) {
    for (const count of await Promise.all(items.slice(i, i + CALLS_MAX).map(work))) sum += count
  }
  return sum
}

/** A hold whose end has come. The rest of the deadline's name is the redemption's. */
const expireOne = async ({ redis, ages: { now_ms } }: SweepParts, cell: number, name: string): Promise<number> => {
  const user = name.slice(0, USER_HASH_CHARS), redemption = name.slice(USER_HASH_CHARS)
  const hour = hourOf(now_ms)
  const reply = open(await run(redis, expire, {
    keys: { quota: quotaKey(cell), journal: journalKey(cell), open: openKey(cell), due: dueKey(cell), wallet: walletKey(cell, user), settled: settledKey(cell, hour) },
    args: { now_ms, user, redemption, hour: String(hour) },
  }))
  // A deadline that is early is moved to where it belongs, so that it does not fill every round.
  if (reply.outcome === "not_due") await ask(redis, dueKey(cell), (node) => node.zadd(dueKey(cell), "XX", reply.expires_at_ms, `r${name}`))
  return reply.outcome === "expired" ? 1 : 0
}

/** What a wallet needs now, and when it has to be looked at next. */
export interface WalletNeeds {
  readonly ends: [field: string, campaign: number][]
  readonly leaves: [field: string, campaign: number][]
  readonly marks: string[]
  /** 0: nothing is left. */
  readonly next_ms: number
}

/** Judge one wallet. Pure; `flushed_ms` holds back what Postgres does not have yet. */
export const judgeWallet = (wallet: ReadonlyMap<string, Buffer>, campaigns: ReadonlyMap<number, CampaignFacts>, ages: Ages, flushed_ms: number): WalletNeeds => {
  const { now_ms, age_ms, remember_ms } = ages
  const ends: [string, number][] = [], leaves: [string, number][] = [], marks: string[] = []
  let next_ms = Infinity, stays = 0, is_behind = false
  const due = (at_ms: number): void => { stays += 1; next_ms = Math.min(next_ms, at_ms > now_ms ? at_ms : now_ms + AGAIN_MS) }
  const settledAt = (place: string | undefined): number | undefined =>
    place === undefined ? undefined : place === "o" ? now_ms + remember_ms : (Number(place.slice(1)) + 1) * HOUR_MS + remember_ms
  for (const [field, value] of wallet) {
    if (field.length > COUPON_HASH_CHARS) {
      const campaign_no = campaignOfField(field)
      const coupon = unpack("coupon", value), campaign = campaigns.get(campaign_no)
      if (mustEnd(coupon, campaign, now_ms)) {
        if (ends.length < SWEPT_FIELDS_MAX) ends.push([field, campaign_no])
        else is_behind = true
        due(now_ms + age_ms) // once it has ended, it stays for its age
      } else if (isAged(coupon, campaign, ages) && overSince(coupon, campaign, ages)! < flushed_ms) {
        if (leaves.length < SWEPT_FIELDS_MAX) leaves.push([field, campaign_no])
        else is_behind = true
        due(now_ms + remember_ms) // its mark stays
      } else due(couponDue(coupon, ages))
      continue
    }
    const text = value.toString("latin1")
    let forget = false, at_ms = now_ms + AGAIN_MS
    switch (field[0]) {
      case "c": case "m": at_ms = (Number(text) + 1) * HOUR_MS; forget = at_ms <= now_ms; break
      case "r": at_ms = settledAt(text)!; forget = text !== "o" && isMarkForgotten(Number(text.slice(1)), ages); break
      case "o": { const at = settledAt(wallet.get(`r${text}`)?.toString("latin1")); forget = at === undefined || at <= now_ms; at_ms = at ?? now_ms; break }
      case "n": { const campaign = campaigns.get(Number(field.slice(1))); forget = isCountOver(campaign, ages); at_ms = (campaign?.ends_ms ?? now_ms) + age_ms; break }
    }
    if (!forget) due(at_ms)
    else if (marks.length < SWEPT_FIELDS_MAX) marks.push(field)
    else is_behind = true
  }
  return { ends, leaves, marks, next_ms: is_behind ? now_ms + 1 : stays === 0 ? 0 : Math.ceil(next_ms) }
}

const readCampaigns = async ({ redis }: SweepParts, cell: number, fields: readonly string[]): Promise<Map<number, CampaignFacts>> => {
  const numbers = [...new Set(fields.flatMap((field) => field.length > COUPON_HASH_CHARS ? [campaignOfField(field)] : field[0] === "n" ? [Number(field.slice(1))] : []))]
  if (numbers.length === 0) return new Map()
  const raw = await ask(redis, quotaKey(cell), (node) => node.hmgetBuffer(quotaKey(cell), ...numbers.map((no) => `k${no}`)))
  return new Map(numbers.flatMap((no, i) => { const bytes = raw[i]; return bytes ? [[no, unpack("campaign", bytes)] as const] : [] }))
}

/** A user whose day has come: end what holds money for nothing, let the aged leave, and set the next day. */
const sweepUser = async (parts: SweepParts, cell: number, user: string): Promise<{ ended: number; evicted: number }> => {
  const { redis, ages, flushed_ms } = parts
  const { now_ms, age_ms, remember_ms } = ages
  const raw = await ask(redis, quotaKey(cell), (node) => node.hgetallBuffer(walletKey(cell, user)))
  const wallet = new Map(Object.entries(raw))
  const { ends, leaves, marks, next_ms } = judgeWallet(wallet, await readCampaigns(parts, cell, [...wallet.keys()]), ages, flushed_ms)
  const quota = quotaKey(cell), journal = journalKey(cell)
  let ended = 0
  if (ends.length > 0) {
    const reply = open(await run(redis, end_coupons, { keys: { quota, journal, wallet: walletKey(cell, user) }, args: { now_ms, user, fields: ends } }))
    ended = reply.count
  }
  const { count } = open(await run(redis, evict, {
    keys: { quota, journal, due: dueKey(cell), wallet: walletKey(cell, user) },
    args: { now_ms, user, coupons: leaves, marks, flushed_ms, age_ms, remember_ms, next_ms, fields_then: wallet.size },
  }))
  return { ended, evicted: count }
}

const sweepDue = async (parts: SweepParts, cell: number): Promise<{ expired: number; ended: number; evicted: number; is_behind: boolean }> => {
  const { redis, ages: { now_ms } } = parts
  const due = await ask(redis, dueKey(cell), (node) => node.zrangebyscore(dueKey(cell), "-inf", now_ms, "LIMIT", 0, DUE_MAX))
  const redemptions = due.filter((name) => name[0] === "r"), users = due.filter((name) => name[0] === "u"), claims = due.filter((name) => name[0] === "c")
  const expired = await forAll(redemptions, (name) => expireOne(parts, cell, name.slice(1)))
  let ended = 0
  const evicted = await forAll(users, async (name) => {
    const swept = await sweepUser(parts, cell, name.slice(1))
    ended += swept.ended
    return swept.evicted
  })
  await forAll(claims, (name) => sweepClaim(parts, cell, name.slice(1)))
  return { expired, ended, evicted, is_behind: due.length === DUE_MAX }
}

/**
 * Have the wallets looked at whose coupons were redeemed in an hour that leaves: a used coupon may end much later than it is over, and
 * a confirm does not pay for a deadline of its own. They are spread over the hour that follows, so that a busy hour is not swept at once.
 */
const callUsers = async ({ redis, sql, ages: { now_ms } }: SweepParts, cell: number, hour: number): Promise<void> => {
  const users = await sql<{ user_hash: string }[]>`
    select user_hash from users where user_no in (
      select user_no from events where at_ms >= ${hour * HOUR_MS} and at_ms < ${(hour + 1) * HOUR_MS} and cell = ${cell} and act = 'confirmed')`
  for (let i = 0; i < users.length; i += USERS_BATCH) {
    const batch = users.slice(i, i + USERS_BATCH)
    await ask(redis, dueKey(cell), (node) =>
      node.zadd(dueKey(cell), "LT", ...batch.flatMap(({ user_hash }, j) => [now_ms + Math.floor(((i + j) / users.length) * HOUR_MS), `u${user_hash}`])))
  }
}

/** Let the settled redemptions of whole hours leave, some in a round. The first round looks back far, later ones at what has come since. */
const sweepHours = async (parts: SweepParts, state: CellSweep): Promise<void> => {
  const { redis, ages: { now_ms, age_ms }, flushed_ms } = parts
  const { cell } = state
  const last = hourOf(now_ms - age_ms) - 1
  if (last <= state.evicted_hour) return
  const first = Math.max(state.evicted_hour + 1, last - HOURS_BACK_MAX)
  const hours = Array.from({ length: last - first + 1 }, (_, i) => first + i)
  // All hours in one question, then each: the first round looks at thousands, of which few or none are there.
  const keys = hours.map((hour) => settledKey(cell, hour))
  const there = await ask(redis, quotaKey(cell), async (node) => await node.exists(keys) === 0 ? [] : Promise.all(keys.map((key) => node.exists(key))))
  let left = 0
  for (const [i, hour] of hours.entries()) {
    if (there[i] !== 1) continue
    if ((hour + 1) * HOUR_MS >= flushed_ms || left === HOURS_MAX) return // this hour is the first of the next round
    left += 1
    await callUsers(parts, cell, hour)
    const reply = open(await run(redis, evict_settled, {
      keys: { quota: quotaKey(cell), journal: journalKey(cell), settled: settledKey(cell, hour) }, args: { now_ms, hour, flushed_ms, age_ms },
    }))
    if (reply.outcome === "not_due") return
    state.evicted_hour = hour
  }
  state.evicted_hour = last
}

/** The journal's bytes, and the mark that follows them. What is kept of the flushed ones does not count. */
const sweepJournal = async ({ redis, cells, ages: { now_ms }, journal_bytes_max, log }: SweepParts, state: CellSweep): Promise<number> => {
  const { cell } = state
  const bytes = await ask(redis, journalKey(cell), (node) => node.memory("USAGE", journalKey(cell))) ?? 0
  const unflushed = Math.max(0, bytes - JOURNAL_KEEP_BYTES / cells)
  const limit = journal_bytes_max / cells
  const is_full = state.is_full ? unflushed > limit * FULL_ENDS_SHARE : unflushed > limit
  // Told each time, because a rebuilt or restarted cell does not know; and so a cell that was shut is found.
  open(await run(redis, mark_full, { keys: { quota: quotaKey(cell) }, args: { now_ms, full: is_full ? 1 : 0 } }))
  if (is_full !== state.is_full) log[is_full ? "error" : "info"](is_full ? "the journal is full: what spends is refused" : "the journal has room again", { cell, backlog_bytes: unflushed })
  state.is_full = is_full
  return bytes
}

/** One round over one cell. */
export const sweepOnce = async (parts: SweepParts, state: CellSweep): Promise<Swept> => {
  const { redis, ages: { now_ms } } = parts
  const { cell } = state
  try {
    if (hourOf(now_ms) > state.ticked_hour) {
      open(await run(redis, tick, { keys: { quota: quotaKey(cell), journal: journalKey(cell) }, args: { now_ms } }))
      state.ticked_hour = hourOf(now_ms)
    }
    const swept = await sweepDue(parts, cell)
    await sweepHours(parts, state)
    state.codes = await sweepCodes(parts, cell, state.codes)
    let journal_bytes = 0
    // By the machine's own time: a shut cell is found here, also where the clock is a replay's and stands still.
    if (performance.now() - state.measured_at >= MEASURE_MS) {
      journal_bytes = await sweepJournal(parts, state)
      state.measured_at = performance.now()
    }
    return { is_shut: false, ...swept, journal_bytes }
  } catch (fault) {
    if (fault instanceof Shut) return { is_shut: true, expired: 0, ended: 0, evicted: 0, is_behind: false, journal_bytes: 0 }
    throw fault
  }
}

export interface SweepLoop {
  readonly states: readonly CellSweep[]
  readonly signal: AbortSignal
  /** The parts as they are now: the instant and each cell's cursor move. */
  readonly partsOf: (cell: number) => SweepParts
  /** A shut cell: to be compared and opened. */
  readonly onShut: (cell: number) => Promise<void>
  readonly onSwept?: (cell: number, swept: Swept) => void
  readonly log: Log
}

/** Sweep every cell each SWEEP_MS, or less often where they are many, until the signal is aborted. What fails is logged when it begins, and tried again. */
export const sweepForever = async ({ states, signal, partsOf, onShut, onSwept, log }: SweepLoop): Promise<void> => {
  const said = new Map<number, string>()
  const round_ms = Math.min(Math.max(SWEEP_MS, states.length * SWEEP_MS_PER_CELL), SWEEP_MS_MAX)
  while (!signal.aborted) {
    const began = performance.now()
    await Promise.all(states.map(async (state) => {
      const { cell } = state
      try {
        const swept = await withinWait(sweepOnce(partsOf(cell), state), ROUND_MS_MAX)
        if (swept.is_shut) await onShut(cell)
        else onSwept?.(cell, swept)
        said.delete(cell)
      } catch (fault) {
        const fields = faultFields(fault)
        if (said.get(cell) !== String(fields.error)) log.error("a cell cannot be swept now", { cell, ...fields })
        said.set(cell, String(fields.error))
        state.measured_at = -Infinity // a Redis that was away may be back as another: the next round that comes through looks whether the cell is shut
      }
    }))
    await Bun.sleep(Math.max(0, round_ms - (performance.now() - began)))
  }
}

/**
 * A small world for the tests of the journal: a Redis of its own, a fresh database, and the acts of one shop in it.
 *
 * What must stay true: the acts are the real functions with the payloads that the engine sends, and a restart is what a restart is to a
 * cell: the library forgets which epoch it had opened.
 */
import { encode } from "@msgpack/msgpack"
import type { Redis } from "ioredis"
import { cancel } from "../../lua/cancel.ts"
import { confirm } from "../../lua/confirm.ts"
import { fund } from "../../lua/fund.ts"
import { issue } from "../../lua/issue.ts"
import {
  cellOf, couponField, dueKey, fingerprintOf, homeOf, hourOf, idHash, journalKey, openKey, orderHash, quotaKey, redemptionHash, settledKey, userHash, walletKey,
} from "../../lua/keys.ts"
import { publish } from "../../lua/publish.ts"
import { CAMPAIGN_STATES, ENTRY_FACTS, FORMAT, valuesOf, type CampaignState, type EntryRecord } from "../../lua/records.ts"
import { refund } from "../../lua/refund.ts"
import { reserve } from "../../lua/reserve.ts"
import { revoke } from "../../lua/revoke.ts"
import { flushOnce, newCellFlush, type Flushed, type Steps } from "../../engine/journal/flusher.ts"
import { openCell, type Opened } from "../../engine/journal/gate.ts"
import { rebuildCell, type RebuildParts } from "../../engine/journal/rebuild.ts"
import { verifyAll } from "../../engine/journal/verify.ts"
import { quietLog } from "../../engine/log.ts"
import { borrow, greet } from "../../engine/quota/post.ts"
import { newLeaseTally } from "../../engine/quota/tally.ts"
import { bankReader, takeLeases } from "../../engine/quota/restore.ts"
import { openPostgres, type Sql } from "../../engine/store/postgres.ts"
import { connectRedis, redisReady, run } from "../../engine/store/redis.ts"
import { ANSWER_MS_MAX, stack } from "../support/stack.ts"

export const NOON = Date.UTC(2026, 10, 16, 12)
export const DAY_MS = 86_400_000
const MONTH_STARTS = Date.UTC(2026, 10, 1), MONTH_ENDS = Date.UTC(2026, 11, 1)
export const AGE_MS = 2 * DAY_MS
export const REMEMBER_MS = 90 * DAY_MS
const HOLD_MS = 900_000
const READY_MS_MAX = 60_000
/** Budget 1 pays at the reserve, campaign 1 of it; campaign 2 holds the money of budget 2 at the issue. */
export const AT_RESERVE = 1, AT_ISSUE = 2

let own: Promise<Redis> | undefined
const ownRedis = (): Promise<Redis> => (own ??= (async () => {
  const redis = connectRedis((await (await stack()).ownRedis()).redisUrl, () => {}, ANSWER_MS_MAX)
  await redisReady(redis, READY_MS_MAX)
  return redis
})())

/** One database for a file, emptied for each world: a new one would be most of the time. */
let database: Promise<Sql> | undefined
const emptyDatabase = async (): Promise<Sql> => {
  const sql = await (database ??= (async () => openPostgres(await (await stack()).freshDatabase(), 2).sql)())
  await sql`truncate settings, api_keys, budgets, campaigns, campaign_versions, cells, epochs, users, events, budget_entries, cell_budgets, cell_campaigns, cell_idle,
    coupons, redemptions, refunds, wallet_counts, quarantine, code_batches, codes, code_claims, refused_grants restart identity`
  return sql
}

export type World = Awaited<ReturnType<typeof newWorld>>

/** Put an entry into a journal by hand, where no act would make it so. */
export const addEntry = (world: World, cell: number, epoch: number, entry: Pick<EntryRecord, "act" | "at_ms" | "user"> & Partial<EntryRecord>, payload = "") =>
  world.redis.xadd(journalKey(cell), `${epoch}-*`, String(FORMAT), Buffer.from(encode(valuesOf("entry", { moves: [], coupons: [], redemptions: [], counts: [], ...entry }))), ...(payload === "" ? [] : [ENTRY_FACTS, payload]))

/** Everything empty. The worlds of one file share a Redis, so each test has to be done before the next begins. */
export const newWorld = async ({ cells: cells_then = 1 }: { cells?: number } = {}) => {
  let cells = cells_then
  const redis = await ownRedis()
  await redis.flushall()
  await redis.call("FUNCTION", "FLUSH")
  const sql = await emptyDatabase()
  let now_ms = NOON

  for (const [no, name] of [[1, "retail"], [2, "prepaid"]] as const) {
    await sql`insert into budgets (budget_id, line, month, currency, party, opens_ms, closes_ms, limit_minor, fingerprint, created_ms)
      values (${name}, 'retail', '2026-11', 'CNY', 'retail', ${MONTH_STARTS}, ${MONTH_ENDS}, 1000000, 'f', ${NOON})`
    await sql`insert into campaigns (campaign_id, line, currency, state, version, body, starts_ms, ends_ms, per_user, stock, fingerprint, created_ms, changed_ms)
      values (${`campaign ${no}`}, 'retail', 'CNY', 'live', 1, '{}', ${MONTH_STARTS}, ${MONTH_ENDS}, 100, 100000, 'f', ${NOON}, ${NOON})`
    await sql`insert into campaign_versions (campaign_no, version, state, body, starts_ms, ends_ms, per_user, stock, at_ms)
      values (${no}, 1, 'live', '{}', ${MONTH_STARTS}, ${MONTH_ENDS}, 100, 100000, ${NOON})`
  }

  const keysOf = (user_id: string) => {
    const user = userHash(user_id), cell = cellOf(user, cells)
    return {
      user, cell,
      keys: { quota: quotaKey(cell), journal: journalKey(cell), open: openKey(cell), due: dueKey(cell), wallet: walletKey(cell, user), settled: settledKey(cell, hourOf(now_ms)) },
    }
  }
  const hour = (): string => String(hourOf(now_ms))
  const ages = () => ({ now_ms, age_ms: AGE_MS, remember_ms: REMEMBER_MS })
  const rebuildParts = () => ({ redis, sql, log: quietLog, cells, ages: ages(), wait_ms: 200, discard_unflushed: false })
  const statesOf = () => Array.from({ length: cells }, (_, cell) => newCellFlush(cell))
  let states = statesOf()
  const known = new Map<string, number>()

  const leases = newLeaseTally()
  const quotaParts = () => ({ redis, cells, leases })
  const world = {
    redis, sql, ages, keysOf,
    now: () => now_ms,
    later: (by_ms: number) => { now_ms += by_ms },
    /** The installation has another number of cells now. */
    reshaped: (cells_now: number) => { cells = cells_now; states = statesOf() },

    // --- the journal
    gate: (cell = 0, more: { afterAllotment?: () => void; takeLeases?: () => Promise<void>; sql?: Sql } = {}): Promise<Opened> =>
      openCell({ redis, sql, log: quietLog, cell, now_ms, takeLeases: async (of, epoch) => { if (cells > 1) await takeLeases({ redis, cells }, bankReader({ redis, cells }), of, epoch) }, rebuild: async (of) => { await rebuildCell(rebuildParts(), of) }, ...more }),
    /** Every cell tells every bank what it has, as it does once all are open. */
    greet: async () => { for (let cell = 0; cell < cells; cell++) if (!await greet(quotaParts(), cell, now_ms)) throw new Error(`cell ${cell} is not told`) },
    flush: async (steps?: Steps): Promise<Flushed> => {
      let all: Flushed
      let entries = 0, quarantined = 0
      do {
        all = await flushOnce({ redis, sql, log: quietLog, cells, known, ...(steps ? { steps } : {}) }, states)
        entries += all.entries
        quarantined += all.quarantined
      } while (all.entries > 0 && all.faults.length === 0)
      return { ...all, entries, quarantined }
    },
    rebuild: (cell = 0, more: Partial<RebuildParts> = {}) => rebuildCell({ ...rebuildParts(), ...more }, cell),
    verify: () => verifyAll({ redis, sql, cells, ages }),
    /** What differs, as short words. */
    differences: async (): Promise<string[]> => (await world.verify()).differences.map(({ what, field }) => `${what} ${field}`),
    /** Forget, as a restart makes the library do, which cells were open. */
    restart: async (): Promise<void> => { await redis.call("FUNCTION", "FLUSH") },

    /** Lend a cell something of a quota, as the lease keeper does. */
    lend: async (name: string, cell: number, want: number): Promise<void> => {
      const lent = await borrow(quotaParts(), name, { cell, want, least: want, is_early: 0 }, now_ms)
      if (lent.outcome !== "granted") throw new Error(`nothing is lent: ${lent.outcome}`)
    },

    // --- the shop
    fund: (budget = 1, amount_minor = 1_000_000, addition_id = "first") => {
      const cell = homeOf(`b${budget}`, cells), addition = idHash(`${budget}\0${addition_id}`), fingerprint = fingerprintOf({ amount_minor })
      return run(redis, fund, {
        keys: { quota: quotaKey(cell), journal: journalKey(cell) },
        args: {
          now_ms, budget, addition, fingerprint, amount_minor: Math.abs(amount_minor), is_cut: amount_minor < 0 ? 1 : 0, opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, is_alone: cells === 1 ? 1 : 0,
          payload: JSON.stringify({ budget_id: "retail", addition_id, addition, fingerprint, amount_minor }),
        },
      })
    },
    publish: async (campaign = 1, version = 1, state: CampaignState = "live") => {
      if (version > 1) {
        await sql`insert into campaign_versions (campaign_no, version, state, body, starts_ms, ends_ms, per_user, stock, at_ms)
          values (${campaign}, ${version}, ${state}, '{}', ${MONTH_STARTS}, ${MONTH_ENDS}, 100, 100000, ${now_ms}) on conflict do nothing`
      }
      for (let cell = 0; cell < cells; cell += 1) {
        await run(redis, publish, {
          keys: { quota: quotaKey(cell), journal: journalKey(cell) },
          args: {
            now_ms, campaign, version, state: CAMPAIGN_STATES.indexOf(state) + 1, starts_ms: MONTH_STARTS, ends_ms: MONTH_ENDS, per_user: 100, stock: 100_000,
            is_home: homeOf(`k${campaign}`, cells) === cell ? 1 : 0, is_alone: cells === 1 ? 1 : 0, payload: JSON.stringify({ campaign_id: `campaign ${campaign}`, campaign_no: campaign, version, state }),
          },
        })
      }
    },
    issue: async (user_id: string, { campaign = AT_RESERVE, request_id = "first", note }: { campaign?: number; request_id?: string; note?: string } = {}) => {
      const { user, keys } = keysOf(user_id), field = couponField(campaign, request_id)
      const reply = await run(redis, issue, {
        keys,
        args: {
          now_ms, user, field, campaign, version: 1, fingerprint: fingerprintOf({ request_id }), valid_ms: 5 * DAY_MS, holds: campaign === AT_ISSUE ? [[2, 500]] : [],
          is_unfunded: 0, held_out: 0, is_new: 0, age_ms: AGE_MS, claim: "",
          payload: JSON.stringify({ coupon_id: user + field, campaign_id: `campaign ${campaign}`, campaign_no: campaign, version: 1, user_id, request_id, channel: "app", device: "d", line: "retail", ...(note === undefined ? {} : { note }) }),
        },
      })
      return { ...reply, field, coupon_id: user + field }
    },
    revoke: (user_id: string, request_id = "first", campaign = AT_RESERVE) => {
      const { user, keys } = keysOf(user_id)
      return run(redis, revoke, { keys, args: { now_ms, user, field: couponField(campaign, request_id), campaign, payload: JSON.stringify({ reason: "asked" }) } })
    },
    reserve: async (user_id: string, order_id: string, { campaign = AT_RESERVE, request_id = "first", ask_id = order_id }: { campaign?: number; request_id?: string; ask_id?: string } = {}) => {
      const { user, keys } = keysOf(user_id), field = couponField(campaign, request_id), redemption = redemptionHash(user, order_id, ask_id)
      const at_issue = campaign === AT_ISSUE ? 1 : 0
      const reply = await run(redis, reserve, {
        keys,
        args: {
          now_ms, user, order: orderHash(order_id), redemption, fingerprint: fingerprintOf({ order_id }), hold_ms: HOLD_MS, remember_ms: REMEMBER_MS, hour: hour(), is_new: 0, signed_ms: 0,
          coupons: [[field, campaign, 1, 300, at_issue, [[at_issue ? 2 : 1, 300]]]], body: JSON.stringify({ order_id, allocation: [300] }),
          payload: JSON.stringify({
            redemption_id: user + redemption, order_id, user_id, request_id: ask_id, order: { currency: "CNY", lines: [{ line_id: "1", sku: "\"user_id\":\"x\"", unit_price_minor: 9900, quantity: 1 }] },
            discount_minor: 300, total_minor: 9600, applied: [{ coupon_id: user + field, discount_minor: 300 }],
          }),
        },
      })
      return { ...reply, redemption, redemption_id: user + redemption }
    },
    confirm: (user_id: string, order_id: string, ask_id = order_id) => {
      const { user, keys } = keysOf(user_id)
      return run(redis, confirm, { keys, args: { now_ms, user, redemption: redemptionHash(user, order_id, ask_id), late: 0, hour: hour() } })
    },
    cancel: (user_id: string, order_id: string) => {
      const { user, keys } = keysOf(user_id)
      return run(redis, cancel, { keys, args: { now_ms, user, redemption: redemptionHash(user, order_id, order_id), hour: hour() } })
    },
    refund: (user_id: string, order_id: string, refund_id = "refund 1") => {
      const { user, keys } = keysOf(user_id)
      return run(redis, refund, {
        keys: { ...keys, from: keys.settled },
        args: {
          now_ms, user, redemption: redemptionHash(user, order_id, order_id), hour: hour(), revision: 1, refund_id: idHash(refund_id), fingerprint: "f", full: 1, backs: [[1, [300], 0]], aged: [],
          body: JSON.stringify({ order_id, back: [300] }), answer: "{}", payload: JSON.stringify({ refund_id, lines: [], discount_minor: 300, applied: [] }),
        },
      })
    },
    /** A shop that has seen everything: open, confirmed, cancelled, refunded, revoked, and money held at issue. */
    shop: async (): Promise<void> => {
      for (let cell = 0; cell < cells; cell += 1) await world.gate(cell)
      await world.fund(1)
      await world.fund(2)
      await world.fund(1, 500, "more")
      await world.publish(1)
      await world.publish(2)
    },
    trade: async (): Promise<void> => {
      for (const user of ["ann", "bob", "cyd", "dan", "eve", "fay"]) await world.issue(user)
      for (const user of ["ann", "bob", "gus"]) await world.issue(user, { campaign: AT_ISSUE, request_id: "gift" })
      await world.reserve("ann", "order 1")
      await world.reserve("bob", "order 1", { campaign: AT_ISSUE, request_id: "gift" })
      await world.reserve("cyd", "order 1")
      await world.confirm("cyd", "order 1")
      await world.reserve("dan", "order 1")
      await world.cancel("dan", "order 1")
      await world.reserve("dan", "order 1", { ask_id: "again" })
      await world.reserve("eve", "order 1")
      await world.confirm("eve", "order 1")
      await world.refund("eve", "order 1")
      await world.revoke("fay")
    },
  }
  return world
}

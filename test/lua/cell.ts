/**
 * A cell of a test's own, and every act with what a test does not speak of filled in, so that a test reads as sentences.
 *
 * What must stay true: no two tests share a cell, so their order means nothing; a test says names ("ann", "order 1") and here
 * they become hashes and keys; and when a test ends, its cell still agrees with its own journal, field by field (`agrees`).
 */
import { expect, test } from "bun:test"
import { randomInt } from "node:crypto"
import { decode } from "@msgpack/msgpack"
import type { Redis } from "ioredis"
import { connectRedis, redisReady, run } from "../../engine/store/redis.ts"
import { begin_rebuild } from "../../lua/begin_rebuild.ts"
import { cancel } from "../../lua/cancel.ts"
import { close_budget } from "../../lua/close_budget.ts"
import { confirm } from "../../lua/confirm.ts"
import { confirm_late } from "../../lua/confirm_late.ts"
import type { ArgsOf } from "../../lua/declare.ts"
import { end_coupons } from "../../lua/end_coupons.ts"
import { evict } from "../../lua/evict.ts"
import { evict_settled } from "../../lua/evict_settled.ts"
import { expire } from "../../lua/expire.ts"
import { extend } from "../../lua/extend.ts"
import { find } from "../../lua/find.ts"
import { fund } from "../../lua/fund.ts"
import { gate_state } from "../../lua/gate_state.ts"
import { give_back } from "../../lua/give_back.ts"
import { grant } from "../../lua/grant.ts"
import { hear } from "../../lua/hear.ts"
import { issue } from "../../lua/issue.ts"
import {
  couponField, dueKey, hourOf, idHash, journalKey, MARK_CHARS, openKey, orderHash, quotaKey, redemptionHash, settledKey, userHash, walletKey,
} from "../../lua/keys.ts"
import { load } from "../../lua/load.ts"
import { mark_full } from "../../lua/mark_full.ts"
import { meet } from "../../lua/meet.ts"
import { open_gate } from "../../lua/open_gate.ts"
import { peek } from "../../lua/peek.ts"
import { publish } from "../../lua/publish.ts"
import {
  CAMPAIGN_STATES, COUPON_STATES, ENTRY_FACTS, type EntryRecord, FORMAT, fromValues, pack, REDEMPTION_STATES, unpack, unpackKept, valuesOf, type CampaignState, type CellRecord,
  type CouponRecord, type RedemptionRecord, type Values,
} from "../../lua/records.ts"
import { put_back } from "../../lua/put_back.ts"
import { refund } from "../../lua/refund.ts"
import { reserve } from "../../lua/reserve.ts"
import { revoke } from "../../lua/revoke.ts"
import { set_aside } from "../../lua/set_aside.ts"
import { shut_budget } from "../../lua/shut_budget.ts"
import { take_back } from "../../lua/take_back.ts"
import { take_grant } from "../../lua/take_grant.ts"
import { take_leases } from "../../lua/take_leases.ts"
import { tick } from "../../lua/tick.ts"
import { weigh } from "../../lua/weigh.ts"
import { ANSWER_MS_MAX, stack } from "../support/stack.ts"

export const SECOND_MS = 1_000
export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS
/** It is noon when a test begins. */
export const NOON = Date.UTC(2026, 0, 15, 12)
/** The month of every budget, and the window of every campaign, unless a test says otherwise. */
export const MONTH_STARTS = Date.UTC(2026, 0, 1)
export const MONTH_ENDS = Date.UTC(2026, 1, 1)
/** How long a hold lasts, a record stays and an id is known, unless a test says otherwise. */
export const HOLD_MS = 900 * SECOND_MS
export const AGE_MS = 48 * HOUR_MS
export const REMEMBER_MS = 90 * DAY_MS
/** The budget and the campaign that tests speak of, and another of each. */
export const MONEY = 7
export const OTHER_MONEY = 8
export const SPRING = 12
export const SUMMER = 13
/** The shop of `inShop`. */
export const LIMIT_MINOR = 1_000
export const STOCK = 5
export const PER_USER = 3

/** Cells of tests are far from those that an engine opens. */
const CELL_MIN = 1_000
const CELL_MAX = 2 ** 40
const READY_MS_MAX = 10_000

/** A wallet's coupon, by the names a test uses. */
export interface Named { user?: string; request?: string; campaign?: number }
/** A redemption, by the names a test uses; `request` is the order's unless it is said. */
export interface Ordered { user?: string; order?: string; request?: string }
/** A coupon that a reserve asks for: its discount is paid by MONEY unless `shares` says by which budgets. */
export interface Use { request?: string; campaign?: number; version?: number; discount_minor?: number; at_issue?: number; shares?: [number, number][] }

const fieldOf = ({ request = "first", campaign = SPRING }: Named): string => couponField(campaign, request)
/** The hash of a redemption. */
export const redemptionOf = ({ user = "ann", order = "order 1", request = order }: Ordered = {}): string => redemptionHash(userHash(user), order, request)

/** A coupon as `reserve` takes it. */
export const use = ({ request, campaign = SPRING, version = 1, discount_minor = 100, at_issue = 0, shares }: Use = {}): unknown[] =>
  [fieldOf({ ...(request === undefined ? {} : { request }), campaign }), campaign, version, discount_minor, at_issue, shares ?? [[MONEY, discount_minor]]]

/** An argument that is not of its declared type, as a broken caller would send it. */
export const hostile = (text: string): number => text as unknown as number

/** A journal's entry and its id; its moves are sorted. */
export interface Entry extends EntryRecord { readonly id: string; readonly payload: string }

const readEntry = ([id, fields]: [Buffer, Buffer[]]): Entry => {
  const [, packed, , payload] = fields
  expect(fields.flatMap((field, i) => i % 2 === 0 ? [field.toString()] : [])).toEqual(payload ? [String(FORMAT), ENTRY_FACTS] : [String(FORMAT)])
  const entry = fromValues("entry", decode(packed!))
  // In which order an act moves its quotas means nothing, and a move of nothing is none.
  const moves = entry.moves.filter(([quota, ...deltas]) => deltas.slice(quota.startsWith("i") ? 1 : 0).some((delta) => delta !== 0)).toSorted()
  return { id: id.toString(), payload: String(payload ?? ""), ...entry, moves }
}

let client: Promise<Redis> | undefined
/** The tests' connection to the shared Redis. */
export const redis = (): Promise<Redis> => (client ??= (async () => {
  const made = connectRedis((await stack()).redisUrl, () => {}, ANSWER_MS_MAX) // at the end of the run the server leaves first
  await redisReady(made, READY_MS_MAX)
  return made
})())

export type Cell = Awaited<ReturnType<typeof makeCell>>

const makeCell = async (on: Redis, no: number) => {
  let now_ms = NOON
  const fixed = { quota: quotaKey(no), journal: journalKey(no), open: openKey(no), due: dueKey(no) }
  const keysFor = (user: string) => ({ ...fixed, wallet: walletKey(no, userHash(user)), settled: settledKey(no, hourOf(now_ms)) })
  const hour = () => String(hourOf(now_ms))

  const wallet = (user = "ann"): Promise<Record<string, Buffer>> => on.hgetallBuffer(walletKey(no, userHash(user)))
  const mark = async (of: Ordered = {}): Promise<string | undefined> => (await wallet(of.user))[`r${redemptionOf(of)}`]?.toString()
  /** The hash of the hour in which a redemption was settled, by its mark; this hour's where there is none. */
  const settledIn = async (of: Ordered): Promise<string> => {
    const place = await mark(of)
    return settledKey(no, place && place !== "o" ? Number(place.slice(1)) : hourOf(now_ms))
  }
  const due = async (): Promise<Record<string, number>> => {
    const pairs = (await on.zrange(fixed.due, "0", "-1", "WITHSCORES") as unknown[]).flat() as string[]
    return Object.fromEntries(pairs.flatMap((member, i) => i % 2 === 0 ? [[member, Number(pairs[i + 1])] as const] : []))
  }
  const record = async <N extends "budget" | "campaign" | "bank" | "cell">(name: N, field: string) => {
    const raw = await on.hgetBuffer(fixed.quota, field)
    return raw ? unpack(name, raw) : undefined
  }

  return {
    no,
    redis: on,
    keys: fixed,
    keysFor,

    // --- time
    now: () => now_ms,
    /** Move the clock on, or back. */
    later: (by_ms: number) => { now_ms += by_ms },

    // --- the gate
    open: (args: Partial<ArgsOf<typeof open_gate>> = {}) =>
      run(on, open_gate, { keys: fixed, args: { now_ms, epoch: 1, tail: "0-0", is_joining: 0, ...args } }),
    gateState: () => run(on, gate_state, { keys: fixed, args: {} }),
    beginRebuild: () => run(on, begin_rebuild, { keys: fixed, args: {} }),
    tick: () => run(on, tick, { keys: fixed, args: { now_ms } }),
    markFull: (full = 1) => run(on, mark_full, { keys: fixed, args: { now_ms, full } }),

    // --- operators' acts
    publish: ({ state = "live", ...args }: Partial<Omit<ArgsOf<typeof publish>, "state">> & { state?: CampaignState } = {}) =>
      run(on, publish, {
        keys: fixed,
        args: {
          now_ms, campaign: SPRING, version: 1, state: CAMPAIGN_STATES.indexOf(state) + 1, starts_ms: MONTH_STARTS, ends_ms: MONTH_ENDS,
          per_user: PER_USER, stock: STOCK, is_home: 1, is_alone: 1, payload: "{}", ...args,
        },
      }),
    fund: ({ addition = "limit", ...args }: Partial<ArgsOf<typeof fund>> = {}) =>
      run(on, fund, {
        keys: fixed,
        args: {
          now_ms, budget: MONEY, addition: idHash(addition), fingerprint: "as-sent", amount_minor: LIMIT_MINOR, is_cut: 0,
          opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, is_alone: 1, payload: "{}", ...args,
        },
      }),
    setAside: ({ addition = "cut", ...args }: Partial<ArgsOf<typeof set_aside>> = {}) =>
      run(on, set_aside, { keys: fixed, args: { now_ms, budget: MONEY, addition: idHash(addition), fingerprint: "as-sent", amount_minor: 1, cells: 2, payload: "{}", ...args } }),
    putBack: (addition = "cut") => run(on, put_back, { keys: fixed, args: { now_ms, budget: MONEY, addition: idHash(addition) } }),
    closeBudget: (args: Partial<ArgsOf<typeof close_budget>> = {}) =>
      run(on, close_budget, { keys: fixed, args: { now_ms, budget: MONEY, cells: 1, is_again: 0, payload: "{}", ...args } }),
    shutBudget: (args: Partial<ArgsOf<typeof shut_budget>> = {}) =>
      run(on, shut_budget, { keys: fixed, args: { now_ms, budget: MONEY, opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, payload: "{}", ...args } }),

    // --- leases
    meet: (...cells: [cell: number, epoch: number][]) => run(on, meet, { keys: fixed, args: { now_ms, cells } }),
    hear: (args: Partial<ArgsOf<typeof hear>> = {}) => run(on, hear, { keys: fixed, args: { now_ms, epoch: 1, cell: no, cell_epoch: 1, leases: [], is_all: 1, ...args } }),
    /** Every one of so many cells tells this one's banks that it has nothing. */
    hearAll: async (cells: number, epoch = 1) => {
      for (let cell = 0; cell < cells; cell++) await run(on, hear, { keys: fixed, args: { now_ms, epoch, cell, cell_epoch: 1, leases: [], is_all: 1 } })
    },
    grant: ({ want = 1, ...args }: Partial<ArgsOf<typeof grant>> = {}) =>
      run(on, grant, { keys: fixed, args: { now_ms, name: `b${MONEY}`, cell: 1, cells: 2, want, least: want, is_early: 0, ...args } }),
    takeGrant: (args: Partial<ArgsOf<typeof take_grant>> = {}) =>
      run(on, take_grant, { keys: fixed, args: { now_ms, name: `b${MONEY}`, home: 0, epoch: 1, granted_total: 0, opens_ms: MONTH_STARTS, closes_ms: MONTH_ENDS, ...args } }),
    giveBack: (args: Partial<ArgsOf<typeof give_back>> = {}) =>
      run(on, give_back, { keys: fixed, args: { now_ms, name: `b${MONEY}`, home: 0, keep: 0, ...args } }),
    takeBack: (args: Partial<ArgsOf<typeof take_back>> = {}) =>
      run(on, take_back, { keys: fixed, args: { now_ms, name: `b${MONEY}`, cell: 1, epoch: 1, cell_epoch: 1, returned_total: 0, ...args } }),
    weigh: (args: Partial<ArgsOf<typeof weigh>> = {}) => run(on, weigh, { keys: fixed, args: { now_ms, name: `b${MONEY}`, ...args } }),
    takeLeases: (args: Partial<ArgsOf<typeof take_leases>> = {}) => run(on, take_leases, { keys: fixed, args: { leases: [], homes: [], ...args } }),

    // --- coupons
    issue: ({ user = "ann", request = "first", ...args }: Partial<ArgsOf<typeof issue>> & Named = {}) => {
      const campaign = args.campaign ?? SPRING
      return run(on, issue, {
        keys: keysFor(user),
        args: {
          now_ms, user: userHash(user), field: couponField(campaign, request), campaign, version: 1, fingerprint: "as-sent", valid_ms: 0,
          holds: [], is_unfunded: 0, held_out: 0, is_new: 0, age_ms: AGE_MS, claim: "", payload: "{}", ...args,
        },
      })
    },
    revoke: ({ user = "ann", ...named }: Named = {}) =>
      run(on, revoke, { keys: keysFor(user), args: { now_ms, user: userHash(user), field: fieldOf(named), campaign: named.campaign ?? SPRING, payload: "{}" } }),
    endCoupons: (coupons: Named[] = [{}], user = "ann") =>
      run(on, end_coupons, {
        keys: keysFor(user),
        args: { now_ms, user: userHash(user), fields: coupons.map((named) => [fieldOf(named), named.campaign ?? SPRING]) },
      }),
    peek: ({ user = "ann", order = "order 1", request = order, fields = [] }: Ordered & { fields?: readonly string[] } = {}) =>
      run(on, peek, { keys: keysFor(user), args: { now_ms, redemption: redemptionOf({ user, order, request }), order: orderHash(order), fields } }),

    // --- checkout
    reserve: ({ user = "ann", order = "order 1", request = order, ...args }: Partial<ArgsOf<typeof reserve>> & Ordered = {}) =>
      run(on, reserve, {
        keys: keysFor(user),
        args: {
          now_ms, order: orderHash(order), redemption: redemptionOf({ user, order, request }), fingerprint: "as-sent", hold_ms: HOLD_MS,
          remember_ms: REMEMBER_MS, hour: hour(), coupons: [use()], is_new: 0, signed_ms: 0, body: `allocation of ${order}`, payload: "{}", ...args, user: userHash(user),
        },
      }),
    find: async ({ user = "ann", ...of }: Ordered & { hour?: string } = {}) => {
      const then = of.hour ?? (await mark({ user, ...of }))?.slice(1) ?? ""
      return run(on, find, { keys: { ...keysFor(user), settled: settledKey(no, Number(then)) }, args: { now_ms, redemption: redemptionOf({ user, ...of }), hour: then } })
    },
    extend: ({ user = "ann", expires_ms = NOON + 2 * HOLD_MS, longest_ms = 7 * DAY_MS, ...of }: Ordered & { expires_ms?: number; longest_ms?: number } = {}) =>
      run(on, extend, { keys: keysFor(user), args: { now_ms, user: userHash(user), redemption: redemptionOf({ user, ...of }), expires_ms, longest_ms } }),
    confirm: ({ user = "ann", late = 0, ...of }: Ordered & { late?: number } = {}) =>
      run(on, confirm, { keys: keysFor(user), args: { now_ms, user: userHash(user), redemption: redemptionOf({ user, ...of }), late, hour: hour() } }),
    confirmLate: async ({ user = "ann", aged = [], ...of }: Ordered & { from?: string; aged?: ArgsOf<typeof confirm_late>["aged"] } = {}) =>
      run(on, confirm_late, {
        keys: { ...keysFor(user), from: of.from ?? await settledIn({ user, ...of }) },
        args: { now_ms, user: userHash(user), redemption: redemptionOf({ user, ...of }), hour: hour(), aged },
      }),
    cancel: ({ user = "ann", ...of }: Ordered = {}) =>
      run(on, cancel, { keys: keysFor(user), args: { now_ms, user: userHash(user), redemption: redemptionOf({ user, ...of }), hour: hour() } }),
    expire: ({ user = "ann", ...of }: Ordered = {}) =>
      run(on, expire, { keys: keysFor(user), args: { now_ms, user: userHash(user), redemption: redemptionOf({ user, ...of }), hour: hour() } }),
    refund: async ({ user = "ann", order = "order 1", request = order, from, ...args }: Partial<ArgsOf<typeof refund>> & Ordered & { from?: string } = {}) =>
      run(on, refund, {
        keys: { ...keysFor(user), from: from ?? await settledIn({ user, order, request }) },
        args: {
          now_ms, redemption: redemptionOf({ user, order, request }), hour: hour(), revision: 1, fingerprint: "as-sent", full: 1,
          backs: [[1, [100], 0]], aged: [], body: `refunded ${order}`, answer: "the answer", payload: "{}", ...args,
          refund_id: idHash(args.refund_id ?? "refund 1"), user: userHash(user),
        },
      }),

    // --- leaving and coming back
    evict: async ({ user = "ann", coupons = [{}], ...args }: Partial<Omit<ArgsOf<typeof evict>, "coupons">> & { user?: string; coupons?: Named[] } = {}) =>
      run(on, evict, {
        keys: keysFor(user),
        args: {
          now_ms, marks: [], flushed_ms: now_ms, age_ms: AGE_MS, remember_ms: REMEMBER_MS, next_ms: 0, fields_then: Object.keys(await wallet(user)).length, ...args,
          coupons: coupons.map((named) => [fieldOf(named), named.campaign ?? SPRING]), user: userHash(user),
        },
      }),
    evictSettled: (args: Partial<ArgsOf<typeof evict_settled>> & { hour: number }) =>
      run(on, evict_settled, { keys: { ...fixed, settled: settledKey(no, args.hour) }, args: { now_ms, flushed_ms: now_ms, age_ms: AGE_MS, ...args } }),
    load: ({ user = "ann", head, coupons = {}, ...args }:
      Partial<Omit<ArgsOf<typeof load>, "head" | "coupons">> & Ordered & { head: RedemptionRecord; coupons?: Record<string, CouponRecord> }) =>
      run(on, load, {
        keys: keysFor(user),
        args: {
          now_ms, hour: hour(), mark_then: "", cursor_epoch: 2 ** 40, cursor_n: 0, body: "from the ledger", age_ms: AGE_MS, ...args,
          user: userHash(user), redemption: redemptionOf({ user, ...args }), head: valuesOf("redemption", head),
          coupons: Object.entries(coupons).map(([field, coupon]) => [field, valuesOf("coupon", coupon)]),
        },
      }),

    // --- what is there now
    cell: () => record("cell", "cell"),
    budget: async (budget = MONEY) => {
      const { granted, returned, held, spent } = (await record("budget", `b${budget}`))!
      return { granted, returned, held, spent }
    },
    budgetRecord: (budget = MONEY) => record("budget", `b${budget}`),
    /** Held, spent and what is still available of a budget. */
    money: async (budget = MONEY) => {
      const { granted, returned, held, spent } = (await record("budget", `b${budget}`))!
      return { held, spent, available: granted - returned - held - spent }
    },
    campaignRecord: (campaign = SPRING) => record("campaign", `k${campaign}`),
    counts: async (campaign = SPRING) => {
      const { issued, revoked, reserved, redeemed } = (await record("campaign", `k${campaign}`))!
      return { issued, revoked, reserved, redeemed }
    },
    idle: async (campaign = SPRING) => (await record("campaign", `k${campaign}`))!.idle.filter(([, held]) => held !== 0),
    bank: (name = `b${MONEY}`) => record("bank", `v${name}`),
    wallet,
    mark,
    coupon: async (named: Named = {}) => {
      const raw = (await wallet(named.user))[fieldOf(named)]
      if (!raw) return undefined
      const { state, ...rest } = unpack("coupon", raw)
      return { state: COUPON_STATES[state - 1]!, ...rest }
    },
    count: async ({ user, campaign = SPRING }: Named = {}) => (await wallet(user))[`n${campaign}`]?.toString(),
    redemption: async (of: Ordered = {}) => {
      const place = await mark(of)
      if (place === undefined) return undefined
      const raw = await on.hgetBuffer(place === "o" ? fixed.open : await settledIn(of), redemptionOf(of))
      if (!raw) return undefined
      const { head: { state, ...rest }, body } = unpackKept(raw)
      return { state: REDEMPTION_STATES[state - 1]!, ...rest, body }
    },
    due,
    entries: async (): Promise<Entry[]> => ((await on.xrangeBuffer(fixed.journal, "-", "+")) as [Buffer, Buffer[]][]).map(readEntry),
    lastEntry: async (): Promise<Entry> => ((await on.xrevrangeBuffer(fixed.journal, "+", "-", "COUNT", 1)) as [Buffer, Buffer[]][]).map(readEntry)[0]!,
    /** Everything in every key of the cell; fields sorted, because a large hash is not kept in an order. */
    dump: async (): Promise<Record<string, string[]>> => {
      const text = (bytes: Buffer) => bytes.toString("latin1")
      const contents = async (key: string): Promise<string[]> => {
        if (key === fixed.due) return Object.entries(await due()).map((pair) => pair.join(" "))
        if (key === fixed.journal) return (await on.xrangeBuffer(key, "-", "+") as [Buffer, Buffer[]][]).map(([id, fields]) => [id, ...fields].map(text).join(" "))
        return Object.entries(await on.hgetallBuffer(key)).map(([field, value]) => `${field} ${text(value)}`).sort()
      }
      const keys = (await on.keys(`{c${no}}*`)).sort()
      return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await contents(key)] as const)))
    },

    // --- by hand, where no act would make it so
    putCell: async (changes: Partial<CellRecord>) => { await on.hset(fixed.quota, "cell", pack("cell", { ...(await record("cell", "cell"))!, ...changes })) },
    putCoupon: (coupon: CouponRecord, named: Named = {}) => on.hset(walletKey(no, userHash(named.user ?? "ann")), fieldOf(named), pack("coupon", coupon)),
  }
}

/** A cell that no engine has opened yet. */
export const shutCell = async (): Promise<Cell> => makeCell(await redis(), randomInt(CELL_MIN, CELL_MAX))

/** A fresh cell, open in epoch 1. */
export const openCell = async (on?: Redis): Promise<Cell> => {
  const cell = await makeCell(on ?? await redis(), randomInt(CELL_MIN, CELL_MAX))
  expect(await cell.open()).toEqual({ outcome: "opened" })
  return cell
}

/** A fresh cell with a budget of LIMIT_MINOR and a live campaign of STOCK coupons. */
export const openShop = async (): Promise<Cell> => {
  const cell = await openCell()
  await cell.fund()
  await cell.publish()
  return cell
}

/** Test in an open cell that has nothing in it. */
export const inEmptyCell = (name: string, body: (cell: Cell) => Promise<void>): void =>
  test(name, async () => {
    const cell = await openCell()
    await body(cell)
    await agrees(cell)
  })

/** Test in a cell with a budget (MONEY, LIMIT_MINOR) and a live campaign (SPRING, STOCK coupons, PER_USER each). */
export const inShop = (name: string, body: (cell: Cell) => Promise<void>): void =>
  test(name, async () => {
    const cell = await openShop()
    await body(cell)
    await agrees(cell)
  })

/** Run an act that must leave no trace, and give back what it said. */
export const refused = async <R>(cell: Cell, act: () => Promise<R>): Promise<R> => {
  const before = await cell.dump()
  const reply = await act()
  expect(await cell.dump()).toEqual(before)
  return reply
}

/** Run an act that must break before it writes anything, and give back the words of the error. */
export const broken = async (cell: Cell, act: () => Promise<unknown>): Promise<string> => {
  const before = await cell.dump()
  const said = await act().then((reply) => `no error: ${JSON.stringify(reply)}`, (error: Error) => error.message)
  expect(await cell.dump()).toEqual(before)
  return said
}

type Sums = Record<string, number[]>
const addTo = (sums: Sums, name: string, deltas: readonly number[]): void => {
  sums[name] = deltas.map((delta, i) => delta + (sums[name]?.[i] ?? 0))
}

/** What the journal alone says the cell must look like. */
const foldOf = (entries: readonly Entry[]) => {
  const quotas: Sums = {}, idle: Sums = {}
  const coupons: Record<string, Values> = {}, redemptions: Record<string, { head: Values; body: string }> = {}, counts: Record<string, string> = {}
  for (const { user, moves, ...changed } of entries) {
    for (const [quota, ...deltas] of moves) {
      if (quota.startsWith("i")) addTo(idle, `k${quota.slice(1)}/b${deltas[0]}`, deltas.slice(1))
      else addTo(quotas, quota, deltas)
    }
    for (const [field, values] of changed.coupons) coupons[`${user} ${field}`] = values
    for (const [redemption, head, body] of changed.redemptions) {
      redemptions[`${user} ${redemption}`] = { head, body: body || redemptions[`${user} ${redemption}`]!.body }
    }
    for (const [campaign, count] of changed.counts) counts[`${user} n${campaign}`] = count
  }
  return { quotas, idle, coupons, redemptions, counts }
}

/**
 * The cell and its journal say the same, and no money was made or lost: entries are contiguous and never go back in time; every
 * quota, coupon, count and redemption is what the entries sum up to; what each budget holds is what open redemptions and
 * idle coupons hold, what it has spent is what confirmed ones spent and have not given back; every open hold has its deadline.
 */
export const agrees = async (cell: Cell): Promise<void> => {
  const { no, redis: on, keys } = cell
  const entries = await cell.entries()
  const fold = foldOf(entries)
  const hasEvicted = (await cell.cell())!.evicted !== "0-0"

  let [epoch, n, at_ms] = [0, 0, 0]
  for (const entry of entries) {
    const [its_epoch, its_n] = entry.id.split("-").map(Number) as [number, number]
    expect([its_epoch, its_n]).toEqual(entry.act === "opened" ? [Math.max(its_epoch, epoch + 1), 0] : [epoch, n + 1])
    expect(entry.at_ms).toBeGreaterThanOrEqual(at_ms)
    ;[epoch, n, at_ms] = [its_epoch, its_n, entry.at_ms]
  }

  // Redemptions and coupons, wherever they are.
  const names = await on.keys(`{c${no}}*`)
  const settled = names.filter((name) => new RegExp(`^\\{c${no}\\}h\\d+$`).test(name))
  const redemptions: Record<string, { head: Values; body: string }> = {}
  const ofUser = new Map(Object.keys(fold.redemptions).map((key) => key.split(" ") as [string, string]).map(([user, redemption]) => [redemption, user]))
  const heads: RedemptionRecord[] = []
  for (const name of [keys.open, ...settled]) {
    const fields = await on.hgetallBuffer(name)
    for (const [field, raw] of Object.entries(fields)) {
      const { head, body } = unpackKept(raw)
      redemptions[`${ofUser.get(field)} ${field}`] = { head: valuesOf("redemption", head), body }
      heads.push(head)
    }
  }
  const coupons: Record<string, Values> = {}, counts: Record<string, string> = {}
  for (const name of names.filter((each) => each.startsWith(`{c${no}}w`))) {
    const user = name.slice(`{c${no}}w`.length)
    for (const [field, raw] of Object.entries(await on.hgetallBuffer(name))) {
      if (field.length > 14) coupons[`${user} ${field}`] = valuesOf("coupon", unpack("coupon", raw))
      else if (/^n\d+$/.test(field)) counts[`${user} ${field}`] = raw.toString()
      else expect(field).toMatch(/^(r.{12}|o.{12}|m.{8}|c.{12})$/)
    }
  }
  if (hasEvicted) { // what has left is not there; what is there must still be as the journal says
    for (const [name, held] of Object.entries(coupons)) expect({ [name]: held }).toEqual({ [name]: fold.coupons[name]! })
  } else {
    expect(redemptions).toEqual(fold.redemptions)
    expect(coupons).toEqual(fold.coupons)
    expect(counts).toEqual(fold.counts)
  }

  // Quotas: what the journal sums up to, and what the records hold.
  const heldBy: Record<string, number> = {}, spentBy: Record<string, number> = {}, idle: Record<string, number> = {}
  const at = (sums: Record<string, number>, name: string, by: number) => { sums[name] = (sums[name] ?? 0) + by }
  for (const head of heads) {
    const isReserved = REDEMPTION_STATES[head.state - 1] === "reserved"
    const isOver = ["cancelled", "expired"].includes(REDEMPTION_STATES[head.state - 1]!)
    for (const [, , , , shares] of head.coupons) {
      for (const [budget, held, spent, back] of shares) {
        expect(back).toBeLessThanOrEqual(spent)
        if (isReserved) at(heldBy, `b${budget}`, held)
        else if (!isOver) at(spentBy, `b${budget}`, spent - back)
      }
    }
  }
  const quotas = await on.hgetallBuffer(keys.quota)
  for (const [name, raw] of Object.entries(quotas)) {
    if (!/^k\d+$/.test(name)) continue
    const record = unpack("campaign", raw)
    for (const [budget, held] of record.idle) {
      expect(held).toBeGreaterThanOrEqual(0)
      at(idle, `${name}/b${budget}`, held)
      at(heldBy, `b${budget}`, held)
    }
    expect([name, record.issued, record.revoked, record.reserved, record.redeemed]).toEqual([name, ...(fold.quotas[name]?.slice(1) ?? [0, 0, 0, 0])])
    expect(Math.min(record.issued, record.revoked, record.reserved, record.redeemed)).toBeGreaterThanOrEqual(0)
    expect(record.granted - record.returned - record.issued + record.revoked).toBeGreaterThanOrEqual(0)
  }
  expect(idle).toEqual(Object.fromEntries(Object.entries(fold.idle).map(([name, [held]]) => [name, held!])))
  for (const [name, raw] of Object.entries(quotas)) {
    if (!/^b\d+$/.test(name)) continue
    const { granted, returned, held, spent } = unpack("budget", raw)
    expect([name, held, spent]).toEqual([name, ...(fold.quotas[name]?.slice(1) ?? [0, 0])])
    if (!hasEvicted) expect([name, held, spent]).toEqual([name, heldBy[name] ?? 0, spentBy[name] ?? 0])
    expect(Math.min(held, spent, granted - returned - held - spent)).toBeGreaterThanOrEqual(0)
  }
  for (const [name, raw] of Object.entries(quotas)) {
    if (!/^v[bk]\d+$/.test(name)) continue
    const { total, leases } = unpack("bank", raw)
    expect([name, total]).toEqual([name, fold.quotas[name.slice(1)]?.[0] ?? 0])
    expect(leases.reduce((free, [, granted, returned]) => free - granted + returned, total)).toBeGreaterThanOrEqual(0)
  }

  // Deadlines of holds: each open one has its own, and there is no other.
  const holds = Object.entries(redemptions).filter(([, { head }]) => fromValues("redemption", head).state === 1)
  const wanted = Object.fromEntries(holds.map(([name, { head }]) => [`r${name.replace(" ", "")}`, fromValues("redemption", head).expires_ms]))
  expect(Object.fromEntries(Object.entries(await cell.due()).filter(([member]) => member.startsWith("r")))).toEqual(wanted)
}

/** The wallet's field of the mark that outlives a coupon. */
export const markOf = (named: Named = {}): string => `m${fieldOf(named).slice(0, MARK_CHARS)}`
/** The wallet's fields that a test speaks of, by name. */
export const walletField = { coupon: (named: Named = {}) => fieldOf(named), redemption: (of: Ordered = {}) => `r${redemptionOf(of)}`, order: (order = "order 1") => `o${orderHash(order)}` }
/** The deadlines that a test speaks of, by name. */
export const deadline = { user: (user = "ann") => `u${userHash(user)}`, hold: (of: Ordered = {}) => `r${userHash(of.user ?? "ann")}${redemptionOf(of)}` }

/**
 * A run of entries folded into rows: what one transaction writes.
 *
 * Pure. What must stay true: a row of a projection appears once, as its last entry left it; deltas are summed per key;
 * every list is sorted by its key, so that two flushers never wait for each other in a circle.
 */
import { CAMPAIGN_STATES, fromValues, type Act, type Values } from "../../lua/records.ts"
import { campaignOfField } from "../../lua/keys.ts"
import { codesFold, type CodeRows } from "./fold_codes.ts"
import { BIRTH, textOf, type Entry, type EntryId, type Unreadable } from "./entry.ts"

export interface EventRow { cell: number; id: EntryId; act: Act; at_ms: number; user: string; moves: string | null; payload: string | null; ref: string | null }
export interface LedgerRow {
  budget_no: number; at_ms: number; cell: number; id: EntryId; act: Act; limit_minor: number; held_minor: number; spent_minor: number; ref: string | null
}
export interface CouponRow {
  coupon_id: string; user: string; campaign_no: number; cell: number; values: Values
  version: number | null; request_id: string | null; channel: string | null; device: string | null; issued_ms: number | null; id: EntryId
}
export interface RedemptionRow {
  redemption_id: string; user: string; cell: number; order_id: string | null; request_id: string | null; head: Values
  /** Null: as it was before. */
  body: string | null
  id: EntryId
}
export interface CountRow { user: string; campaign_no: number; cell: number; count: string }
export interface RefundRow { redemption_id: string; refund_id: string; at_ms: number; discount_minor: number; payload: string }
export interface CellBudgetRow { cell: number; budget_no: number; limit_minor: number; held_minor: number; spent_minor: number; closed_ms: number | null }
export interface CellCampaignRow {
  cell: number; campaign_no: number
  /** 0: no entry of the run published it. */
  version: number; state: number
  stock: number; issued: number; revoked: number; reserved: number; redeemed: number
}
export interface CellIdleRow { cell: number; campaign_no: number; budget_no: number; held_minor: number }
export interface QuarantineRow { cell: number; unreadable: Unreadable }
export interface CursorRow { cell: number; id: EntryId; at_ms: number }

/** All that one transaction writes. */
export interface Batch {
  readonly events: EventRow[]
  readonly ledger: LedgerRow[]
  readonly coupons: CouponRow[]
  readonly redemptions: RedemptionRow[]
  readonly counts: CountRow[]
  readonly refunds: RefundRow[]
  readonly codes: CodeRows
  readonly cellBudgets: CellBudgetRow[]
  readonly cellCampaigns: CellCampaignRow[]
  readonly cellIdle: CellIdleRow[]
  readonly quarantine: QuarantineRow[]
  readonly cursors: CursorRow[]
  /** Hash of each user that the rows name, with his id where an entry said it. */
  readonly users: ReadonlyMap<string, string | null>
}

export type Readable = { readonly entry: Entry } | { readonly unreadable: Unreadable }
/** A run of one cell's entries, in their order, after the cursor at `at_ms`. */
export interface Run { readonly cell: number; readonly at_ms: number; readonly entries: readonly Readable[] }

const idleKey = (campaign_no: number, budget_no: number): string => `${campaign_no}/${budget_no}`

const byText = <T>(key: (row: T) => string) => (a: T, b: T): number => { const [x, y] = [key(a), key(b)]; return x < y ? -1 : x > y ? 1 : 0 }

/** What an entry is about: the redemption, else the first coupon, else the addition or campaign. */
const refOf = ({ user, redemptions, coupons, facts }: Entry): string | null =>
  redemptions[0] ? user + redemptions[0][0]
  : coupons[0] ? user + coupons[0][0]
  : facts.addition_id ?? facts.campaign_id ?? null

const PUBLISHED: Partial<Record<Act, number>> = {
  published: CAMPAIGN_STATES.indexOf("live") + 1, paused: CAMPAIGN_STATES.indexOf("paused") + 1, stopped: CAMPAIGN_STATES.indexOf("stopped") + 1,
}

/** Fold the runs of some cells into the rows of one transaction. */
export const foldRuns = (runs: readonly Run[]): Batch => {
  const events: EventRow[] = [], ledger: LedgerRow[] = [], refunds = new Map<string, RefundRow>(), quarantine: QuarantineRow[] = [], cursors: CursorRow[] = []
  const coupons = new Map<string, CouponRow>(), redemptions = new Map<string, RedemptionRow>(), counts = new Map<string, CountRow>()
  const cellBudgets: CellBudgetRow[] = [], cellCampaigns: CellCampaignRow[] = [], cellIdle: CellIdleRow[] = []
  const users = new Map<string, string | null>()
  const codes = codesFold()

  for (const { cell, at_ms, entries } of runs) {
    const budgets = new Map<number, CellBudgetRow>(), campaigns = new Map<number, CellCampaignRow>(), idle = new Map<string, CellIdleRow>()
    const budgetOf = (budget_no: number): CellBudgetRow => {
      let row = budgets.get(budget_no)
      if (!row) budgets.set(budget_no, row = { cell, budget_no, limit_minor: 0, held_minor: 0, spent_minor: 0, closed_ms: null })
      return row
    }
    const campaignOf = (campaign_no: number): CellCampaignRow => {
      let row = campaigns.get(campaign_no)
      if (!row) campaigns.set(campaign_no, row = { cell, campaign_no, version: 0, state: 0, stock: 0, issued: 0, revoked: 0, reserved: 0, redeemed: 0 })
      return row
    }
    let last = BIRTH, last_ms = at_ms

    for (const read of entries) {
      if ("unreadable" in read) {
        quarantine.push({ cell, unreadable: read.unreadable })
        last = read.unreadable.id
        continue
      }
      const { entry } = read
      const { id, act, user, facts } = entry
      last = id
      last_ms = entry.at_ms
      const payload = act === "opened" ? JSON.stringify({ tail: entry.payload }) : entry.payload || null
      const ref = refOf(entry)
      events.push({ cell, id, act, at_ms: entry.at_ms, user, moves: entry.moves.length > 0 ? JSON.stringify(entry.moves) : null, payload, ref })
      if (user !== "") {
        if (facts.user_id !== undefined) users.set(user, facts.user_id)
        else if (!users.has(user)) users.set(user, null)
      }

      for (const [quota, ...deltas] of entry.moves) {
        const no = Number(quota.slice(1))
        if (quota[0] === "b") {
          const [limit_minor, held_minor, spent_minor] = deltas as [number, number, number]
          const row = budgetOf(no)
          row.limit_minor += limit_minor
          row.held_minor += held_minor
          row.spent_minor += spent_minor
          if (act === "closed") row.closed_ms ??= entry.at_ms
          ledger.push({ budget_no: no, at_ms: entry.at_ms, cell, id, act, limit_minor, held_minor, spent_minor, ref })
        } else if (quota[0] === "k") {
          const [stock, issued, revoked, reserved, redeemed] = deltas as [number, number, number, number, number]
          const row = campaignOf(no)
          row.stock += stock
          row.issued += issued
          row.revoked += revoked
          row.reserved += reserved
          row.redeemed += redeemed
        } else {
          const [budget_no, held_minor] = deltas as [number, number]
          const key = idleKey(no, budget_no)
          const row = idle.get(key)
          if (row) row.held_minor += held_minor
          else idle.set(key, { cell, campaign_no: no, budget_no, held_minor })
        }
      }

      const published = PUBLISHED[act]
      if (published !== undefined && facts.campaign_no !== undefined && facts.version !== undefined) {
        const row = campaignOf(facts.campaign_no)
        row.version = facts.version
        row.state = published
      }
      for (const [field, values] of entry.coupons) {
        const coupon_id = user + field
        const before = coupons.get(coupon_id)
        if (act === "issued") {
          coupons.set(coupon_id, {
            coupon_id, user, campaign_no: campaignOfField(field), cell, values, version: facts.version ?? null, request_id: facts.request_id ?? null,
            channel: facts.channel ?? null, device: facts.device ?? null, issued_ms: entry.at_ms, id,
          })
        } else if (before) {
          before.values = values
          before.id = id
        } else {
          coupons.set(coupon_id, {
            coupon_id, user, campaign_no: campaignOfField(field), cell, values, version: null, request_id: null, channel: null, device: null, issued_ms: null, id,
          })
        }
      }
      entry.redemptions.forEach(([redemption, head, body], place) => {
        const redemption_id = user + redemption
        const before = redemptions.get(redemption_id)
        // The first of a reserve is the one it made; a second is the older hold that gave way.
        const isNew = act === "reserved" && place === 0
        if (before && !isNew) {
          before.head = head
          before.body = body === "" ? before.body : body
          before.id = id
        } else {
          redemptions.set(redemption_id, {
            redemption_id, user, cell, head, body: body === "" ? null : body, id,
            order_id: isNew ? facts.order_id ?? null : null, request_id: isNew ? facts.request_id ?? null : null,
          })
        }
      })
      codes.take(entry)
      for (const [campaign_no, count] of entry.counts) counts.set(`${user}${campaign_no}`, { user, campaign_no, cell, count })
      if (act === "refunded" && facts.refund_id !== undefined && entry.redemptions[0]) {
        const redemption_id = user + entry.redemptions[0][0]
        refunds.set(`${redemption_id}${facts.refund_id}`, {
          redemption_id, refund_id: facts.refund_id, at_ms: entry.at_ms, discount_minor: facts.discount_minor ?? 0, payload: entry.payload,
        })
      }
    }
    cursors.push({ cell, id: last, at_ms: last_ms })
    cellBudgets.push(...[...budgets.values()].sort((a, b) => a.budget_no - b.budget_no))
    cellCampaigns.push(...[...campaigns.values()].sort((a, b) => a.campaign_no - b.campaign_no))
    cellIdle.push(...[...idle.values()].sort((a, b) => a.campaign_no - b.campaign_no || a.budget_no - b.budget_no))
  }
  return {
    events, ledger, quarantine, cursors, cellBudgets, cellCampaigns, cellIdle, users,
    coupons: [...coupons.values()].sort(byText((row) => row.coupon_id)),
    redemptions: [...redemptions.values()].sort(byText((row) => row.redemption_id)),
    counts: [...counts.values()].sort(byText((row) => row.user)),
    refunds: [...refunds.values()].sort(byText((row) => row.redemption_id)),
    codes: codes.rows(),
  }
}

/** What is wrong with the order of a cell's entries. */
export type Disorder =
  | { readonly fault: "hole"; readonly expected: string; readonly found: string }
  /** Written by a master that had been left behind: its epoch had already ended, before this entry. */
  | { readonly fault: "stale_epoch"; readonly expected: string; readonly found: string }
  /** An epoch's first entry names another tail than the one with which the epoch was allotted. */
  | { readonly fault: "wrong_tail"; readonly expected: string; readonly found: string }

/** An epoch as it was allotted. */
export interface Allotment { readonly epoch: number; readonly tail: EntryId }

export interface Order {
  /** How many entries follow the cursor without a fault. */
  readonly count: number
  readonly disorder?: Disorder
  /** Epochs that nobody allotted here: Postgres has lost its last commits and learns them again. */
  readonly relearned: readonly Allotment[]
}

/**
 * How far entries follow a cursor. The next is (e, n+1), or (e', 0) of an epoch that was allotted with the cursor as its
 * tail; and none lies beyond the end of its epoch, which is the tail that any later epoch was allotted with.
 */
export const orderOf = (cursor: EntryId, entries: readonly Readable[], allotments: readonly Allotment[]): Order => {
  const relearned: Allotment[] = []
  const allotted_max = allotments.reduce((max, { epoch }) => Math.max(max, epoch), cursor.epoch)
  let at = cursor
  let count = 0
  for (const read of entries) {
    const id = "entry" in read ? read.entry.id : read.unreadable.id
    const found = textOf(id)
    if (id.epoch === at.epoch) {
      const ended = allotments.find(({ epoch, tail }) => epoch > id.epoch && (tail.epoch < id.epoch || (tail.epoch === id.epoch && id.n > tail.n)))
      if (ended) return { count, relearned, disorder: { fault: "stale_epoch", expected: `${ended.epoch}-0`, found } }
      if (id.n !== at.n + 1) return { count, relearned, disorder: { fault: "hole", expected: textOf({ epoch: at.epoch, n: at.n + 1 }), found } }
    } else {
      const tail = "entry" in read && read.entry.act === "opened" ? read.entry.payload : undefined
      if (id.n !== 0 || tail === undefined) return { count, relearned, disorder: { fault: "hole", expected: textOf({ epoch: at.epoch, n: at.n + 1 }), found } }
      if (tail !== textOf(at)) return { count, relearned, disorder: { fault: "hole", expected: textOf({ epoch: at.epoch, n: at.n + 1 }), found: `${found} after ${tail}` } }
      const allotted = allotments.find(({ epoch }) => epoch === id.epoch)
      if (allotted && textOf(allotted.tail) !== tail) {
        return { count, relearned, disorder: { fault: "wrong_tail", expected: `${found} after ${textOf(allotted.tail)}`, found: `${found} after ${tail}` } }
      }
      if (!allotted && id.epoch < allotted_max) return { count, relearned, disorder: { fault: "stale_epoch", expected: `${allotted_max}-0`, found } }
      if (!allotted) relearned.push({ epoch: id.epoch, tail: at })
    }
    at = id
    count += 1
  }
  return { count, relearned }
}

/** The values of a coupon by name. */
export const couponOf = (values: Values) => fromValues("coupon", values)

/**
 * What comes after a month was closed: an adjustment in the next month that is open.
 *
 * A closed month is locked, so its books stay as they were published. Each later run of the first open month computes it again with what there is by
 * then, and what differs from what is booked already (in its own books, and in adjustments of closed months since) is adjusted: late rows of
 * the feed, refunds that came late, an order that turned up beyond the edge. Nothing is adjusted twice, because what was is booked.
 *
 * What must stay true: what is booked of a month and the adjustments of it sum to what its sources say. A month whose files are those that were
 * seen last is not computed again.
 */
import type { Sql } from "postgres"
import type { Duck } from "../duck.ts"
import type { Input, Output } from "../job.ts"
import { sha256Of } from "../lake.ts"
import { periodBefore } from "../periods.ts"

/** So many closed months in a row are looked back at. */
export const CLOSED_MONTHS_MAX = 24

export interface Control {
  readonly budget_id: string; readonly opening_minor: number; readonly added_minor: number; readonly transferred_minor: number
  readonly held_minor: number; readonly spent_minor: number; readonly released_minor: number; readonly closing_minor: number
}
type Mutable = { -readonly [name in keyof Control]: Control[name] }
const FLOWS = ["added_minor", "transferred_minor", "held_minor", "spent_minor", "released_minor"] as const

/** A month that a run adjusts, and the hash of the files that it was seen with. */
export interface Adjusted { readonly period: string; readonly seen: string }

/** A closed month's published run. */
export interface ClosedMonth {
  readonly period: string
  readonly outputs: readonly Output[]
  readonly controls: readonly Control[]
  /** The hash of the files of its own month, and of those of earlier months that it adjusted. */
  readonly seen: string
  readonly adjusted: readonly Adjusted[]
}

interface ClosedRow { inputs: Record<string, readonly { sha256: string }[]>; outputs: Output[]; answer: { controls: Control[] }; rules: { adjusted?: Adjusted[] } }

/** The hash of a month's own files, by what they are. */
export const seenOf = (inputs: Readonly<Record<string, readonly { readonly sha256: string }[]>>): string =>
  sha256Of(["orders", "events"].map((name) => [name, (inputs[name] ?? []).map(({ sha256 }) => sha256)]))

/** The closed months right before a period, the latest first, up to the first that is open. */
export const closedBefore = async (sql: Sql, period: string): Promise<ClosedMonth[]> => {
  const months: ClosedMonth[] = []
  for (let month = periodBefore(period); months.length < CLOSED_MONTHS_MAX; month = periodBefore(month)) {
    const [row] = await sql<ClosedRow[]>`
      select r.inputs, r.outputs, r.answer, r.rules from run_periods p join runs r on r.run_id = p.run_id
      where p.job = 'reconciliation' and p.set_name = '' and p.period = ${month} and p.closed_ms is not null`
    if (!row) break
    months.push({ period: month, outputs: row.outputs, controls: row.answer.controls, seen: seenOf(row.inputs), adjusted: row.rules.adjusted ?? [] })
  }
  return months
}

/** The first of the closed months right before a period, and when one of them was closed last; nothing where the month before is open. */
export const closedSpan = async (sql: Sql, period: string): Promise<{ readonly first: string; readonly closed_ms: number } | undefined> => {
  let first: string | undefined, closed_ms = 0
  for (let month = periodBefore(period), months = 0; months < CLOSED_MONTHS_MAX; month = periodBefore(month), months += 1) {
    const [row] = await sql<{ closed_ms: number }[]>`select closed_ms from run_periods where job = 'reconciliation' and set_name = '' and period = ${month} and closed_ms is not null`
    if (!row) break
    first = month
    closed_ms = Math.max(closed_ms, row.closed_ms)
  }
  return first === undefined ? undefined : { first, closed_ms }
}

/** The hash of the files with which a closed month was seen last, by itself or by a closed month since. */
export const lastSeen = (months: readonly ClosedMonth[], period: string): string | undefined => {
  for (const month of months) {
    if (month.period === period) return month.seen
    const then = month.adjusted.find((each) => each.period === period)
    if (then) return then.seen
  }
  return undefined
}

/** What is booked of a closed month: its keys, and the adjustments of them in the closed months since. */
export const bookedFiles = (months: readonly ClosedMonth[], period: string): { readonly keys: Input; readonly adjustments: Input } => {
  const at = months.findIndex((month) => month.period === period)
  const filesOf = (month: ClosedMonth | undefined, wanted: string) => month?.outputs.filter(({ name }) => name === wanted) ?? []
  return { keys: { files: filesOf(months[at], "keys"), columns: BOOKED }, adjustments: { files: months.slice(0, at).flatMap((month) => filesOf(month, "adjustments")), columns: BOOKED } }
}
const BOOKED: Input["columns"] = {
  order_id: "VARCHAR", coupon_id: "VARCHAR", budget_id: "VARCHAR", budget_minor: "BIGINT", redeemed_minor: "BIGINT", ordered_minor: "BIGINT", break_minor: "BIGINT",
  carried_minor: "BIGINT", of_period: "VARCHAR", resolved_minor: "BIGINT",
}

/**
 * A month's controls on the ground of what the month before was closed with: an entry of the ledger that came after that close is a flow of this
 * month. `now` says what closed months come to today.
 */
export const onClosed = async (own: readonly Control[], months: readonly ClosedMonth[], now: (period: string) => Promise<readonly Control[]>): Promise<readonly Control[]> => {
  const [before] = months
  if (!before) return own
  const closing = new Map(before.controls.map(({ budget_id, closing_minor }) => [budget_id, closing_minor]))
  const openings = new Map(own.map(({ budget_id, opening_minor }) => [budget_id, opening_minor]))
  if ([...new Set([...closing.keys(), ...openings.keys()])].every((id) => (closing.get(id) ?? 0) === (openings.get(id) ?? 0))) return own
  const controls = new Map(own.map((control) => [control.budget_id, { ...control, opening_minor: closing.get(control.budget_id) ?? 0 } as Mutable]))
  for (const { period, controls: booked } of months) {
    const add = (all: readonly Control[], sign: 1 | -1) => {
      for (const each of all) {
        const control: Mutable = controls.get(each.budget_id) ?? { ...each, opening_minor: closing.get(each.budget_id) ?? 0, added_minor: 0, transferred_minor: 0, held_minor: 0, spent_minor: 0, released_minor: 0, closing_minor: 0 }
        for (const flow of FLOWS) control[flow] += sign * each[flow]
        controls.set(each.budget_id, control)
      }
    }
    add(await now(period), 1)
    add(booked, -1)
  }
  return [...controls.values()].toSorted((a, b) => a.budget_id < b.budget_id ? -1 : 1)
}

/** The columns of what a run adjusts: amounts are changes, the class is what the key is now. */
export const ADJUSTED_COLUMNS = {
  of_period: "VARCHAR", order_id: "VARCHAR", coupon_id: "VARCHAR", budget_id: "VARCHAR", class: "VARCHAR", side: "VARCHAR", budget_minor: "BIGINT", redeemed_minor: "BIGINT", ordered_minor: "BIGINT",
  break_minor: "BIGINT", resolved_minor: "BIGINT", carried_minor: "BIGINT", age_days: "BIGINT",
} as const

/** Run statements in a schema of their own, which sees the main one's; it is gone afterwards. */
export const inSchema = async (duck: Duck, schema: string, work: () => Promise<void>): Promise<void> => {
  await duck.run(`create schema ${schema}`)
  await duck.run(`set search_path = '${schema},main'`)
  try {
    await work()
  } finally {
    await duck.run("set search_path = 'main'")
    await duck.run(`drop schema ${schema} cascade`)
  }
}

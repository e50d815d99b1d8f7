/**
 * Budgets: a line's pool of money for a month, as a ledger.
 *
 * The budget is made in Postgres, which gives it its number; every unit of its limit comes to Redis as an addition that is known by
 * its id, the first by the budget's own creation, so that a repeat after a crash finishes what was begun. A close takes what is unspent
 * out of it; where that goes is engine/operate/carry.ts.
 */
import { fingerprintOf, idHash } from "../../lua/keys.ts"
import { AFTER_INVALID, type Answered, type Caller } from "../answers.ts"
import type { AddToBudgetAsk, BudgetAsk, ListBudgetEntriesAsk, PutBudgetAsk } from "../contract/budgets.ts"
import { caughtUp } from "../journal/caught_up.ts"
import { monthAfter, monthSpan } from "../months.ts"
import type { Parts } from "../parts.ts"
import { closeEverywhere } from "../quota/close.ts"
import { changeLimit, type Changed, madeBefore } from "../quota/cut.ts"
import { type BudgetSums, readBudgetSums } from "../quota/sums.ts"
import { answeringPostgres } from "../store/away.ts"
import { carriedOf, cannotTake } from "./carry.ts"
import type { Budget } from "./catalogue.ts"
import { mayTouch } from "./lines.ts"

/** The addition that brings a budget's first limit: "=" is in no hash. */
const CREATION = "="

const bodyOf = ({ budget_id, line, month, currency, party, carry_to }: Budget, sums: BudgetSums) =>
  ({ budget_id, line, month, currency, party, ...sums, ...(carry_to === null ? {} : { unspent: { carry_to } }) })

/** A budget as it stands. */
const answerOf = async (parts: Parts, budget: Budget) => bodyOf(budget, await readBudgetSums(parts, budget.budget_no))

/** Tell the bank of one addition or cut. */
const tellBank = (parts: Parts, { budget_no, budget_id, opens_ms, closes_ms }: Budget, addition: string, addition_id: string | undefined, fingerprint: string, amount_minor: number, now_ms: number): Promise<Changed> =>
  changeLimit(parts, {
    budget_no, opens_ms, closes_ms, addition, fingerprint, amount_minor,
    payload: JSON.stringify({ budget_id, ...(addition_id === undefined ? {} : { addition_id }), addition, fingerprint, amount_minor }),
  }, now_ms)

/** Make a budget. */
export const putBudgetWith = (parts: Parts) => async (ask: PutBudgetAsk, caller: Caller): Promise<Answered> => {
  if (!mayTouch(caller, ask.line)) return { outcome: "scope_missing", line: ask.line }
  const { budget_id, line, month, currency, limit_minor, party = line, unspent = "release" } = ask
  const carry_to = unspent === "release" ? null : unspent.carry_to.replaceAll("{month}", monthAfter(month))
  const fingerprint = fingerprintOf({ line, month, currency, limit_minor, party, ...(carry_to === null ? {} : { carry_to }) })
  if (carry_to === budget_id) return { outcome: "request_invalid", field: "unspent.carry_to", detail: "unspent.carry_to must be another budget than this one." }
  const target = carry_to === null ? undefined : await parts.catalogue.budgetById(carry_to)
  const why = target && cannotTake(target, { line, month, currency })
  if (why !== undefined) return { outcome: "request_invalid", field: "unspent.carry_to", detail: `unspent.carry_to must be a budget of the month after, of the same line and currency: ${carry_to} ${why}.` }
  const { opens_ms, closes_ms } = monthSpan(month, parts.zone)
  const { now_ms } = caller
  const { sql } = parts.postgres
  const made = await answeringPostgres(() => sql`
    insert into budgets (budget_id, line, month, currency, party, opens_ms, closes_ms, limit_minor, fingerprint, created_ms, carry_to)
    values (${budget_id}, ${line}, ${month}, ${currency}, ${party}, ${opens_ms}, ${closes_ms}, ${limit_minor}, ${fingerprint}, ${now_ms}, ${carry_to})
    on conflict (budget_id) do nothing`)
  const [row] = await answeringPostgres(() => sql<{ fingerprint: string; line: string }[]>`select fingerprint, line from budgets where budget_id = ${budget_id}`)
  const budget = await parts.catalogue.budgetById(budget_id)
  if (!row || !budget) throw new Error(`budget ${budget_id} has gone`)
  if (!mayTouch(caller, row.line)) return { outcome: "scope_missing", line: row.line }
  if (row.fingerprint !== fingerprint) return { outcome: "request_conflict" }
  await tellBank(parts, budget, CREATION + budget.budget_no, undefined, fingerprint, limit_minor, now_ms)
  // What it was made with: a repeat says what the first answer said.
  const body = bodyOf(budget, { limit_minor, held_minor: 0, spent_minor: 0, available_minor: limit_minor })
  return made.count === 1 ? { outcome: "created", body } : { outcome: "found", hit: true, body }
}

/** A budget that the key may touch. */
const budgetFor = async (parts: Parts, caller: Caller, budget_id: string): Promise<Budget | undefined> => {
  const budget = await parts.catalogue.budgetById(budget_id)
  return budget && mayTouch(caller, budget.line) ? budget : undefined
}

const closedMs = async ({ postgres }: Parts, budget_no: number): Promise<number | null> => {
  const [row] = await answeringPostgres(() => postgres.sql<{ closed_ms: number | null }[]>`select closed_ms from budgets where budget_no = ${budget_no}`)
  return row?.closed_ms ?? null
}

/** Add money to a budget, or cut it. */
export const addToBudgetWith = (parts: Parts) => async ({ budget_id, addition_id, amount_minor }: AddToBudgetAsk, caller: Caller): Promise<Answered> => {
  const budget = await budgetFor(parts, caller, budget_id)
  if (!budget) return { outcome: "budget_unknown", budget_id }
  const addition = idHash(`${budget.budget_no}\0${addition_id}`)
  const fingerprint = fingerprintOf({ budget_id, addition_id, amount_minor })
  const isClosed = await closedMs(parts, budget.budget_no) !== null
  const before = isClosed ? await madeBefore(parts, { budget_no: budget.budget_no, addition, fingerprint }) : undefined
  if (isClosed && before === undefined) return { outcome: "budget_closed", budget_id }
  const reply = before === undefined ? await tellBank(parts, budget, addition, addition_id, fingerprint, amount_minor, caller.now_ms) : { outcome: before }
  const body = { budget_id, addition_id, amount_minor }
  switch (reply.outcome) {
    case "funded": return { outcome: "created", body }
    case "replayed": return { outcome: "created", body, hit: true }
    case "budget_in_use": return { outcome: "budget_in_use", budget_id, free_minor: reply.free_minor }
    case "busy": return { outcome: "quota_busy", budget_id }
    case "request_conflict": case "limit_too_large": return { outcome: reply.outcome, budget_id }
  }
}

/** Close a month's budget: its limit becomes what is held and spent. */
export const closeBudgetWith = (parts: Parts) => async ({ budget_id }: BudgetAsk, caller: Caller): Promise<Answered> => {
  const budget = await budgetFor(parts, caller, budget_id)
  if (!budget) return { outcome: "budget_unknown", budget_id }
  const { now_ms } = caller
  const begun = await answeringPostgres(() => parts.postgres.sql`update budgets set closed_ms = ${now_ms} where budget_no = ${budget.budget_no} and closed_ms is null`)
  const closed = await closeEverywhere(parts, budget, now_ms, begun.count === 0)
  if (closed.outcome === "budget_unknown") return { outcome: "budget_unknown", budget_id }
  if (closed.outcome === "busy") return { outcome: "quota_busy", budget_id }
  const closed_ms = await closedMs(parts, budget.budget_no)
  // Who closes again takes what has come back since; where nothing has, it was a repeat.
  return { outcome: "changed", hit: begun.count === 0 && closed.released_minor === 0, body: { ...await answerOf(parts, budget), state: "closed", closed_at: new Date(closed_ms ?? now_ms).toISOString() } }
}

/** A budget with what is held and spent, over all cells. */
export const getBudgetWith = (parts: Parts) => async ({ budget_id }: BudgetAsk, caller: Caller): Promise<Answered> => {
  const budget = await budgetFor(parts, caller, budget_id)
  if (!budget) return { outcome: "budget_unknown", budget_id }
  const closed_ms = await closedMs(parts, budget.budget_no)
  if (closed_ms === null) return { outcome: "found", body: await answerOf(parts, budget) }
  const { taken_minor, carried_minor } = await carriedOf(parts, budget, closed_ms)
  return {
    outcome: "found",
    body: {
      ...await answerOf(parts, budget), state: "closed", closed_at: new Date(closed_ms).toISOString(), unspent_minor: taken_minor,
      ...(budget.carry_to === null ? {} : { waiting_minor: taken_minor - carried_minor }),
    },
  }
}

interface EntryRow { cell: number; epoch: number; n: number; act: string; at_ms: number; ref: string | null; limit_minor: number; held_minor: number; spent_minor: number }

/** Where a page of the ledger ended: instant, cell, epoch and number. */
const ENTRY_PLACE = /^(\d{1,16})-(\d{1,9})-(\d{1,9})-(\d{1,16})$/

/** The ledger of a budget, oldest first. */
export const listBudgetEntriesWith = (parts: Parts) => async ({ budget_id, limit, after }: ListBudgetEntriesAsk, caller: Caller): Promise<Answered> => {
  const budget = await budgetFor(parts, caller, budget_id)
  if (!budget) return { outcome: "budget_unknown", budget_id }
  for (let cell = 0; cell < parts.cells; cell++) await caughtUp(parts, cell)
  const [at_ms = -1, cell = -1, epoch = -1, n = -1] = after === undefined ? [] : ENTRY_PLACE.exec(after)?.slice(1).map(Number) ?? [NaN]
  if (![at_ms, cell, epoch, n].every(Number.isSafeInteger)) return AFTER_INVALID
  const rows = await answeringPostgres(() => parts.postgres.sql<EntryRow[]>`
    select cell, epoch, n, act, at_ms, ref, limit_minor, held_minor, spent_minor from budget_entries
    where budget_no = ${budget.budget_no} and (at_ms, cell, epoch, n) > (${at_ms}, ${cell}, ${epoch}, ${n})
    order by at_ms, cell, epoch, n limit ${limit + 1}`)
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    outcome: "found",
    body: {
      items: page.map((row) => ({
        entry_id: `${row.cell}-${row.epoch}-${row.n}`, act: row.act, at: new Date(row.at_ms).toISOString(), ref: row.ref,
        limit_minor: row.limit_minor, held_minor: row.held_minor, spent_minor: row.spent_minor,
      })),
      next: rows.length > limit && last ? `${last.at_ms}-${last.cell}-${last.epoch}-${last.n}` : null,
    },
  }
}

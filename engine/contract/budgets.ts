/**
 * Budgets: a line's pool of money for a month, its ledger, and what is added to it or cut from it.
 */
import { Type, type Static } from "typebox"
import { closed, Currency, Id, InstantOut, Money, MoneyChange, Month, PAGE } from "./basics.ts"
import { type AskOf, operation } from "./operation.ts"

/** How the additions begin that carry a closed month's money over. */
export const CARRY = "carry:"

const BudgetPath = Type.Object({ budget_id: Id }, closed)

const Unspent = Type.Union([
  Type.Literal("release"),
  Type.Object({ carry_to: Type.String({ ...Id, description: "a budget of the month after, of the same line and currency; {month} in it is that month" }) }, closed),
], { description: "what becomes of money that is neither held nor spent at the close: released, or added to the next month's budget; \"release\" unless told" })

const BudgetBody = Type.Object({
  line: Id,
  month: Month,
  currency: Currency,
  limit_minor: Money,
  party: Type.Optional(Type.String({ ...Id, description: "who owes the money; the line unless told" })),
  unspent: Type.Optional(Unspent),
}, closed)

const BudgetOut = Type.Object({
  budget_id: Id,
  line: Id,
  month: Month,
  currency: Currency,
  party: Id,
  state: Type.Optional(Type.Enum(["open", "closed"])),
  limit_minor: Money,
  held_minor: Money,
  spent_minor: Money,
  available_minor: MoneyChange,
  unspent: Type.Optional(Type.Union([Type.Literal("release"), Type.Object({ carry_to: Id }, closed)])),
  closed_at: Type.Optional(InstantOut),
  unspent_minor: Type.Optional(Type.Integer({ ...Money, description: "of a closed budget: what its closes took out of it" })),
  waiting_minor: Type.Optional(Type.Integer({ ...Money, description: "of that, what waits for the next month's budget to be there" })),
}, closed)
export type BudgetAnswer = Static<typeof BudgetOut>

const AdditionBody = Type.Object({ addition_id: Id, amount_minor: MoneyChange }, closed)
const AdditionOut = Type.Object({ budget_id: Id, addition_id: Id, amount_minor: MoneyChange }, closed)
export type AdditionAnswer = Static<typeof AdditionOut>

const EntryOut = Type.Object({
  entry_id: Type.String({ description: "the journal entry: cell, epoch and number" }),
  act: Type.String(),
  at: InstantOut,
  ref: Type.Optional(Type.Union([Type.String(), Type.Null()], { description: "what moved the money: a redemption, a coupon or an addition" })),
  limit_minor: MoneyChange,
  held_minor: MoneyChange,
  spent_minor: MoneyChange,
}, closed)
const EntriesOut = Type.Object({ items: Type.Array(EntryOut), next: Type.Union([Type.String(), Type.Null()]) }, closed)
export type BudgetEntriesAnswer = Static<typeof EntriesOut>

export const putBudget = operation({
  name: "put_budget", method: "PUT", path: "/v1/budgets/{budget_id}", family: "budgets", scopes: ["operate"],
  says: "Make a budget. A repeat is answered 200 with what the first answer said, other content 422; GET says what is true now.",
  params: BudgetPath, body: BudgetBody,
  yes: { created: BudgetOut, found: BudgetOut }, no: ["request_conflict"],
})

export const addToBudget = operation({
  name: "add_to_budget", method: "POST", path: "/v1/budgets/{budget_id}/additions", family: "budgets", scopes: ["operate"],
  says: "Add money to a budget, or cut it with a negative amount.",
  params: BudgetPath, body: AdditionBody,
  rule: ({ addition_id, amount_minor }) => amount_minor === 0 ? { field: "amount_minor", detail: "amount_minor must not be 0." }
    : addition_id.startsWith(CARRY) ? { field: "addition_id", detail: `addition_id must not begin with "${CARRY}", as those of money that was carried over do.` } : undefined,
  yes: { created: AdditionOut }, no: ["budget_unknown", "budget_in_use", "budget_closed", "limit_too_large", "request_conflict", "quota_busy"],
})

export const closeBudget = operation({
  name: "close_budget", method: "POST", path: "/v1/budgets/{budget_id}/close", family: "budgets", scopes: ["operate"],
  says: "Close a budget: nothing new is held from it; what is held may still be confirmed or given back.",
  params: BudgetPath, body: Type.Object({}, closed), body_optional: true,
  yes: { changed: BudgetOut }, no: ["budget_unknown", "quota_busy"],
})

export const getBudget = operation({
  name: "get_budget", method: "GET", path: "/v1/budgets/{budget_id}", family: "budgets", scopes: ["operate", "read"],
  says: "A budget with what is held and spent, summed over all cells.",
  params: BudgetPath, yes: { found: BudgetOut }, no: ["budget_unknown"],
})

export const listBudgetEntries = operation({
  name: "list_budget_entries", method: "GET", path: "/v1/budgets/{budget_id}/entries", family: "budgets", scopes: ["operate", "read"],
  says: "The ledger of a budget, oldest first.",
  params: BudgetPath, query: Type.Object(PAGE, closed), yes: { found: EntriesOut }, no: ["budget_unknown"],
})

export type PutBudgetAsk = AskOf<typeof putBudget>
export type AddToBudgetAsk = AskOf<typeof addToBudget>
export type BudgetAsk = AskOf<typeof getBudget>
export type ListBudgetEntriesAsk = AskOf<typeof listBudgetEntries>

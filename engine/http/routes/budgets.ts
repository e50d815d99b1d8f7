/** Budgets as routes. */
import type { Hono } from "hono"
import { addToBudget, closeBudget, getBudget, listBudgetEntries, putBudget } from "../../contract/budgets.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeBudgets = (app: Hono, http: Http, { budgets }: Uses): void => {
  serve(app, http, putBudget, budgets.put)
  serve(app, http, addToBudget, budgets.add)
  serve(app, http, closeBudget, budgets.close)
  serve(app, http, getBudget, budgets.get)
  serve(app, http, listBudgetEntries, budgets.entries)
}

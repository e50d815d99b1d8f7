/** Runs of jobs and the month's books as routes. */
import type { Hono } from "hono"
import {
  closeReconciliation, createRun, diffRun, getReconciliation, getRun, listReconciliationKeys, listRuns, publishRun, rollbackRun,
} from "../../contract/insights.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeInsights = (app: Hono, http: Http, { insights }: Uses): void => {
  serve(app, http, createRun, insights.create_run)
  serve(app, http, listRuns, insights.list_runs)
  serve(app, http, getRun, insights.get_run)
  serve(app, http, publishRun, insights.publish_run)
  serve(app, http, rollbackRun, insights.rollback_run)
  serve(app, http, diffRun, insights.diff_run)
  serve(app, http, getReconciliation, insights.reconciliation)
  serve(app, http, listReconciliationKeys, insights.reconciliation_keys)
  serve(app, http, closeReconciliation, insights.close_reconciliation)
}

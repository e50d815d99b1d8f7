/** Reports as routes. */
import type { Hono } from "hono"
import { getReport, listReports } from "../../contract/reports.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeReports = (app: Hono, http: Http, { reports }: Uses): void => {
  serve(app, http, listReports, reports.list)
  serve(app, http, getReport, reports.get)
}

/** Risk as a route. */
import type { Hono } from "hono"
import { topRisk } from "../../contract/risk.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeRisk = (app: Hono, http: Http, { risk }: Uses): void => {
  serve(app, http, topRisk, risk.top)
}

/**
 * The API: every route of the contract on one Hono app, with nothing started and nothing global.
 */
import { Hono } from "hono"
import { faultFields, type Log } from "../log.ts"
import type { Uses } from "../uses.ts"
import type { FindKey } from "./auth.ts"
import { docsPage } from "./docs.ts"
import type { Metrics } from "./metrics.ts"
import { openapi } from "./openapi.ts"
import { problem } from "./problems.ts"
import { routeBadges } from "./routes/badges.ts"
import { routeBudgets } from "./routes/budgets.ts"
import { routeCampaigns } from "./routes/campaigns.ts"
import { routeCheckout } from "./routes/checkout.ts"
import { routeCodes } from "./routes/codes.ts"
import { routeCoupons } from "./routes/coupons.ts"
import { routeEvents } from "./routes/events.ts"
import { type Readiness, routeHouse } from "./routes/house.ts"
import { routeInsights } from "./routes/insights.ts"
import { routeRisk } from "./routes/risk.ts"
import { routeKeys } from "./routes/keys.ts"
import { routeReports } from "./routes/reports.ts"
import type { Http, HttpConfig } from "./serve.ts"

export interface AppParts {
  readonly uses: Uses
  readonly findKey: FindKey
  readonly ready: () => Promise<Readiness> | Readiness
  readonly metrics: Metrics
  readonly log: Log
  readonly clock: Http["clock"]
  readonly config: HttpConfig
  readonly ending: Http["ending"]
  readonly acts_under_way: Http["acts_under_way"]
}

/** The app. `app.fetch(request)` answers it all, and `app.request(path)` does in a test. */
export const createApp = ({ uses, ready, ...http }: AppParts): Hono => {
  const app = new Hono({ strict: true })
  const parts: Http = http
  const document = JSON.stringify(openapi())

  routeCoupons(app, parts, uses)
  routeCodes(app, parts, uses)
  routeCheckout(app, parts, uses)
  routeBudgets(app, parts, uses)
  routeCampaigns(app, parts, uses)
  routeEvents(app, parts, uses)
  routeBadges(app, parts, uses)
  routeReports(app, parts, uses)
  routeInsights(app, parts, uses)
  routeRisk(app, parts, uses)
  routeKeys(app, parts, uses)
  routeHouse(app, { ready, metrics: http.metrics, document, page: docsPage(openapi()) })

  app.notFound(() => problem({ outcome: "not_found" }))
  app.onError((fault) => {
    // Routes answer their own faults; this one is ours.
    http.log.error("a route has failed", faultFields(fault))
    return problem({ outcome: "fault" })
  })
  return app
}

/** Campaigns as routes. */
import type { Hono } from "hono"
import { activateCampaign, getCampaign, pauseCampaign, putCampaign, stopCampaign } from "../../contract/campaigns.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeCampaigns = (app: Hono, http: Http, { campaigns }: Uses): void => {
  serve(app, http, putCampaign, campaigns.put)
  serve(app, http, activateCampaign, campaigns.activate)
  serve(app, http, pauseCampaign, campaigns.pause)
  serve(app, http, stopCampaign, campaigns.stop)
  serve(app, http, getCampaign, campaigns.get)
}

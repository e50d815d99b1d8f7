/** Events as routes. */
import type { Hono } from "hono"
import { listEvents } from "../../contract/events.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeEvents = (app: Hono, http: Http, { events }: Uses): void => {
  serve(app, http, listEvents, events.list)
}

/** Badges as routes. */
import type { Hono } from "hono"
import { activateBadge, claimBadge, getBadge, listUserBadges, putBadge } from "../../contract/badges.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeBadges = (app: Hono, http: Http, { badges }: Uses): void => {
  serve(app, http, putBadge, badges.put)
  serve(app, http, activateBadge, badges.activate)
  serve(app, http, getBadge, badges.get)
  serve(app, http, listUserBadges, badges.list)
  serve(app, http, claimBadge, badges.claim)
}

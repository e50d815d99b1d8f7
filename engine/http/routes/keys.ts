/** Keys as routes. */
import type { Hono } from "hono"
import { createKey, revokeKey } from "../../contract/keys.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeKeys = (app: Hono, http: Http, { keys }: Uses): void => {
  serve(app, http, createKey, keys.create)
  serve(app, http, revokeKey, keys.revoke)
}

/** Coupons as routes. */
import type { Hono } from "hono"
import { issueCoupon, listCoupons, revokeCoupon } from "../../contract/coupons.ts"
import type { Uses } from "../../uses.ts"
import { serveBulk } from "../bulk.ts"
import { type Http, serve } from "../serve.ts"

export const routeCoupons = (app: Hono, http: Http, { coupons }: Uses): void => {
  serve(app, http, issueCoupon, coupons.issue)
  serveBulk(app, http, coupons.issue)
  serve(app, http, listCoupons, coupons.list)
  serve(app, http, revokeCoupon, coupons.revoke)
}

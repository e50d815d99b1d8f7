/** Quotes and redemptions as routes. */
import type { Hono } from "hono"
import {
  cancelRedemption, confirmRedemption, extendRedemption, getRedemption, listRedemptions, quoteOrder, refundRedemption, reserveOrder,
} from "../../contract/checkout.ts"
import { checkoutDiscounts } from "../../contract/ucp.ts"
import type { Uses } from "../../uses.ts"
import { type Http, serve } from "../serve.ts"

export const routeCheckout = (app: Hono, http: Http, { checkout }: Uses): void => {
  serve(app, http, quoteOrder, checkout.quote)
  serve(app, http, checkoutDiscounts, checkout.discounts)
  serve(app, http, reserveOrder, checkout.reserve)
  serve(app, http, confirmRedemption, checkout.confirm)
  serve(app, http, extendRedemption, checkout.extend)
  serve(app, http, cancelRedemption, checkout.cancel)
  serve(app, http, refundRedemption, checkout.refund)
  serve(app, http, getRedemption, checkout.get)
  serve(app, http, listRedemptions, checkout.list)
}

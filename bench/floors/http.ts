/**
 * The floor of HTTP alone: Bun and Hono, JSON in and JSON out, nothing decided and nothing kept.
 */
import { Hono } from "hono"
import { confirmed, reserved, type ReserveRequest, userOf } from "./answers.ts"

/** The two requests of a redemption, answered with as many bytes as Scrip answers. */
export const httpFloor = (): Hono => new Hono()
  .post("/v1/redemptions", async (c) => {
    const ask = await c.req.json<ReserveRequest>()
    return c.json(reserved(ask, userOf(ask.coupons[0]!) + ask.order_id.slice(-12), Date.now()), 201)
  })
  .post("/v1/redemptions/:redemption_id/confirm", async (c) => {
    await c.req.json()
    return c.json(confirmed(c.req.param("redemption_id"), Date.now()))
  })

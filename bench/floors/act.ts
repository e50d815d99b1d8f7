/**
 * The floor of one act: HTTP, and one Redis function that writes a journal entry of the real format and two values more.
 *
 * What must stay true: whatever answers a checkout durably and tells Postgres about it pays at least this. The journal is the
 * cell's own, opened by the real gate, and the real worker flushes it from a process beside, as it does for Scrip.
 */
import { readFileSync } from "node:fs"
import { Hono } from "hono"
import type { Redis } from "ioredis"
import { journalKey, openKey, quotaKey, walletKey } from "../../lua/keys.ts"
import { ENTRY_FACTS, FORMAT, unpack } from "../../lua/records.ts"
import { confirmed, reserved, type ReserveRequest, userOf } from "./answers.ts"

const NAME = "bench_act"
const REDEMPTION_CHARS = 12
/** Any campaign's number in base 36, as it ends a wallet's field. */
const CAMPAIGN = "zz1"

const source = (): string => `#!lua name=${NAME}
local FORMAT, FACTS = ${FORMAT}, "${ENTRY_FACTS}"
redis.register_function("${NAME}", function(keys, args)
${readFileSync(new URL("act.lua", import.meta.url), "utf8")}
end)
redis.register_function("bench_empty", function() return {} end)
`

/** What the floor's reserve keeps of an order: about as much as Scrip keeps. */
const bodyOf = ({ order_id, user_id, coupons, order: { lines } }: ReserveRequest): string =>
  JSON.stringify([order_id, user_id, order_id, 900_000, 2_994, 26_946, lines.map((line) => [line.line_id, line.quantity, 0, line.unit_price_minor]),
    coupons.map((coupon_id) => [coupon_id, "bench", 2_994, lines.map((_, place) => [place, 998])])])

/** The two requests of a redemption, each with one act on this Redis, whose cell is open. */
export const actFloor = async (redis: Redis): Promise<Hono> => {
  await redis.call("FUNCTION", "LOAD", "REPLACE", source())
  const cell = await redis.hgetBuffer(quotaKey(0), "cell")
  if (!cell) throw new Error("the cell of the floor is not open")
  const epoch = String(unpack("cell", cell).epoch)
  const act = (word: string, user: string, redemption: string, body: string, payload: string, now_ms: number) =>
    redis.callBuffer("FCALL", NAME, 3, journalKey(0), walletKey(0, user), openKey(0), epoch, word, now_ms, user, redemption + "aa" + CAMPAIGN, redemption, body, payload)

  return new Hono()
    .post("/v1/redemptions", async (c) => {
      const text = await c.req.text()
      const ask = JSON.parse(text) as ReserveRequest
      const now_ms = Date.now()
      const user = userOf(ask.coupons[0]!), redemption = ask.coupons[0]!.slice(-REDEMPTION_CHARS)
      await act("reserved", user, redemption, bodyOf(ask), text, now_ms)
      return c.json(reserved(ask, user + redemption, now_ms), 201)
    })
    .post("/v1/redemptions/:redemption_id/confirm", async (c) => {
      await c.req.json()
      const redemption_id = c.req.param("redemption_id")
      const now_ms = Date.now()
      await act("confirmed", userOf(redemption_id), redemption_id.slice(-REDEMPTION_CHARS), "", "", now_ms)
      return c.json(confirmed(redemption_id, now_ms))
    })
    .post("/empty", async (c) => {
      await redis.callBuffer("FCALL", "bench_empty", 0)
      return c.json({})
    })
}

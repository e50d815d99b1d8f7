/**
 * Lines of a checkout key: which campaigns it sees, and that what is held can be read and finished by whoever has its id.
 */
import { beforeAll, expect, test } from "bun:test"
import { NOON, openShop, type Shop } from "../support/shop.ts"
import { fresh, issueAsk, openCampaign, order, reserveAsk, yes } from "../story/till.ts"

const START_MS_MAX = 120_000
let shop: Shop
let stranger: string
beforeAll(async () => {
  shop = await openShop({})
  stranger = (await yes(shop.call("POST", "/v1/keys", { name: "wealth", scopes: ["checkout"], lines: ["wealth"] }))).key
}, START_MS_MAX)

const ofWealth = (method: string, path: string, body?: unknown) => shop.call(method, path, body, { key: stranger })

test("coupon_unknown: a key does not see the coupons of another line, named or as the best", async () => {
  const { campaign_id } = await openCampaign(shop.call, NOON)
  const user_id = fresh("user")
  const { coupon_id } = await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const { status, body } = await ofWealth("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id]))
  expect([status, body.code, body.coupon_id]).toEqual([404, "coupon_unknown", coupon_id])
  expect(await yes(ofWealth("POST", "/v1/quotes", { user_id, order: order(), coupons: "best" }))).toMatchObject({ discount_minor: 0, applied: [], rejected: [] })
})

test("found: a redemption is read, confirmed and refunded without its coupons' line, and says the same to every key", async () => {
  const { campaign_id } = await openCampaign(shop.call, NOON)
  const user_id = fresh("user")
  const { coupon_id } = await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const { redemption_id, order_id } = await yes(shop.call("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id])))
  const one = `/v1/redemptions/${redemption_id}`, all = `/v1/redemptions?user_id=${user_id}&order_id=${order_id}`
  for (const finish of [undefined, ["confirm", {}], ["refunds", { refund_id: "r", lines: "all" }]] as const) {
    if (finish) await yes(ofWealth("POST", `${one}/${finish[0]}`, finish[1]))
    for (const path of [one, all]) expect(await yes(ofWealth("GET", path))).toEqual(await yes(shop.call("GET", path)))
  }
  expect(await yes(ofWealth("GET", one))).toMatchObject({ state: "refunded", applied: [{ coupon_id, campaign_id }] })
})

/**
 * What "best" leaves out is said in `rejected`, in a quote and in a redemption alike: coupons that are held elsewhere or paused, and of those
 * that are used up the newest.
 */
import { beforeAll, expect, test } from "bun:test"
import { COUPONS_MAX } from "../../engine/contract/basics.ts"
import { BEST_COUPONS_MAX, USED_TOLD_MAX } from "../../engine/contract/checkout.ts"
import { openShop, type Shop } from "../support/shop.ts"
import { fresh, issueAsk, openCampaign, order, reserveAsk, type Say, yes } from "../story/till.ts"

const START_MS_MAX = 120_000
let shop: Shop
let say: Say
beforeAll(async () => { shop = await openShop(); say = shop.call }, START_MS_MAX)

const issued = async (campaign_id: string, user_id: string): Promise<string> => (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id
/** What is said of each coupon that is left out, by a quote and by a redemption. */
const said = async (user_id: string): Promise<Map<string, string>[]> => {
  const { rejected } = await yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons: "best" }))
  const held = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, []), coupons: "best" }))
  expect((await yes(say("GET", `/v1/redemptions/${held.redemption_id}`))).state).toBe("reserved")
  return [rejected, held.rejected].map((all: { coupon_id: string; code: string; detail: string }[]) => {
    expect(all.every(({ detail }) => detail.length > 0)).toBe(true)
    return new Map(all.map(({ coupon_id, code }) => [coupon_id, code]))
  })
}

test("rejected: each coupon that \"best\" cannot use, with the word that a redemption of it would get", async () => {
  const user_id = fresh("user")
  const [any, brief, stopping, pausing] = await Promise.all([{}, { coupon_valid_s: 1 }, {}, {}].map(async (wishes) => (await openCampaign(say, shop.clock.now_ms(), wishes)).campaign_id))
  const [revoked, redeemed, reserved, ended, stopped, paused] = [
    await issued(any!, user_id), await issued(any!, user_id), await issued(any!, user_id), await issued(brief!, user_id), await issued(stopping!, user_id), await issued(pausing!, user_id),
  ]
  await yes(say("POST", `/v1/coupons/${revoked}/revoke`, { reason: "a story" }))
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [redeemed])))
  await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [reserved])))
  await yes(say("POST", `/v1/campaigns/${stopping}/stop`, {}))
  await yes(say("POST", `/v1/campaigns/${pausing}/pause`, {}))
  shop.clock.told(shop.clock.now_ms() + 1_000)
  const expected = new Map([
    [revoked, "coupon_revoked"], [redeemed, "coupon_redeemed"], [reserved, "coupon_reserved"], [ended, "coupon_ended"], [stopped, "campaign_stopped"], [paused, "campaign_paused"],
  ])
  for (const told of await said(user_id)) expect(new Map([...told].toSorted())).toEqual(new Map([...expected].toSorted()))
  for (const [coupon_id, code] of expected) expect([coupon_id, (await say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id]))).body.code]).toEqual([coupon_id, code])
})

test("rejected: of many that are used up the newest alone, and every one that may be free again", async () => {
  const user_id = fresh("user"), { campaign_id } = await openCampaign(say, shop.clock.now_ms())
  const held = await issued(campaign_id, user_id)
  await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [held])))
  const used: string[] = []
  for (let i = 0; i < USED_TOLD_MAX + 3; i += 1) {
    used.push(await issued(campaign_id, user_id))
    await yes(say("POST", `/v1/coupons/${used[i]}/revoke`, { reason: "a story" }))
    shop.clock.told(shop.clock.now_ms() + 1)
  }
  for (const told of await said(user_id)) expect([...told.keys()].toSorted()).toEqual([held, ...used.slice(3)].toSorted())
})

test("rejected: of a wallet with more coupons than \"best\" looks at, those that end first, and nothing is proved", async () => {
  const user_id = fresh("user"), many = COUPONS_MAX + 20
  const campaigns = await Promise.all(Array.from({ length: 6 }, (_, i) => openCampaign(say, shop.clock.now_ms(), { amount_minor: 1, coupon_valid_s: 3_600 * (9 - i) })))
  for (const { campaign_id } of campaigns) await Promise.all(Array.from({ length: many }, () => issued(campaign_id, user_id)))
  const { applied, rejected, proved, gap_minor, total_minor } = await yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons: "best", budget_ms: 1 }))
  expect([proved, gap_minor]).toEqual([false, total_minor])
  const seen = Map.groupBy([...applied, ...rejected], ({ campaign_id }: any) => campaign_id)
  // The sixth campaign's end first and the first one's last.
  expect(campaigns.map(({ campaign_id }) => seen.get(campaign_id)?.length ?? 0)).toEqual([0, COUPONS_MAX, COUPONS_MAX, COUPONS_MAX, COUPONS_MAX, COUPONS_MAX])
  expect(BEST_COUPONS_MAX).toBe(5 * COUPONS_MAX)
}, START_MS_MAX)

/**
 * A flash sale: twenty thousand users want five thousand coupons of one campaign at the same moment.
 */
import { readCouponId } from "../../lua/keys.ts"
import { drive } from "../drive.ts"
import { CAMPAIGN_ID, issueRequest } from "../contestants.ts"
import { campaignBody, shopper } from "../shop.ts"
import { type Result, rowOf } from "../result.ts"
import { must, type Stack } from "../stack.ts"

const CONNECTIONS = 500

export interface FlashSizes { readonly users: number; readonly stock: number }

/** Play one; it has a campaign of its own. Returns how many coupons were issued too. */
export const playFlash = async (scrip: Stack, { users, stock }: FlashSizes): Promise<Result & { readonly issued: number }> => {
  const campaign_id = `${CAMPAIGN_ID}-flash`
  await must(scrip, "PUT", `/v1/campaigns/${campaign_id}`, campaignBody(Date.now(), { stock, per_user: 1 }))
  await must(scrip, "POST", `/v1/campaigns/${campaign_id}/activate`, {})
  const holders = new Set<string>(), refusals: Record<string, number> = {}
  let issued = 0
  const requests = Array.from({ length: users }, (_, i) => issueRequest(scrip, shopper("flash", i, 1), campaign_id))
  const lap = await drive({
    stack: scrip, connections: CONNECTIONS, onAnswer: (status, body) => {
      const said = JSON.parse(body) as { coupon_id?: string; code?: string }
      if (status === 201 && said.coupon_id !== undefined) { issued++; holders.add(readCouponId(said.coupon_id)?.user ?? "") }
      else refusals[said.code ?? String(status)] = (refusals[said.code ?? String(status)] ?? 0) + 1
    },
  }, requests)
  const campaign = await must<{ issued: number }>(scrip, "GET", `/v1/campaigns/${campaign_id}`)
  const [kept] = await scrip.sql<{ coupons: number }[]>`
    select count(*)::int as coupons from coupons where campaign_no = (select campaign_no from campaigns where campaign_id = ${campaign_id})`
  const row = rowOf("flash sale", "Scrip", [lap])
  return {
    issued, scenario: "flash", rows: [row],
    figures: [{ name: `flash sale, ${users} users for ${stock} coupons, ${CONNECTIONS} connections`, value: lap.seconds, unit: "s" }],
    proofs: [
      { name: "flash sale: coupons issued", wanted: stock, found: issued },
      { name: "flash sale: users who got one", wanted: stock, found: holders.size },
      { name: "flash sale: answers of stock_exhausted", wanted: users - stock, found: refusals["stock_exhausted"] ?? 0 },
      { name: "flash sale: coupons as the campaign counts", wanted: stock, found: campaign.issued },
      { name: "flash sale: coupons in Postgres", wanted: stock, found: kept!.coupons },
    ],
  }
}

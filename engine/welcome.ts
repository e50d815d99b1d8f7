/**
 * The first start: what the operator sees of it, his key and a coupon's life in three lines that can be pasted; and on private servers
 * a small campaign to try them with. Real servers are somebody's books: there the lines leave a place for a campaign of his.
 */
import { SCOPES, type Caller } from "./answers.ts"
import { monthAt } from "./months.ts"
import { EVERY_LINE } from "./contract/keys.ts"
import type { Uses } from "./uses.ts"

const CAMPAIGN_ID = "welcome"
const LINE = "demo"
const CURRENCY = "CNY"

/** Make the campaign that the three lines use: 30.00 off from 200.00, for the rest of this month. */
export const makeDemo = async ({ budgets, campaigns }: Uses, now_ms: number, zone: string): Promise<void> => {
  const caller: Caller = { now_ms, key_id: "first start", scopes: SCOPES, lines: [EVERY_LINE] }
  const { month, opens_ms, closes_ms } = monthAt(now_ms, zone)
  const budget_id = `demo-${month}`
  await budgets.put({ budget_id, line: LINE, month, currency: CURRENCY, limit_minor: 1_000_000 }, caller)
  await campaigns.put({
    campaign_id: CAMPAIGN_ID, line: LINE, name: "30.00 off from 200.00, to try", currency: CURRENCY, kind: "amount_off", terms: { amount_minor: 3_000 }, threshold_minor: 20_000,
    starts_at: new Date(opens_ms).toISOString(), ends_at: new Date(closes_ms).toISOString(), stock: 300, per_user: 3, funding: [{ budget_id, share_bp: 10_000 }],
  }, caller)
  await campaigns.activate({ campaign_id: CAMPAIGN_ID }, caller)
}

const curl = (url: string, key: string, path: string, body: object): string =>
  `curl -sS ${url}${path} -H "Authorization: Bearer ${key}" -d '${JSON.stringify(body)}'`

/** Which campaign the three lines use: the one that was made to try, the operator's own, or none, where a request has to say what time it is. */
export type Shown = "demo" | "own" | "none"

const INTRODUCED: Readonly<Record<Exclude<Shown, "none">, string>> = {
  demo: "A coupon's life in three lines:",
  own: `A coupon's life in three lines, with a live campaign of yours for CAMPAIGN and its currency for ${CURRENCY}:`,
}

/** The words of the first start: the new key, unless the operator named his own, and three lines. */
export const welcome = (url: string, key: string | undefined, shown: Shown): string => {
  const bearer = key ?? "$SCRIP_BOOTSTRAP_KEY"
  const order = { currency: CURRENCY, lines: [{ line_id: "1", sku: "kettle", unit_price_minor: 25_000, quantity: 1 }] }
  const yourKey = key === undefined ? "" : `\nYour key, shown this once:  ${key}\n`
  if (shown === "none") return yourKey
  return `${yourKey}
${INTRODUCED[shown]}

${curl(url, bearer, "/v1/coupons", { request_id: "first", campaign_id: shown === "demo" ? CAMPAIGN_ID : "CAMPAIGN", user_id: "ann" })}

${curl(url, bearer, "/v1/quotes", { user_id: "ann", order, coupons: "best" })}

${curl(url, bearer, "/v1/redemptions", { order_id: "first-order", user_id: "ann", order, coupons: "best" })}
`
}

/**
 * Signed quotes through HTTP: a price that is held to the cent until it ends, for whom and what it was made, and for nobody and nothing else.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rotateKeys } from "../../engine/operate/signer.ts"
import { monthOf } from "../story/model/world.ts"
import { CELLS } from "../support/shop.ts"
import { openStory, type Story } from "../story/story.ts"
import { fresh, issueAsk, yes } from "../story/till.ts"
import { brokenContract } from "../support/contract.ts"

const START_MS_MAX = 120_000
const SECOND_MS = 1_000, DAY_MS = 86_400_000
let story: Story
beforeAll(async () => { story = await openStory({ cells: Math.max(CELLS, 2) }) }, START_MS_MAX)
afterAll(async () => { await story.expectConserved(); await story.close() }, START_MS_MAX)

const say = async (method: string, path: string, body?: unknown) => {
  const answer = await story.call(method, path, body)
  expect(brokenContract(method, path, answer.status, answer.body)).toBeUndefined()
  return answer
}
const later = (ms: number) => story.setNow(story.now_ms() + ms)
const iso = (at_ms: number) => new Date(at_ms).toISOString()

const order = (more: object = {}, line: object = {}) => ({
  currency: "CNY", channel: "app", device_id: "phone", shipping_minor: 500,
  lines: [{ line_id: "a", sku: "s1", unit_price_minor: 999, quantity: 3, ...line }, { line_id: "b", sku: "s2", unit_price_minor: 5_001, quantity: 1 }], ...more,
})
interface Wishes { readonly limit_minor?: number; readonly terms?: object; readonly kind?: string; readonly lasts_ms?: number; readonly more?: object }
const openCampaign = async ({ limit_minor = 100_000, kind = "percent_off", terms = { percent_bp: 1_500 }, lasts_ms = DAY_MS, more = {} }: Wishes = {}) => {
  const budget_id = fresh("budget"), campaign_id = fresh("campaign")
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: monthOf(story.now_ms()), currency: "CNY", limit_minor }))
  const body = {
    line: "retail", name: "Signed", currency: "CNY", kind, terms, starts_at: iso(story.now_ms() - SECOND_MS), ends_at: iso(story.now_ms() + lasts_ms),
    stock: 10, per_user: 10, funding: [{ budget_id, share_bp: 10_000 }], ...more,
  }
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, body))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`))
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  return { campaign_id, budget_id, body, user_id, coupon_id }
}
const quoteFor = async (user_id: string, coupons: unknown, more: object = {}) => yes(say("POST", "/v1/quotes", { user_id, order: order(), coupons, hold: "price", ...more }))
const redeem = (user_id: string, quote: string, more: object = {}) => say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id, order: order(), quote, ...more })
const code = async (heard: ReturnType<typeof say>) => { const { status, body } = await heard; return [status, body.code] }
const priceOf = ({ discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor, profile, applied }: any) =>
  ({ discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor, profile, applied })

test("reserved: a signed quote is held to the cent, and again when it is asked again, also after its end", async () => {
  const { user_id, coupon_id, budget_id } = await openCampaign()
  const profile = { extends: "saleor", percent_per: "unit" }
  const quote = await quoteFor(user_id, [coupon_id], { profile, hold_s: 60 })
  expect(quote.quote_ends_at).toBe(iso(story.now_ms() + 60_000))
  later(59_999)
  const ask = { order_id: fresh("order"), user_id, order: order({ device_id: "tablet", payment_id: "card" }), quote: quote.quote }
  const held = await yes(say("POST", "/v1/redemptions", ask))
  expect(priceOf(held)).toEqual(priceOf(quote))
  expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).held_minor).toBe(quote.cost_minor)
  later(10)
  const again = await say("POST", "/v1/redemptions", ask)
  expect([again.status, again.headers.get("idempotency-hit"), again.body]).toEqual([201, "true", held])
  expect(await code(say("POST", "/v1/redemptions", { ...ask, hold_s: 5 }))).toEqual([422, "request_conflict"])
  expect(priceOf(await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`)))).toEqual(priceOf(quote))
})

test("reserved: honoured when the campaign has another version and its terms are others, and the refund looks again with those of then", async () => {
  const { user_id, coupon_id, campaign_id, body } = await openCampaign({ terms: { percent_bp: 1_000 }, more: { threshold_minor: 7_998, refund_policy: "re_evaluate" } })
  const { quote, discount_minor } = await quoteFor(user_id, "best")
  expect([coupon_id.length > 0, discount_minor]).toEqual([true, 800])
  // What the API keeps from happening to a live campaign: its next version has other terms.
  const { sql } = story.parts.postgres
  await sql`update campaigns set body = jsonb_set(body, '{terms,percent_bp}', '5000') where campaign_id = ${campaign_id}`
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, { ...body, terms: { percent_bp: 5_000 }, name: "Renamed" }))
  const held = await yes(redeem(user_id, quote))
  expect(held.discount_minor).toBe(800)
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`))
  const { discount_minor: back, withheld_minor } = await yes(say("POST", `/v1/redemptions/${held.redemption_id}/refunds`, { refund_id: "r", lines: [{ line_id: "a", quantity: 1 }] }))
  expect([back, withheld_minor]).toEqual([800, 700])
})

test("reserved: honoured when the window ended meanwhile, with its money or, where that went back, with the budget's", async () => {
  const after = await openCampaign({ lasts_ms: 30_000 })
  const before = await openCampaign({ lasts_ms: 30_000, kind: "amount_off", terms: { amount_minor: 700 }, more: { hold_at: "issue" } })
  const swept = await openCampaign({ lasts_ms: 30_000, kind: "amount_off", terms: { amount_minor: 700 }, more: { hold_at: "issue" } })
  const quotes = [await quoteFor(after.user_id, [after.coupon_id]), await quoteFor(before.user_id, [before.coupon_id]), await quoteFor(swept.user_id, [swept.coupon_id])]
  later(31_000)
  expect(await code(say("POST", "/v1/redemptions", { order_id: "o", user_id: after.user_id, order: order(), coupons: [after.coupon_id] }))).toEqual([409, "coupon_ended"])
  expect((await redeem(after.user_id, quotes[0].quote)).status).toBe(201)
  expect((await redeem(before.user_id, quotes[1].quote)).status).toBe(201)
  await story.sweep()
  const held = await yes(redeem(swept.user_id, quotes[2].quote))
  expect((await yes(say("GET", `/v1/budgets/${swept.budget_id}`))).held_minor).toBe(700)
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/cancel`))
  await story.sweep()
  expect((await yes(say("GET", `/v1/budgets/${swept.budget_id}`))).held_minor).toBe(0)
})

test("reserved: a signed quote takes the place of its order's older hold, also when that ends the coupon", async () => {
  const { user_id, coupon_id, budget_id } = await openCampaign({ lasts_ms: 30_000, kind: "amount_off", terms: { amount_minor: 700 }, more: { hold_at: "issue" } })
  const { quote } = await quoteFor(user_id, [coupon_id])
  const order_id = fresh("order")
  const older = await yes(say("POST", "/v1/redemptions", { order_id, user_id, order: order(), coupons: [coupon_id], hold_s: 900 }))
  later(31_000)
  const held = await yes(redeem(user_id, quote, { order_id, request_id: "signed" }))
  expect(held.discount_minor).toBe(700)
  expect((await yes(say("GET", `/v1/redemptions/${older.redemption_id}`))).state).toBe("cancelled")
  expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).held_minor).toBe(700)
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`))
  expect(await yes(say("GET", `/v1/budgets/${budget_id}`))).toMatchObject({ held_minor: 0, spent_minor: 700 })
})

test("quote_mismatch: another user or another order, with what has changed", async () => {
  const { user_id, coupon_id } = await openCampaign()
  const { quote } = await quoteFor(user_id, [coupon_id])
  const changed = async (who: string, what: object) => (await say("POST", "/v1/redemptions", { order_id: fresh("order"), user_id: who, order: what, quote })).body
  expect(await changed("somebody else", order())).toMatchObject({ status: 409, code: "quote_mismatch", changed: ["user_id"] })
  const cases: readonly [string[], object][] = [
    [["order.channel"], order({ channel: "web" })], [["order.channel"], order({ channel: undefined })], [["order.shipping_minor"], order({ shipping_minor: 0 })],
    [["order.badges"], order({ badges: { gold: 1 } })], [["order.lines[0].quantity"], order({}, { quantity: 2 })], [["order.lines[0].unit_price_minor"], order({}, { unit_price_minor: 1 })],
    [["order.lines[0]"], order({}, { sku: "other" })], [["order.lines"], order({ lines: order().lines.slice(1) })],
    [["order.currency", "order.lines[0].quantity", "order.lines[0]"].toSorted(), order({ currency: "EUR" }, { quantity: 1, floor_minor: 1 })],
  ]
  for (const [paths, what] of cases) expect((await changed(user_id, what)).changed.toSorted()).toEqual(paths)
})

test("quote_ended: from its last millisecond on", async () => {
  const { user_id, coupon_id } = await openCampaign()
  const { quote, quote_ends_at } = await quoteFor(user_id, [coupon_id], { hold_s: 1 })
  later(1_000)
  expect((await redeem(user_id, quote)).body).toMatchObject({ status: 409, code: "quote_ended", retry: false, quote_ended_at: quote_ends_at })
})

test("quote_unsigned: whatever no valid key has signed", async () => {
  const { user_id, coupon_id } = await openCampaign()
  const { quote } = await quoteFor(user_id, [coupon_id])
  const [key, text, mac] = quote.split(".") as [string, string, string]
  const flipped = (part: string) => (part[5] === "A" ? `${part.slice(0, 5)}B${part.slice(6)}` : `${part.slice(0, 5)}A${part.slice(6)}`)
  // 43 characters have two bits more than 32 bytes: the last of a signature is a multiple of four, and the three after it decode alike.
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  const alike = [1, 2, 3].map((spare) => `${key}.${text}.${mac.slice(0, -1)}${letters[letters.indexOf(mac.at(-1)!) + spare]}`)
  expect(alike.map((quote) => Buffer.from(quote.split(".")[2]!, "base64url").toString("base64url"))).toEqual([mac, mac, mac])
  for (const forged of ["x", `${key}.${flipped(text)}.${mac}`, `${key}.${text}.${flipped(mac)}`, `9.${text}.${mac}`, `${key}.${text}`, `${text}.${mac}`, `${key}.${text}.${mac}A`, ...alike]) {
    expect(await code(redeem(user_id, forged))).toEqual([403, "quote_unsigned"])
  }
})

test("quote_unsigned: two keys are valid, and a new one is rested before it signs", async () => {
  const { user_id, coupon_id } = await openCampaign()
  const { sql } = story.parts.postgres
  const quotes = [await quoteFor(user_id, [coupon_id], { hold_s: 3_600 })]
  const keyNo = ({ quote }: { quote: string }) => Number(quote.split(".")[0])
  const first = keyNo(quotes[0])
  expect(await rotateKeys(sql, story.now_ms())).toEqual({ key_no: first + 1 })
  expect(await rotateKeys(sql, story.now_ms() + 1)).toEqual({ wait_ms: 59_999 })
  later(6_000)
  expect(keyNo(await quoteFor(user_id, [coupon_id]))).toBe(first)
  later(6_000)
  quotes.push(await quoteFor(user_id, [coupon_id], { hold_s: 3_600 }))
  expect(keyNo(quotes[1])).toBe(first + 1)
  const held = await yes(redeem(user_id, quotes[0].quote))
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/cancel`))
  later(60_000)
  await rotateKeys(sql, story.now_ms())
  later(20_000)
  expect(await code(redeem(user_id, quotes[0].quote))).toEqual([403, "quote_unsigned"])
  expect((await redeem(user_id, quotes[1].quote)).status).toBe(201)
})

test("campaign_paused, campaign_stopped, coupon_reserved, budget_exhausted: what no signature holds is told as ever", async () => {
  const { user_id, coupon_id, campaign_id } = await openCampaign()
  const { quote } = await quoteFor(user_id, [coupon_id])
  await yes(say("POST", `/v1/campaigns/${campaign_id}/pause`))
  expect(await code(redeem(user_id, quote))).toEqual([409, "campaign_paused"])
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`))
  const held = await yes(redeem(user_id, quote))
  expect(await code(redeem(user_id, quote))).toEqual([409, "coupon_reserved"])
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/cancel`))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/stop`))
  expect(await code(redeem(user_id, quote))).toEqual([409, "campaign_stopped"])

  const short = await openCampaign({ limit_minor: 1_200, more: { profile: { budget_short: "partial" } } })
  const { quote: dear } = await quoteFor(short.user_id, [short.coupon_id])
  await yes(say("POST", `/v1/budgets/${short.budget_id}/additions`, { addition_id: "cut", amount_minor: -1_190 }))
  expect((await redeem(short.user_id, dear)).body).toMatchObject({ code: "budget_exhausted", coupon_id: short.coupon_id, budget_id: short.budget_id })
})

test("coupon_unknown: a key that does not see the coupon's line holds no quote of it", async () => {
  const { user_id, coupon_id } = await openCampaign()
  const { quote } = await quoteFor(user_id, [coupon_id])
  const { key } = await yes(say("POST", "/v1/keys", { name: "k", scopes: ["checkout"], lines: ["wealth"] }))
  const { status, body } = await story.call("POST", "/v1/redemptions", { order_id: "o", user_id, order: order(), quote }, { key })
  expect([status, body.code]).toEqual([404, "coupon_unknown"])
})

test("request_invalid: a quote stands for coupons and policy, and only what is there now is signed", async () => {
  const field = async (path: string, body: object) => { const heard = await say("POST", path, body); return [heard.status, heard.body.field] }
  const ask = { order_id: "o", user_id: "u", order: order() }
  expect(await field("/v1/redemptions", ask)).toEqual([400, "coupons"])
  for (const [name, value] of Object.entries({ coupons: "best", profile: "scrip", budget_ms: 5, minimise: { line: "l" } })) {
    expect(await field("/v1/redemptions", { ...ask, quote: "q", [name]: value })).toEqual([400, name])
  }
  expect(await field("/v1/redemptions", { ...ask, quote: "not a token" })).toEqual([400, "quote"])
  const quote = { user_id: "u", order: order(), coupons: "best" }
  expect(await field("/v1/quotes", { ...quote, hold: "stock" })).toEqual([400, "hold"])
  expect(await field("/v1/quotes", { ...quote, hold_s: 60 })).toEqual([400, "hold_s"])
  expect(await field("/v1/quotes", { ...quote, hold: "price", hold_s: 86_401 })).toEqual([400, "hold_s"])
  expect(await field("/v1/quotes", { ...quote, hold: "price", priced_at: iso(story.now_ms()) })).toEqual([400, "hold"])
  expect(await field("/v1/quotes", { ...quote, hold: "price", drafts: [{ campaign_id: "a", kind: "amount_off", terms: { amount_minor: 1 } }] })).toEqual([400, "hold"])
})

test("reserved: a signed quote without coupons, and one of 500 lines and chosen units", async () => {
  const { user_id, coupon_id } = await openCampaign({ limit_minor: 10_000_000, kind: "percent_off", terms: { percent_bp: 3_333, per: "unit", max_units_per_line: 2 } })
  const empty = await quoteFor(user_id, [])
  expect((await redeem(user_id, empty.quote)).body).toMatchObject({ state: "reserved", applied: [] })
  const many = order({ lines: Array.from({ length: 500 }, (_, i) => ({ line_id: `line ${i}`, sku: `sku ${i}`, unit_price_minor: 1_000 + i * 7, quantity: 3 })) })
  const quote = await yes(say("POST", "/v1/quotes", { user_id, order: many, coupons: [coupon_id], hold: "price" }))
  const held = await yes(redeem(user_id, quote.quote, { order: many }))
  expect(priceOf(held)).toEqual(priceOf(quote))
})

/**
 * The API as a stranger meets it: bad input of every kind on every write, ids of every alphabet through a whole life, bodies that are too
 * large or cut off, callers that come twice, and clocks at the edge of a window.
 *
 * What must stay true: a fault of the caller is told as one, with the field that has it, and changes nothing; nothing that a caller can
 * send is answered with a 5xx.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { until } from "../support/run_engine.ts"
import { monthOf, monthStarts, nextMonth } from "./model/world.ts"
import { openStory, type Story } from "./story.ts"
import { fresh, issueAsk, openCampaign, order, reserveAsk, type Say, yes } from "./till.ts"

const START_MS_MAX = 120_000
const WHOLE_MAX = Number.MAX_SAFE_INTEGER

let story: Story
let say: Say
beforeAll(async () => { story = await openStory(); say = story.call }, START_MS_MAX)
afterAll(async () => { await story.expectConserved(); await story.close() }, START_MS_MAX)

const month = () => monthOf(story.now_ms())
const campaignBody = (budget_id: string, more: object = {}) => ({
  line: "retail", name: "A story", currency: "CNY", kind: "amount_off", terms: { amount_minor: 100 }, threshold_minor: 0,
  applies_to: { not_skus: ["none"] }, channels: ["app", "web"], starts_at: new Date(story.now_ms() - 1_000).toISOString(), ends_at: new Date(story.now_ms() + 86_400_000).toISOString(),
  coupon_valid_s: 3_600, stock: 10, per_user: 2, holdout_bp: 0, hold_at: "reserve", funding: [{ budget_id, share_bp: 10_000 }], on_refund: "keep",
  stacking: { group: "g", priority: 1 }, ...more,
})
const fullOrder = () => ({
  currency: "CNY", channel: "app", region: "north", payment_method: "card", device_id: "d", payment_id: "p", address_id: "a", shipping_minor: 500,
  lines: [{ line_id: "l1", sku: "s1", merchant_id: "m", category: "c", unit_price_minor: 1_000, quantity: 2 }],
})
const refused = async (heard: ReturnType<Say>) => { const { status, body } = await heard; return [status, body.code] }

// ── Wrong types, unknown fields, wrong numbers ───────────────────────────────────────────────────────────────────

type Path = readonly (string | number)[]
/** Every place of a body: leaves, objects and lists. */
const placesOf = (value: unknown, path: Path = []): { path: Path; value: unknown }[] => [
  ...(path.length > 0 ? [{ path, value }] : []),
  ...(typeof value === "object" && value !== null ? Object.entries(value).flatMap(([name, inner]) => placesOf(inner, [...path, Array.isArray(value) ? Number(name) : name])) : []),
]
/** A copy of a body with another value at a place. */
const withValue = (body: any, path: Path, value: unknown): any => {
  const copy = structuredClone(body)
  let at = copy
  for (const name of path.slice(0, -1)) at = at[name]
  at[path.at(-1)!] = value
  return copy
}

const LONG = "x".repeat(501)
const BAD_TEXTS = [7, null, true, [], {}, "", LONG, "two\nlines", "nul\u0000", "tab\t", "\u007f", "half \ud800"]
const BAD_NUMBERS = ["7", null, true, [], {}, -1.5, 0.5, 2 ** 53, 1e300, -(2 ** 53)]
const BAD_OTHERS = [7, null, true, "text"]

const badValuesFor = (value: unknown): readonly unknown[] => typeof value === "string" ? BAD_TEXTS : typeof value === "number" ? BAD_NUMBERS : BAD_OTHERS

const writes = (): readonly { name: string; method: string; path: string; body: object; free?: readonly string[] }[] => [
  { name: "put budget", method: "PUT", path: `/v1/budgets/${fresh("budget")}`, body: { line: "retail", month: month(), currency: "CNY", limit_minor: 100, party: "retail" } },
  { name: "addition", method: "POST", path: "/v1/budgets/none/additions", body: { addition_id: "a", amount_minor: 5 } },
  { name: "put campaign", method: "PUT", path: `/v1/campaigns/${fresh("campaign")}`, body: campaignBody("none") },
  { name: "issue", method: "POST", path: "/v1/coupons", body: { request_id: "r", campaign_id: "none", user_id: "u", channel: "app", device_id: "d" } },
  { name: "revoke", method: "POST", path: "/v1/coupons/none/revoke", body: { user_id: "u", reason: "why" } },
  { name: "quote", method: "POST", path: "/v1/quotes", body: { user_id: "u", order: fullOrder(), coupons: ["c1", "c2"] } },
  // "best" is a text where a list may stand too.
  { name: "reserve", method: "POST", path: "/v1/redemptions", body: { order_id: fresh("order"), user_id: "u", request_id: "r", order: fullOrder(), coupons: ["c1"], hold_s: 60 } },
  { name: "confirm", method: "POST", path: "/v1/redemptions/none/confirm", body: { late: true }, free: ["true"] },
  { name: "extend", method: "POST", path: "/v1/redemptions/none/extend", body: { expires_at: new Date(story.now_ms() + 1_000).toISOString() } },
  { name: "refund", method: "POST", path: "/v1/redemptions/none/refunds", body: { refund_id: "r", lines: [{ line_id: "l1", quantity: 1 }] } },
  { name: "key", method: "POST", path: "/v1/keys", body: { name: "k", scopes: ["read"], lines: ["retail"] } },
]

test("request_invalid: no place of any write takes a value of another type, and the place is named", async () => {
  const wrong: unknown[] = []
  let tried = 0
  for (const { name, method, path, body, free = [] } of writes()) {
    for (const place of placesOf(body)) {
      for (const bad of badValuesFor(place.value)) {
        if (free.includes(JSON.stringify(bad))) continue
        const heard = await say(method, path, withValue(body, place.path, bad))
        tried += 1
        const top = String(place.path.find((part) => typeof part === "string"))
        const isNamed = typeof heard.body?.field === "string" && heard.body.field.startsWith(top) && heard.body.detail.length > 0
        if (heard.status !== 400 || heard.body.code !== "request_invalid" || heard.body.retry !== false || !isNamed) {
          wrong.push({ name, place: place.path.join("."), bad: typeof bad === "string" ? bad.slice(0, 20) : bad, status: heard.status, code: heard.body?.code, field: heard.body?.field })
        }
      }
    }
  }
  expect(wrong).toEqual([])
  expect(tried).toBeGreaterThan(500)
}, START_MS_MAX)

test("request_invalid: an unknown field is refused by name, at every depth of every write", async () => {
  const wrong: unknown[] = []
  for (const { name, method, path, body } of writes()) {
    const objects = [{ path: [] as Path, value: body as unknown }, ...placesOf(body)].filter(({ value }) => typeof value === "object" && value !== null && !Array.isArray(value))
    for (const place of objects) {
      for (const field of ["surprise", "__proto__", "constructor", "Line"]) {
        const text = JSON.stringify(place.path.length === 0 ? { ...body, [`${field}`]: 1 } : withValue(body, place.path, { ...(place.value as object), marker_of_the_test: 1 }))
          .replace('"marker_of_the_test"', JSON.stringify(field))
        const raw = place.path.length === 0 && field === "__proto__" ? JSON.stringify(body).replace(/^\{/, '{"__proto__":1,') : text
        const heard = await say(method, path, raw)
        if (heard.status !== 400 || heard.body.code !== "request_invalid" || !JSON.stringify(heard.body).includes(field)) wrong.push({ name, at: place.path.join("."), field, status: heard.status, body: heard.body })
      }
    }
  }
  expect(wrong).toEqual([])
}, START_MS_MAX)

test("request_invalid: numbers, orders and campaigns that mean nothing", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
  const line = { line_id: "l1", sku: "s", unit_price_minor: 1, quantity: 1 }
  const orders: [string, object][] = [
    ["no lines", { lines: [] }], ["501 lines", { lines: Array.from({ length: 501 }, (_, i) => ({ ...line, line_id: `l${i}` })) }],
    ["a line id twice", { lines: [line, line] }], ["quantity 0", { lines: [{ ...line, quantity: 0 }] }], ["a negative price", { lines: [{ ...line, unit_price_minor: -1 }] }],
    ["a product beyond 2^53-1", { lines: [{ ...line, unit_price_minor: 2 ** 52, quantity: 3 }] }],
    ["a sum beyond 2^53-1", { lines: [{ ...line, unit_price_minor: WHOLE_MAX }, { ...line, line_id: "l2" }] }],
    ["more units than 2^53-1, of what costs nothing", { lines: [{ ...line, unit_price_minor: 0, quantity: WHOLE_MAX }, { ...line, line_id: "l2" }] }],
    ["shipping beyond 2^53-1", { shipping_minor: WHOLE_MAX, lines: [line] }], ["a currency of no kind", { currency: "cny", lines: [line] }],
  ]
  for (const [what, wrong] of orders) {
    for (const path of ["/v1/quotes", "/v1/redemptions"]) {
      const more = path === "/v1/quotes" ? {} : { order_id: fresh("order") }
      expect([what, ...await refused(say("POST", path, { user_id: "u", coupons: [], order: { currency: "CNY", ...wrong }, ...more }))]).toEqual([what, 400, "request_invalid"])
    }
  }
  for (const hold_s of [0, -1, 86_401]) expect(await refused(say("POST", "/v1/redemptions", { ...reserveAsk("u", []), hold_s }))).toEqual([400, "request_invalid"])
  expect(await refused(say("POST", "/v1/redemptions", reserveAsk("u", ["same", "same"])))).toEqual([400, "request_invalid"])
  expect(await refused(say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: "nothing", amount_minor: 0 }))).toEqual([400, "request_invalid"])
  const campaigns: [string, string, object][] = [
    ["no shares", "funding", { funding: [] }], ["shares of 9999", "funding", { funding: [{ budget_id, share_bp: 9_999 }] }],
    ["a budget twice", "funding", { funding: [{ budget_id, share_bp: 5_000 }, { budget_id, share_bp: 5_000 }] }],
    ["an end before its start", "ends_at", { ends_at: new Date(story.now_ms() - 2_000).toISOString() }], ["no such day", "starts_at", { starts_at: "2026-02-30T00:00:00Z" }],
    ["an instant of another zone", "starts_at", { starts_at: "2026-01-01T00:00:00+08:00" }], ["a kind that is none", "kind", { kind: "gift_card" }],
    ["terms of another kind", "terms", { kind: "percent_off" }], ["more than all", "terms", { kind: "percent_off", terms: { percent_bp: 10_001 } }],
    ["a negative stock", "stock", { stock: -1 }], ["nobody", "per_user", { per_user: 0 }], ["more than all users", "holdout_bp", { holdout_bp: 10_001 }],
    ["money held at issue for a cost without bound", "terms", { hold_at: "issue", kind: "percent_off", terms: { percent_bp: 100 } }],
    ["money held at issue for a coupon that comes back", "on_refund", { hold_at: "issue", on_refund: "return" }],
  ]
  for (const [what, field, wrong] of campaigns) {
    const { status, body } = await say("PUT", `/v1/campaigns/${fresh("campaign")}`, campaignBody(budget_id, wrong))
    expect([what, status, body.code, String(body.field).startsWith(field)]).toEqual([what, 400, "request_invalid", true])
  }
  for (const query of ["limit=0", "limit=1001", "limit=1.5", "limit=x", "other=1", "limit=1&limit=2", "after="]) expect([query, ...await refused(say("GET", `/v1/users/u/coupons?${query}`))]).toEqual([query, 400, "request_invalid"])
  expect(await refused(say("GET", "/v1/users/u/coupons?state=lost"))).toEqual([400, "request_invalid"])
  expect((await yes(say("GET", `/v1/campaigns/${campaign_id}`))).issued).toBe(0)
}, START_MS_MAX)

test("reserved: an order with 500 lines, and none without a line", async () => {
  expect(await refused(say("POST", "/v1/redemptions", { ...reserveAsk("u", []), order: { currency: "CNY", lines: [] } }))).toEqual([400, "request_invalid"])
  const { campaign_id } = await openCampaign(say, story.now_ms(), { amount_minor: 777 })
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const lines = Array.from({ length: 500 }, (_, i) => ({ line_id: `l${i}`, sku: "s", unit_price_minor: 1 + i % 3, quantity: 1 + i % 2 }))
  const { applied, discount_minor, redemption_id } = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [coupon_id]), order: { currency: "CNY", lines } }))
  expect(discount_minor).toBe(777)
  expect(applied[0].lines.reduce((sum: number, line: any) => sum + line.discount_minor, 0)).toBe(777)
  await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  expect((await yes(say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: "r", lines: "all" }))).discount_minor).toBe(777)
}, START_MS_MAX)

test("request_invalid: bodies that are no JSON, no object, or no text", async () => {
  for (const body of ["", "{", "[]", "null", "7", '"text"', "{}", '{"a":', `${"[".repeat(100_000)}`, '{"user_id":"\\ud800"}', "\u0000", "NaN", "{'user_id':1}"]) {
    const { status, body: answer } = await say("POST", "/v1/redemptions", body)
    expect([body.slice(0, 20), status, answer.code]).toEqual([body.slice(0, 20), 400, "request_invalid"])
  }
  const latin = await story.app.request("/v1/redemptions", { method: "POST", headers: { authorization: `Bearer ${story.key}`, "scrip-now": String(story.now_ms()) }, body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]) })
  expect(latin.status).toBe(400)
})

test("request_too_large: ten megabytes, announced or not", async () => {
  const text = JSON.stringify({ ...reserveAsk("u", []), padding: "x".repeat(10 * 1024 * 1024) })
  expect(await refused(say("POST", "/v1/redemptions", text))).toEqual([413, "request_too_large"])
  const piece = new TextEncoder().encode("x".repeat(64 * 1024))
  let sent = 0
  const stream = new ReadableStream<Uint8Array>({ pull: (controller) => { if (sent++ < 160) controller.enqueue(piece); else controller.close() } })
  const heard = await story.app.request("/v1/redemptions", { method: "POST", headers: { authorization: `Bearer ${story.key}`, "scrip-now": String(story.now_ms()) }, body: stream })
  expect([heard.status, (await heard.json() as any).code]).toEqual([413, "request_too_large"])
  expect(sent).toBeLessThan(40)
})

// ── Ids of every alphabet ────────────────────────────────────────────────────────────────────────────────────────

const ODD_IDS = [
  "{c0}", "{}", "}{", "{c1}q", "a b", " ", "'; drop table coupons; --", '"quoted"', "back\\slash", "per%cent%00", "slash/slash", "..", "q?a=b#c", "emoji 🧧🎟️", "宝宝", "é", "e\u0301", "👩‍👩‍👧",
  "__proto__", "constructor", "toString", "null", "-1", "0", "1e3", "x".repeat(128), "🧧".repeat(32), "${process.env}", "<script>", "b7", "k12", "*", "+", "(nil)",
]

test("odd ids: each goes through a whole life and comes back as it was sent", async () => {
  for (const odd of ODD_IDS) {
    const at = encodeURIComponent
    // Budgets and campaigns are the shop's own: a run that comes twice must find new ones.
    const tag = fresh("")
    const unique = [...`${odd}${tag}`].length <= 128 && `${odd}${tag}`.length <= 128 ? `${odd}${tag}` : `${odd.slice(0, 128 - tag.length - (odd.length % 2))}${tag}`
    const budget_id = `${unique}`, campaign_id = `${unique}`, user_id = `${unique}`
    expect((await yes(say("PUT", `/v1/budgets/${at(budget_id)}`, { line: odd, month: month(), currency: "CNY", limit_minor: 1_000, party: odd }))).budget_id).toBe(budget_id)
    await yes(say("POST", `/v1/budgets/${at(budget_id)}/additions`, { addition_id: odd, amount_minor: 5 }))
    const { applies_to: _, channels: __, ...body } = campaignBody(budget_id)
    await yes(say("PUT", `/v1/campaigns/${at(campaign_id)}`, { ...body, line: odd, name: odd, stacking: { group: odd } }))
    await yes(say("POST", `/v1/campaigns/${at(campaign_id)}/activate`, {}))
    const { coupon_id, ...issued } = await yes(say("POST", "/v1/coupons", { request_id: odd, campaign_id, user_id, channel: odd, device_id: odd }))
    expect(issued).toMatchObject({ campaign_id, user_id })
    const cart = { currency: "CNY", channel: odd, region: odd, payment_method: odd, device_id: odd, payment_id: odd, address_id: odd, lines: [{ line_id: odd, sku: odd, merchant_id: odd, category: odd, unit_price_minor: 500, quantity: 2 }] }
    const { redemption_id, ...held } = await yes(say("POST", "/v1/redemptions", { order_id: odd, user_id, request_id: odd, order: cart, coupons: [coupon_id] }))
    expect(held).toMatchObject({ order_id: odd, user_id, discount_minor: 100, applied: [{ coupon_id, campaign_id, lines: [{ line_id: odd, discount_minor: 100 }] }] })
    await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
    expect(await yes(say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: odd, lines: [{ line_id: odd, quantity: 1 }] }))).toMatchObject({ refund_id: odd, discount_minor: 50 })
    const listed = await yes(say("GET", `/v1/redemptions?user_id=${at(user_id)}&order_id=${at(odd)}`))
    expect(listed.items.map((item: any) => [item.order_id, item.user_id, item.state])).toEqual([[odd, user_id, "partly_refunded"]])
    expect((await yes(say("GET", `/v1/users/${at(user_id)}/coupons`))).items.map((item: any) => [item.coupon_id, item.campaign_id])).toEqual([[coupon_id, campaign_id]])
    const entries = await yes(say("GET", `/v1/budgets/${at(budget_id)}/entries`))
    expect(entries.items.reduce((sum: number, entry: any) => sum + entry.limit_minor - entry.held_minor - entry.spent_minor, 0)).toBe(1_005 - 50)
  }
}, START_MS_MAX)

test("request_invalid: ids with characters that are not seen, in bodies and in addresses", async () => {
  for (const id of ["a\u0000", "a\nb", "a\r", "\u001b[2J", "\u007f", "\u0085", "\u202egnp", "line\u2028separator", "\u200b", "\ufeff", "\uffff", "x".repeat(129)]) {
    expect([id, ...await refused(say("POST", "/v1/coupons", { ...issueAsk("c", "u"), user_id: id }))]).toEqual([id, 400, "request_invalid"])
    expect([id, ...await refused(say("PUT", `/v1/budgets/${encodeURIComponent(id)}`, { line: "retail", month: month(), currency: "CNY", limit_minor: 1 }))]).toEqual([id, 400, "request_invalid"])
    expect([id, ...await refused(say("GET", `/v1/redemptions?user_id=${encodeURIComponent(id)}&order_id=o`))]).toEqual([id, 400, "request_invalid"])
  }
  for (const path of ["/v1/budgets/%", "/v1/budgets/%ff", "/v1/redemptions/%00", "/v1/coupons/%0a/revoke"]) {
    const { status } = await say(path.endsWith("revoke") ? "POST" : "GET", path, path.endsWith("revoke") ? { reason: "x" } : undefined)
    expect([path, status === 400 || status === 404]).toEqual([path, true])
  }
})

// ── Callers that come twice ──────────────────────────────────────────────────────────────────────────────────────

test("request_conflict: other content under the same id is refused and changes nothing; the first content stays a repeat", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
  const user_id = fresh("user")
  const twice = async (method: string, path: string, body: object, other: object): Promise<any> => {
    const first = await say(method, path, body)
    expect([path, ...await refused(say(method, path, other))]).toEqual([path, 422, "request_conflict"])
    const again = await say(method, path, body)
    expect([again.status === 200 || again.status === 201, again.headers.get("idempotency-hit")]).toEqual([true, "true"])
    if (method === "POST") expect([again.status, again.body]).toEqual([first.status, first.body])
    return first.body
  }
  const put = { line: "retail", month: month(), currency: "CNY", limit_minor: 7 }
  await twice("PUT", `/v1/budgets/${fresh("budget")}`, put, { ...put, limit_minor: 8 })
  await twice("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: "a", amount_minor: 5 }, { addition_id: "a", amount_minor: 6 })
  const issue = issueAsk(campaign_id, user_id)
  const { coupon_id } = await twice("POST", "/v1/coupons", issue, { ...issue, channel: "app" })
  const ask = reserveAsk(user_id, [coupon_id])
  const { redemption_id } = await twice("POST", "/v1/redemptions", ask, { ...ask, order: order(2) })
  await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  const path = `/v1/redemptions/${redemption_id}/refunds`
  await twice("POST", path, { refund_id: "r", lines: "all" }, { refund_id: "r", lines: [{ line_id: "l1", quantity: 1 }] })
  // A conflict is found before anything else is said of the request, also after everything has changed.
  await yes(say("POST", `/v1/campaigns/${campaign_id}/stop`, {}))
  expect(await refused(say("POST", "/v1/coupons", { ...issue, channel: "app" }))).toEqual([422, "request_conflict"])
  expect((await say("POST", "/v1/coupons", issue)).headers.get("idempotency-hit")).toBe("true")
  expect(await refused(say("POST", "/v1/redemptions", { ...ask, coupons: ["nonsense"] }))).toEqual([422, "request_conflict"])
})

test("a default that is named is the same content as one that is not", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
  const path = `/v1/campaigns/${fresh("campaign")}`
  const { hold_at: _, on_refund: __, holdout_bp: ___, ...body } = campaignBody(budget_id)
  await yes(say("PUT", path, body))
  await yes(say("POST", `${path}/activate`, {}))
  for (const named of [{ on_refund: "keep" }, { hold_at: "reserve", refund_policy: "keep", holdout_bp: 0 }, {}]) {
    const again = await say("PUT", path, { ...body, ...named })
    expect([named, again.status, again.headers.get("idempotency-hit")]).toEqual([named, 200, "true"])
  }
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const ask = reserveAsk(user_id, [coupon_id])
  const first = await say("POST", "/v1/redemptions", ask)
  expect(first.status).toBe(201)
  const named = [{ request_id: ask.order_id }, { hold_s: 900 }, { budget_ms: 20 }, { request_id: ask.order_id, hold_s: 900, budget_ms: 20 }, {}]
  for (const each of named) {
    const again = await say("POST", "/v1/redemptions", { ...ask, ...each })
    expect([each, again.status, again.headers.get("idempotency-hit"), again.body]).toEqual([each, 201, "true", first.body])
  }
  for (const other of [{ hold_s: 901 }, { request_id: ask.order_id, hold_s: 899 }, { budget_ms: 21 }]) {
    expect([other, ...await refused(say("POST", "/v1/redemptions", { ...ask, ...other }))]).toEqual([other, 422, "request_conflict"])
  }
})

test("a no of one redemption or one campaign names it", async () => {
  const { campaign_id, budget_id } = await openCampaign(say, story.now_ms(), { per_user: 1 })
  const later = fresh("campaign"), held = fresh("campaign"), user_id = fresh("user")
  await yes(say("PUT", `/v1/campaigns/${later}`, campaignBody(budget_id, { starts_at: new Date(story.now_ms() + 3_600_000).toISOString() })))
  await yes(say("PUT", `/v1/campaigns/${held}`, campaignBody(budget_id, { holdout_bp: 10_000 })))
  for (const each of [later, held]) await yes(say("POST", `/v1/campaigns/${each}/activate`, {}))
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  for (const [campaign, code] of [[campaign_id, "user_limit_reached"], [later, "campaign_not_started"], [held, "held_out"]] as const) {
    expect((await say("POST", "/v1/coupons", issueAsk(campaign, user_id))).body).toMatchObject({ code, campaign_id: campaign })
  }
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id])))
  await yes(say("POST", `/v1/redemptions/${redemption_id}/cancel`, {}))
  const expires_at = new Date(story.now_ms() + 3_600_000).toISOString()
  for (const [verb, body] of [["confirm", {}], ["extend", { expires_at }], ["refunds", { refund_id: "r", lines: "all" }]] as const) {
    expect((await say("POST", `/v1/redemptions/${redemption_id}/${verb}`, body)).body).toMatchObject({ code: "redemption_cancelled", redemption_id })
    expect((await say("POST", `/v1/redemptions/none/${verb}`, body)).body).toMatchObject({ code: "redemption_unknown", redemption_id: "none" })
  }
})

test("the same request twice at once: one is new, the other is its repeat", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms())
  const user_id = fresh("user")
  const both = async (path: string, body: object): Promise<any> => {
    const heard = await Promise.all([say("POST", path, body), say("POST", path, body)])
    expect([path, heard.map(({ headers }) => headers.get("idempotency-hit") ?? "new").toSorted()]).toEqual([path, ["new", "true"]])
    expect(heard[0]!.body).toEqual(heard[1]!.body)
    return yes(Promise.resolve(heard[0]!))
  }
  await both(`/v1/budgets/${budget_id}/additions`, { addition_id: "a", amount_minor: 5 })
  const { coupon_id } = await both("/v1/coupons", issueAsk(campaign_id, user_id))
  const { redemption_id } = await both("/v1/redemptions", reserveAsk(user_id, [coupon_id]))
  await both(`/v1/redemptions/${redemption_id}/confirm`, {})
  await both(`/v1/redemptions/${redemption_id}/refunds`, { refund_id: "r", lines: "all" })
})

test("the redemptions of an order are told page by page, oldest first", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const user_id = fresh("user"), order_id = fresh("order"), made: string[] = []
  for (let i = 0; i < 5; i++) {
    const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
    const { redemption_id } = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [coupon_id]), order_id, request_id: fresh("request") }))
    made.push(redemption_id)
    await yes(say("POST", `/v1/redemptions/${redemption_id}/cancel`, {}))
    story.setNow(story.now_ms() + 1)
  }
  const pages: string[][] = []
  for (let after = ""; ;) {
    const { items, next } = await yes(say("GET", `/v1/redemptions?user_id=${user_id}&order_id=${order_id}&limit=2${after}`))
    pages.push(items.map((item: any) => item.redemption_id))
    if (next === null) break
    after = `&after=${next}`
  }
  expect(pages).toEqual([made.slice(0, 2), made.slice(2, 4), made.slice(4)])
})

test("two users with one order id have an order each", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const order_id = fresh("order"), users = [fresh("user"), fresh("user")]
  const held = await Promise.all(users.map(async (user_id) => {
    const { coupon_id } = await yes(say("POST", "/v1/coupons", { ...issueAsk(campaign_id, user_id), request_id: "the same" }))
    return yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [coupon_id]), order_id }))
  }))
  expect(new Set(held.map(({ redemption_id }) => redemption_id)).size).toBe(2)
  await yes(say("POST", `/v1/redemptions/${held[0].redemption_id}/cancel`, {}))
  expect((await yes(say("GET", `/v1/redemptions/${held[1].redemption_id}`))).state).toBe("reserved")
  for (const [i, user_id] of users.entries()) {
    const { items } = await yes(say("GET", `/v1/redemptions?user_id=${user_id}&order_id=${order_id}`))
    expect(items.map((item: any) => item.redemption_id)).toEqual([held[i].redemption_id])
  }
  // Nobody uses another's coupon.
  expect(await refused(say("POST", "/v1/redemptions", reserveAsk(users[1]!, [held[0].applied[0].coupon_id])))).toEqual([404, "coupon_unknown"])
})

// ── Edges of time and of amounts ─────────────────────────────────────────────────────────────────────────────────

test("windows are half-open: campaign, coupon, hold and month to the millisecond", async () => {
  const starts_ms = story.now_ms() + 60_000, ends_ms = starts_ms + 60_000
  const budget_id = fresh("budget"), campaign_id = fresh("campaign"), user_id = fresh("user")
  await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: month(), currency: "CNY", limit_minor: 10_000 }))
  const { applies_to: _, channels: __, coupon_valid_s: ___, ...body } = campaignBody(budget_id, { starts_at: new Date(starts_ms).toISOString(), ends_at: new Date(ends_ms).toISOString(), per_user: 10 })
  await yes(say("PUT", `/v1/campaigns/${campaign_id}`, body))
  await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`, {}))
  story.setNow(starts_ms - 1)
  expect(await refused(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).toEqual([409, "campaign_not_started"])
  story.setNow(starts_ms)
  const coupons = [(await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id, (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id]
  story.setNow(ends_ms - 1)
  await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const held = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupons[0]], { hold_s: 60 })))
  story.setNow(ends_ms)
  expect(await refused(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).toEqual([409, "campaign_ended"])
  expect(await refused(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupons[1]])))).toEqual([409, "coupon_ended"])
  // The hold outlives the coupon's end, to the last millisecond of its own.
  const expires_ms = Date.parse(held.expires_at)
  expect(expires_ms).toBe(ends_ms - 1 + 60_000)
  story.setNow(expires_ms - 1)
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`, {}))
})

test("redemption_expired: not a millisecond after the end, but late when the money was taken", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 100 })
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const { redemption_id, expires_at } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id], { hold_s: 1 })))
  story.setNow(Date.parse(expires_at))
  const path = `/v1/redemptions/${redemption_id}`
  expect(await refused(say("POST", `${path}/confirm`, {}))).toEqual([409, "redemption_expired"])
  expect(await refused(say("POST", `${path}/cancel`, {}))).toEqual([409, "redemption_expired"])
  expect(await refused(say("POST", `${path}/extend`, { expires_at: new Date(story.now_ms() + 60_000).toISOString() }))).toEqual([409, "redemption_expired"])
  expect((await yes(say("GET", path))).state).toBe("expired")
  await story.sweep()
  // Somebody else has the money now: what is missing is said. Then it is free again, and late is not too late.
  const other = fresh("user")
  const theirs = (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, other)))).coupon_id
  const rival = await yes(say("POST", "/v1/redemptions", reserveAsk(other, [theirs])))
  const { status, body } = await say("POST", `${path}/confirm`, { late: true })
  expect([status, body.code, body.missing !== undefined]).toEqual([409, "redemption_expired", true])
  await yes(say("POST", `/v1/redemptions/${rival.redemption_id}/cancel`, {}))
  expect((await yes(say("POST", `${path}/confirm`, { late: true }))).state).toBe("confirmed")
  expect(await yes(say("GET", `/v1/budgets/${budget_id}`))).toMatchObject({ held_minor: 0, spent_minor: 100, available_minor: 0 })
})

test("confirmed: late, though the coupon has left Redis before its redemption has", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms(), { coupon_valid_s: 1 })
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id], { hold_s: 1 })))
  // Redemptions leave by the hour in which they were settled, a coupon by itself: this one ends at the beginning of an hour.
  story.setNow((Math.floor(story.now_ms() / 3_600_000) + 1) * 3_600_000)
  await story.sweep()
  await story.flush()
  story.setNow(story.now_ms() + story.parts.age_ms + 60_000)
  await story.flush()
  await story.sweep()
  expect((await yes(say("GET", `/v1/users/${user_id}/coupons`))).items.map(({ state }: { state: string }) => state)).toEqual(["ended"])
  expect((await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, { late: true }))).state).toBe("confirmed")
})

test("budget_not_open: may be asked again until the budget's month is over or it is closed, and of a budget by {month} ever", async () => {
  const in_year = monthOf(story.now_ms() + 366 * 86_400_000), kept = fresh("kept"), next = fresh("next")
  for (const [budget_id, its] of [[`${kept}-${month()}`, month()], [next, in_year]] as const) {
    await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: its, currency: "CNY", limit_minor: 1_000 }))
  }
  const user_id = fresh("user")
  const couponOf = async (budget_id: string): Promise<string> => {
    const { campaign_id } = await openCampaign(say, story.now_ms(), { funding: [{ budget_id, share_bp: 10_000 }] })
    return (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id
  }
  const asked = async (coupon_id: string) => {
    const { status, body: { code, retry, detail } } = await say("POST", "/v1/redemptions", reserveAsk(user_id, [coupon_id]))
    return [status, code, retry, detail]
  }
  const [named, monthly, early, none] = [await couponOf(`${kept}-${month()}`), await couponOf(`${kept}-{month}`), await couponOf(next), await couponOf(`${fresh("none")}-{month}`)]
  const budget_id = `${kept}-${month()}`
  await yes(say("POST", `/v1/budgets/${budget_id}/close`, {}))
  expect(await asked(named)).toEqual([409, "budget_not_open", false, `The budget ${budget_id} is closed.`])
  expect(await asked(monthly)).toEqual([409, "budget_not_open", true, `The budget ${budget_id} is closed.`])
  expect(await asked(early)).toEqual([409, "budget_not_open", true, `The budget ${next} is of a month that has not begun.`])
  expect((await asked(none)).slice(0, 3)).toEqual([409, "budget_not_open", true])
  const best = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, []), coupons: "best" }))
  for (const rejected of best.rejected) expect([rejected.code, typeof rejected.detail, "retry" in rejected]).toEqual(["budget_not_open", "string", false])
})

test("budget_not_open: money is first held within its month, and may be spent and given back later", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: 1_000 })
  const user_id = fresh("user")
  const coupons: string[] = []
  for (let i = 0; i < 3; i++) coupons.push((await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id)
  const ends_ms = monthStarts(nextMonth(month()))
  story.setNow(ends_ms - 1)
  const held = await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, [coupons[0]!])))
  story.setNow(ends_ms)
  expect((await say("POST", "/v1/redemptions", reserveAsk(user_id, [coupons[1]!]))).body)
    .toMatchObject({ status: 409, code: "budget_not_open", retry: false, detail: `The budget ${budget_id} is of a month that is over.` })
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/confirm`, {}))
  await yes(say("POST", `/v1/redemptions/${held.redemption_id}/refunds`, { refund_id: "r", lines: "all" }))
  expect(await yes(say("GET", `/v1/budgets/${budget_id}`))).toMatchObject({ held_minor: 0, spent_minor: 0, available_minor: 1_000 })
})

test("refund_exceeds: more than was bought, a line that was not, and nothing after all came back", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { amount_minor: 10 })
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const { redemption_id } = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [coupon_id]), order: order(3) }))
  const path = `/v1/redemptions/${redemption_id}/refunds`
  const back = (refund_id: string, lines: unknown) => say("POST", path, { refund_id, lines })
  expect(await refused(back("a", "all"))).toEqual([409, "redemption_reserved"])
  await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  const { status, body } = await back("a", [{ line_id: "l1", quantity: 4 }])
  expect([status, body.code, JSON.stringify(body).includes('"l1"')]).toEqual([409, "refund_exceeds", true])
  expect(await refused(back("a", [{ line_id: "l2", quantity: 1 }]))).toEqual([409, "refund_exceeds"])
  expect(await refused(back("a", [{ line_id: "l1", quantity: 1 }, { line_id: "l1", quantity: 1 }]))).toEqual([400, "request_invalid"])
  expect(await refused(back("a", []))).toEqual([400, "request_invalid"])
  expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).spent_minor).toBe(10)
  // The first units carry what is left over, and units come back from the last: 3, 3, 4.
  expect((await yes(back("a", [{ line_id: "l1", quantity: 1 }]))).discount_minor).toBe(3)
  expect(await refused(back("b", [{ line_id: "l1", quantity: 3 }]))).toEqual([409, "refund_exceeds"])
  expect((await yes(back("b", [{ line_id: "l1", quantity: 1 }]))).discount_minor).toBe(3)
  expect(await yes(back("c", "all"))).toMatchObject({ discount_minor: 4, state: "refunded" })
  expect(await refused(back("d", "all"))).toEqual([409, "redemption_refunded"])
  expect((await yes(say("GET", `/v1/budgets/${budget_id}`))).spent_minor).toBe(0)
})

test("2^53-1: the largest amounts are exact through a whole life, and one more is refused", async () => {
  const { budget_id, campaign_id } = await openCampaign(say, story.now_ms(), { limit_minor: WHOLE_MAX, amount_minor: WHOLE_MAX })
  expect(await refused(say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: "one", amount_minor: 1 }))).toEqual([409, "limit_too_large"])
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const lines = [{ line_id: "a", sku: "s", unit_price_minor: WHOLE_MAX - 1, quantity: 1 }, { line_id: "b", sku: "s", unit_price_minor: 1, quantity: 1 }]
  const { redemption_id, discount_minor, total_minor, applied } = await yes(say("POST", "/v1/redemptions", { ...reserveAsk(user_id, [coupon_id]), order: { currency: "CNY", lines } }))
  expect([discount_minor, total_minor, applied[0].lines]).toEqual([WHOLE_MAX, 0, [{ line_id: "a", discount_minor: WHOLE_MAX - 1 }, { line_id: "b", discount_minor: 1 }].map((line) => expect.objectContaining(line))])
  expect(await refused(say("POST", `/v1/budgets/${budget_id}/additions`, { addition_id: "cut", amount_minor: -1 }))).toEqual([409, "budget_in_use"])
  await yes(say("POST", `/v1/redemptions/${redemption_id}/confirm`, {}))
  expect(await yes(say("GET", `/v1/budgets/${budget_id}`))).toMatchObject({ limit_minor: WHOLE_MAX, spent_minor: WHOLE_MAX, available_minor: 0 })
  expect((await yes(say("POST", `/v1/redemptions/${redemption_id}/refunds`, { refund_id: "a", lines: [{ line_id: "a", quantity: 1 }] }))).discount_minor).toBe(WHOLE_MAX - 1)
  expect(await yes(say("GET", `/v1/budgets/${budget_id}`))).toMatchObject({ spent_minor: 1, available_minor: WHOLE_MAX - 1 })
})

test("request_invalid: coupons that give more than 2^53-1 together, each of which is exact alone", async () => {
  const gift = { kind: "gift", terms: { sku: "g", unit_price_minor: WHOLE_MAX, quantity: 1 } }, user_id = fresh("user")
  const coupons = await Promise.all([1, 2].map(async () => {
    const budget_id = fresh("budget"), campaign_id = fresh("campaign")
    await yes(say("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month: month(), currency: "CNY", limit_minor: WHOLE_MAX }))
    await yes(say("PUT", `/v1/campaigns/${campaign_id}`, {
      ...gift, line: "retail", name: "Gifts", currency: "CNY", starts_at: new Date(story.now_ms() - 1).toISOString(), ends_at: new Date(story.now_ms() + 60_000).toISOString(),
      stock: 1, per_user: 1, funding: [{ budget_id, share_bp: 10_000 }],
    }))
    await yes(say("POST", `/v1/campaigns/${campaign_id}/activate`))
    return (await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))).coupon_id as string
  }))
  const two = { status: 400, code: "request_invalid", detail: "coupons give more than 2^53-1 together." }
  for (const wish of [coupons, "best"]) {
    expect((await say("POST", "/v1/quotes", { user_id, order: order(), coupons: wish })).body).toMatchObject({ ...two, field: "coupons" })
    expect((await say("POST", "/v1/redemptions", { ...reserveAsk(user_id, []), coupons: wish })).body).toMatchObject({ ...two, field: "coupons" })
  }
  const drafts = ["a", "b"].map((campaign_id) => ({ campaign_id, ...gift }))
  expect((await say("POST", "/v1/quotes", { order: order(), drafts })).body).toMatchObject({ status: 400, field: "drafts" })
  expect(await yes(say("POST", "/v1/redemptions", reserveAsk(user_id, coupons.slice(0, 1))))).toMatchObject({ benefit_minor: WHOLE_MAX, cost_minor: WHOLE_MAX })
})

test("extend: only forward, and at most 7 days after the reserve", async () => {
  const { redemption_id, expires_at } = await yes(say("POST", "/v1/redemptions", reserveAsk(fresh("user"), [])))
  const reserved_ms = story.now_ms()
  const to = (at_ms: number) => say("POST", `/v1/redemptions/${redemption_id}/extend`, { expires_at: new Date(at_ms).toISOString() })
  expect(await refused(to(Date.parse(expires_at) - 1))).toEqual([409, "expires_too_early"])
  expect(await refused(to(reserved_ms + 7 * 86_400_000 + 1))).toEqual([409, "expires_too_late"])
  expect((await yes(to(reserved_ms + 7 * 86_400_000))).expires_at).toBe(new Date(reserved_ms + 7 * 86_400_000).toISOString())
  expect((await to(reserved_ms + 7 * 86_400_000)).headers.get("idempotency-hit")).toBe("true")
})

// ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test("key_missing, key_unknown, scope_missing: who may do what, and a line sees only its own coupons", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const user_id = fresh("user")
  const { coupon_id } = await yes(say("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
  const keyOf = async (scopes: string[], lines: string[]): Promise<{ key_id: string; key: string }> => yes(say("POST", "/v1/keys", { name: "a story", scopes, lines }))
  const ask = reserveAsk(user_id, [coupon_id])
  const as = (key: string) => story.call("POST", "/v1/redemptions", ask, { key })
  expect(await refused(as(""))).toEqual([401, "key_missing"])
  expect(await refused(as("nobody"))).toEqual([401, "key_unknown"])
  expect(await refused(as((await keyOf(["issue", "read", "operate"], ["*"])).key))).toEqual([403, "scope_missing"])
  const stranger = (await keyOf(["checkout"], ["wealth"])).key
  expect(await refused(as(stranger))).toEqual([404, "coupon_unknown"])
  expect((await yes(story.call("POST", "/v1/quotes", { user_id, order: order(), coupons: "best" }, { key: stranger }))).applied).toEqual([])
  const till = await keyOf(["checkout"], ["retail"])
  const { redemption_id } = await yes(as(till.key))
  // The money and the goods know no line.
  await yes(story.call("POST", `/v1/redemptions/${redemption_id}/confirm`, {}, { key: stranger }))
  expect(await refused(story.call("PUT", `/v1/budgets/${fresh("budget")}`, { line: "retail", month: month(), currency: "CNY", limit_minor: 1 }, { key: (await keyOf(["operate"], ["wealth"])).key }))).toEqual([403, "scope_missing"])
  await yes(say("DELETE", `/v1/keys/${till.key_id}`))
  story.setNow(story.now_ms() + 5_000)
  // A key that was known is believed while Postgres takes long to say otherwise.
  await until("the revoked key is refused", async () => (await as(till.key)).status === 401)
  expect(await refused(as(till.key))).toEqual([401, "key_unknown"])
}, START_MS_MAX)

// ── Bulk ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test("bulk: a stream that is cut in the middle of a line leaves what was whole, once", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms(), { per_user: 1_000 })
  const user_id = fresh("user")
  const asks = Array.from({ length: 40 }, (_, i) => issueAsk(campaign_id, user_id, `line ${i}`))
  const text = asks.map((ask) => JSON.stringify(ask)).join("\n")
  const cut = text.slice(0, text.indexOf('"line 25"') + 4)
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => story.app.fetch(request) })
  try {
    // Over a real connection: the head, a first piece of the body, and then the caller is gone.
    let isClosed = false
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: server.port!, socket: { data: () => {}, close: () => { isClosed = true }, error: () => {} } })
    const bytes = Buffer.from(cut)
    socket.write(`POST /v1/coupons/bulk HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${story.key}\r\nscrip-now: ${story.now_ms()}\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${bytes.length.toString(16)}\r\n`)
    socket.write(bytes)
    socket.write("\r\n")
    socket.flush()
    const issued = async () => (await yes(say("GET", `/v1/users/${user_id}/coupons?limit=1000`))).items.length as number
    await until("every whole line is issued", async () => await issued() === 25)
    socket.terminate()
    await until("the connection is closed", () => isClosed)
    expect(await issued()).toBe(25)
    // The whole call again: what happened is a repeat, the rest is new, and every line has its answer in its order.
    const again = await story.app.request("/v1/coupons/bulk", {
      method: "POST", headers: { authorization: `Bearer ${story.key}`, "scrip-now": String(story.now_ms()), "content-type": "application/x-ndjson" }, body: text,
    })
    const answers = (await again.text()).trim().split("\n").map((line) => JSON.parse(line))
    expect(answers.map(({ status, idempotency_hit }) => [status, idempotency_hit === true])).toEqual(asks.map((_, i) => [201, i < 25]))
    expect(await issued()).toBe(40)
  } finally {
    await server.stop(true)
  }
}, START_MS_MAX)

test("bulk: a bad line is answered where it stands and stops nothing", async () => {
  const { campaign_id } = await openCampaign(say, story.now_ms())
  const user_id = fresh("user")
  const lines = [
    JSON.stringify(issueAsk(campaign_id, user_id)), "{", "[]", JSON.stringify({ ...issueAsk(campaign_id, user_id), surprise: 1 }), JSON.stringify({ ...issueAsk(campaign_id, user_id), user_id: 7 }),
    JSON.stringify(issueAsk("none", user_id)), `"${"x".repeat(20_000)}"`, JSON.stringify(issueAsk(campaign_id, user_id)),
  ]
  const heard = await story.app.request("/v1/coupons/bulk", {
    method: "POST", headers: { authorization: `Bearer ${story.key}`, "scrip-now": String(story.now_ms()), "content-type": "application/x-ndjson" }, body: lines.join("\n"),
  })
  const answers = (await heard.text()).trim().split("\n").map((line) => JSON.parse(line))
  expect(answers.map(({ status }) => status)).toEqual([201, 400, 400, 400, 400, 404, 413, 201])
  // What is too long is told of the line, in all that is said of it.
  expect([answers[6].bytes_max, JSON.stringify(answers[6]).includes("MiB")]).toEqual([16 * 1024, false])
})

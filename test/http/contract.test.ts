/**
 * Every operation of the contract, asked of a whole engine: what it really answers is what openapi.json says.
 */
import { beforeAll, describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { OPERATIONS } from "../../engine/contract/operations.ts"
import { levelsLoaded, publishLevels } from "../levels/published.ts"
import { brokenContract, operationOf } from "../support/contract.ts"
import { type Call, openShop, type Shop } from "../support/shop.ts"

const ME = randomBytes(6).toString("hex")
const mine = (name: string) => `${name}-${ME}`
const asked = new Set<string>()

let shop: Shop
/** The servers of a run start once, and slowly on a busy machine. */
const START_MS_MAX = 120_000
beforeAll(async () => { shop = await openShop() }, START_MS_MAX)

/** Call, and hold the answer to the contract. */
const call = async (method: string, path: string, body?: unknown, how?: Call) => {
  const answer = await shop.call(method, path, body, how)
  expect(brokenContract(method, path, answer.status, answer.body)).toBeUndefined()
  asked.add(operationOf(method, path)!.name)
  return answer
}
/** The status and the word of an answer. */
const told = ({ status, body, headers }: Awaited<ReturnType<typeof call>>) => [status, body.code ?? body.state, headers.get("idempotency-hit") ?? "first"]

const order = (quantity = 2) => ({ currency: "CNY", channel: "app", shipping_minor: 500, lines: [{ line_id: "1", sku: "shoe", category: "shoes", unit_price_minor: 15_000, quantity }] })
const campaign = (more: object = {}) => ({
  line: "retail", name: "Autumn", currency: "CNY", kind: "amount_off", terms: { amount_minor: 3000 }, threshold_minor: 20_000,
  starts_at: "2026-06-01T00:00:00Z", ends_at: "2026-07-01T00:00:00Z", stock: 10, per_user: 2, hold_at: "reserve", on_refund: "keep",
  funding: [{ budget_id: mine("retail-{month}"), share_bp: 10_000 }], stacking: {}, ...more,
})
const budget = mine("retail-2026-06")
const issue = async (user: string, campaign_id = mine("c"), request_id = randomBytes(6).toString("hex")) => call("POST", "/v1/coupons", { request_id, campaign_id, user_id: user })
const reserve = (user: string, order_id: string, more: object = {}) => call("POST", "/v1/redemptions", { order_id, user_id: user, order: order(), coupons: "best", ...more })

describe("every operation answers what it documents", () => {
  test("budgets", async () => {
    const body = { line: "retail", month: "2026-06", currency: "CNY", limit_minor: 1_000_000 }
    expect(told(await call("PUT", `/v1/budgets/${budget}`, body)).slice(0, 1)).toEqual([201])
    expect(told(await call("PUT", `/v1/budgets/${budget}`, body))).toEqual([200, undefined, "true"])
    expect(told(await call("PUT", `/v1/budgets/${budget}`, { ...body, limit_minor: 1 }))).toEqual([422, "request_conflict", "first"])
    const first = (await call("PUT", `/v1/budgets/${budget}`, body)).body
    for (const hit of ["first", "true"]) expect(told(await call("POST", `/v1/budgets/${budget}/additions`, { addition_id: "more", amount_minor: 5 }))).toEqual([201, undefined, hit])
    expect(told(await call("POST", `/v1/budgets/${budget}/additions`, { addition_id: "less", amount_minor: -2_000_000 }))).toEqual([409, "budget_in_use", "first"])
    expect((await call("GET", `/v1/budgets/${budget}`)).body).toMatchObject({ limit_minor: 1_000_005, held_minor: 0, spent_minor: 0, available_minor: 1_000_005, party: "retail" })
    // A repeat says what the first answer said.
    expect((await call("PUT", `/v1/budgets/${budget}`, body)).body).toEqual(first)
    expect(first).toMatchObject({ limit_minor: 1_000_000, held_minor: 0, spent_minor: 0, available_minor: 1_000_000 })
    const page = (await call("GET", `/v1/budgets/${budget}/entries?limit=1`)).body
    expect((await call("GET", `/v1/budgets/${budget}/entries?after=${encodeURIComponent(page.next)}`)).body.items.length).toBeGreaterThan(0)
    for (const path of [`/v1/budgets/${mine("none")}`, `/v1/budgets/${mine("none")}/entries`]) expect(told(await call("GET", path))).toEqual([404, "budget_unknown", "first"])
    const closing = mine("closing")
    await call("PUT", `/v1/budgets/${closing}`, body)
    const addition = { addition_id: "in time", amount_minor: 1 }
    expect(told(await call("POST", `/v1/budgets/${closing}/additions`, addition))).toEqual([201, undefined, "first"])
    for (const hit of ["first", "true"]) expect(told(await call("POST", `/v1/budgets/${closing}/close`))).toEqual([200, "closed", hit])
    expect(told(await call("POST", `/v1/budgets/${closing}/additions`, addition))).toEqual([201, undefined, "true"])
    expect(told(await call("POST", `/v1/budgets/${closing}/additions`, { ...addition, amount_minor: 2 }))).toEqual([422, "request_conflict", "first"])
    expect(told(await call("POST", `/v1/budgets/${closing}/additions`, { addition_id: "late", amount_minor: 1 }))).toEqual([409, "budget_closed", "first"])
  })

  test("campaigns", async () => {
    const path = `/v1/campaigns/${mine("c")}`
    expect(told(await call("GET", path))).toEqual([404, "campaign_unknown", "first"])
    expect(told(await call("PUT", path, campaign()))).toEqual([201, "draft", "first"])
    expect(told(await call("PUT", path, campaign()))).toEqual([200, "draft", "true"])
    expect(told(await call("PUT", path, campaign({ name: "Autumn 2" })))).toEqual([200, "draft", "first"])
    expect(told(await call("POST", `${path}/pause`))).toEqual([409, "campaign_draft", "first"])
    expect(told(await call("POST", `${path}/activate`, {}))).toEqual([200, "live", "first"])
    expect((await call("PUT", path, campaign({ name: "Autumn 2" }))).body).toMatchObject({ name: "Autumn 2", state: "draft", version: 2 })
    expect((await call("PUT", path, campaign({ name: "Autumn 3" }))).body).toMatchObject({ state: "live", version: 4 })
    const again = await call("PUT", path, campaign({ name: "Autumn 3" }))
    expect([...told(again), again.body.version]).toEqual([200, "live", "true", 4])
    expect(told(await call("PUT", path, campaign({ terms: { amount_minor: 1 } })))).toEqual([409, "campaign_live", "first"])
    expect(told(await call("POST", `${path}/pause`))).toEqual([200, "paused", "first"])
    expect(told(await call("POST", `${path}/activate`))).toEqual([200, "live", "first"])
    expect((await call("GET", path)).body).toMatchObject({ state: "live", issued: 0, revoked: 0, reserved: 0, redeemed: 0 })
    const other = `/v1/campaigns/${mine("stopping")}`
    await call("PUT", other, campaign())
    await call("POST", `${other}/activate`)
    expect(told(await call("POST", `${other}/stop`))).toEqual([200, "stopped", "first"])
    expect(told(await call("POST", `${other}/activate`))).toEqual([409, "campaign_stopped", "first"])
  })

  test("campaign_not_live: may be asked again of a draft and a paused campaign, and never of a stopped one", async () => {
    const path = `/v1/campaigns/${mine("not live")}`
    const asked = async () => {
      const { status, body } = await issue(mine("u not live"), mine("not live"))
      return [status, body.code, body.retry, body.campaign_id, body.state]
    }
    await call("PUT", path, campaign())
    expect(await asked()).toEqual([409, "campaign_not_live", true, mine("not live"), "draft"])
    for (const [verb, retry, state] of [["pause", true, "paused"], ["stop", false, "stopped"]] as const) {
      await call("POST", `${path}/activate`)
      await call("POST", `${path}/${verb}`)
      expect([verb, ...await asked()]).toEqual([verb, 409, "campaign_not_live", retry, mine("not live"), state])
    }
  })

  test("coupons", async () => {
    const user = mine("u coupons 😀")
    const first = await issue(user, mine("c"), "r1")
    expect(told(first)).toEqual([201, "issued", "first"])
    expect(await issue(user, mine("c"), "r1")).toMatchObject({ status: 201, body: first.body })
    expect(told(await issue(user, mine("none")))).toEqual([404, "campaign_unknown", "first"])
    await issue(user)
    expect(told(await issue(user))).toEqual([409, "user_limit_reached", "first"])
    const { coupon_id } = first.body
    for (const hit of ["first", "true"]) expect(told(await call("POST", `/v1/coupons/${coupon_id}/revoke`, { reason: "by mistake" }))).toEqual([200, "revoked", hit])
    expect(told(await call("POST", `/v1/coupons/${coupon_id}/revoke`, { reason: "for another reason" }))).toEqual([422, "request_conflict", "first"])
    expect(told(await call("POST", "/v1/coupons/none/revoke", { reason: "x" }))).toEqual([404, "coupon_unknown", "first"])
    expect((await call("GET", `/v1/campaigns/${mine("c")}`)).body).toMatchObject({ issued: 2, revoked: 1 })
    const { items } = (await call("GET", `/v1/users/${encodeURIComponent(user)}/coupons?state=revoked`)).body
    expect(items.map((item: { coupon_id: string }) => item.coupon_id)).toEqual([coupon_id])
    const bulk = await shop.app.request("/v1/coupons/bulk", {
      method: "POST", headers: { authorization: `Bearer ${shop.key}`, "scrip-now": String(shop.clock.now_ms()) },
      body: ["b1", "b2"].map((request_id) => JSON.stringify({ request_id, campaign_id: mine("c"), user_id: mine("u bulk") })).join("\n"),
    })
    asked.add("issue_bulk")
    const lines = (await bulk.text()).trim().split("\n").map((line) => JSON.parse(line) as { status: number })
    expect(lines.map(({ status }) => status)).toEqual([201, 201])
    for (const { line: _, status, ...body } of lines as { line?: number; status: number }[]) expect(brokenContract("POST", "/v1/coupons", status, body)).toBeUndefined()
  })

  test("checkout", async () => {
    const user = mine("u checkout")
    const { coupon_id } = (await issue(user)).body
    expect((await call("POST", "/v1/quotes", { user_id: user, order: order(), coupons: "best" })).body).toMatchObject({ discount_minor: 3000, total_minor: 27_500 })
    expect((await call("POST", "/v1/quotes", { user_id: user, order: order(1), coupons: [coupon_id, "none"] })).body.rejected).toHaveLength(2)
    const held = await reserve(user, "o1", { coupons: [coupon_id] })
    expect(told(held)).toEqual([201, "reserved", "first"])
    expect(told(await reserve(user, "o1", { coupons: [coupon_id] }))).toEqual([201, "reserved", "true"])
    expect(told(await reserve(user, "o2", { coupons: [coupon_id] }))).toEqual([409, "coupon_reserved", "first"])
    expect(told(await reserve(user, "o2", { coupons: ["none"] }))).toEqual([404, "coupon_unknown", "first"])
    expect(told(await reserve(user, "o2"))).toEqual([201, "reserved", "first"])
    const path = `/v1/redemptions/${held.body.redemption_id}`
    expect(told(await call("POST", `${path}/extend`, { expires_at: "2026-06-15T13:00:00Z" })).slice(0, 2)).toEqual([200, "reserved"])
    expect(told(await call("POST", `${path}/extend`, { expires_at: "2026-06-15T12:30:00Z" })).slice(0, 2)).toEqual([409, "expires_too_early"])
    expect(told(await call("POST", `${path}/extend`, { expires_at: "2026-07-15T12:30:00Z" })).slice(0, 2)).toEqual([409, "expires_too_late"])
    expect(told(await call("POST", `${path}/refunds`, { refund_id: "f", lines: "all" })).slice(0, 2)).toEqual([409, "redemption_reserved"])
    for (const hit of ["first", "true"]) expect(told(await call("POST", `${path}/confirm`))).toEqual([200, "confirmed", hit])
    expect(told(await call("POST", `${path}/cancel`))).toEqual([409, "redemption_confirmed", "first"])
    expect(told(await reserve(user, "o1", { request_id: "again" }))).toEqual([409, "redemption_confirmed", "first"])
    expect(told(await call("POST", `${path}/refunds`, { refund_id: "f0", lines: [{ line_id: "1", quantity: 3 }] })).slice(0, 2)).toEqual([409, "refund_exceeds"])
    for (const hit of ["first", "true"]) expect(told(await call("POST", `${path}/refunds`, { refund_id: "f1", lines: [{ line_id: "1", quantity: 1 }] }))).toEqual([201, "partly_refunded", hit])
    expect(told(await call("POST", `${path}/refunds`, { refund_id: "f2", lines: "all" }))).toEqual([201, "refunded", "first"])
    expect((await call("GET", path)).body.refunds).toHaveLength(2)
    expect((await call("GET", `/v1/redemptions?user_id=${encodeURIComponent(user)}&order_id=o1`)).body.items).toHaveLength(1)
    expect(told(await call("GET", "/v1/redemptions/none"))).toEqual([404, "redemption_unknown", "first"])
    const empty = await reserve(user, "o3")
    for (const hit of ["first", "true"]) expect(told(await call("POST", `/v1/redemptions/${empty.body.redemption_id}/cancel`, {}))).toEqual([200, "cancelled", hit])
    expect(told(await call("POST", `/v1/redemptions/${empty.body.redemption_id}/confirm`))).toEqual([409, "redemption_cancelled", "first"])
  })

  test("request_invalid: no list goes on after what none of its pages has ended with", async () => {
    const at = encodeURIComponent, user = mine("u pages"), other = mine("u other pages")
    const foreign = (await issue(other)).body.coupon_id
    const { redemption_id } = (await reserve(other, "o1")).body
    const lists: [path: string, ...after: string[]][] = [
      [`/v1/users/${at(user)}/coupons?`, "nowhere", foreign], [`/v1/redemptions?user_id=${at(user)}&order_id=o1&`, "nowhere", redemption_id],
      [`/v1/redemptions?user_id=${at(other)}&order_id=o2&`, redemption_id, `${redemption_id.slice(0, -12)}AAAAAAAAAAAA`],
      [`/v1/campaigns/${mine("c")}/codes?`, "nowhere", "-1", "1.5"], [`/v1/budgets/${budget}/entries?`, "nowhere", "5", "1-2-3", "1-2-3-4-5", "-1-2-3-4"],
      ["/v1/runs?", "nowhere", "1", "1-"], ["/v1/reports?", "nowhere"], ["/v1/events?", "x"],
    ]
    for (const [path, ...all] of lists) for (const after of all) {
      const { status, body } = await call("GET", `${path}after=${at(after)}`)
      expect([path, after, status, body.code, body.field]).toEqual([path, after, 400, "request_invalid", "after"])
    }
    await call("POST", `/v1/redemptions/${redemption_id}/cancel`, {})
  })

  test("events", async () => {
    const { items, next } = (await call("GET", "/v1/events?limit=3")).body
    expect([items.length, typeof next]).toEqual([3, "string"])
    expect((await call("GET", `/v1/events?limit=1000&after=${next}`)).body.items.map(({ event_id }: { event_id: string }) => event_id)).not.toContain(items[0].event_id)
  })

  test("reports", async () => {
    expect((await call("GET", "/v1/reports?limit=1")).body).toMatchObject({ items: expect.any(Array) })
    expect(told(await call("GET", "/v1/reports/badges/1999-01"))).toEqual([404, "report_unknown", "first"])
  })

  test("runs and books", async () => {
    const asked = await call("POST", "/v1/runs", { job: "reconciliation", period: "1999-01", set: mine("set").replaceAll(/[^A-Za-z0-9]/g, "-") })
    expect(asked.status).toBe(202)
    const run = `/v1/runs/${asked.body.run_id}`
    expect((await call("GET", run)).body).toMatchObject({ job: "reconciliation", period: "1999-01", state: "requested" })
    expect((await call("GET", "/v1/runs?job=reconciliation&period=1999-01")).body.items.map(({ run_id }: { run_id: string }) => run_id)).toContain(asked.body.run_id)
    expect(told(await call("POST", "/v1/runs", { job: "nothing", period: "1999-01" }))).toEqual([400, "request_invalid", "first"])
    expect(told(await call("POST", "/v1/runs", { job: "risk", period: "2026-02-30" }))).toEqual([400, "request_invalid", "first"])
    expect(told(await call("POST", `${run}/publish`))).toEqual([409, "run_not_publishable", "first"])
    expect(told(await call("POST", `${run}/rollback`))).toEqual([409, "run_not_published", "first"])
    expect((await call("GET", `${run}/diff`)).body).toMatchObject({ run_id: asked.body.run_id, against: null })
    for (const path of ["/v1/runs/none", "/v1/reconciliation/1999-01", "/v1/reconciliation/1999-01/keys"]) expect(told(await call("GET", path))).toEqual([404, "run_unknown", "first"])
    expect(told(await call("POST", "/v1/reconciliation/1999-01/close"))).toEqual([404, "run_unknown", "first"])
  })

  test("badges", async () => {
    const [badge, user] = [mine("badge"), mine("u badges")]
    const path = `/v1/badges/${badge}`
    const rules = (campaign_id = mine("c"), campaign_level = 1) => ({
      line: "wealth", name: "Wealth", effective_month: "2026-05", fields: { score: { type: "integer" } },
      levels: [{ level: 1, name: "Silver", when: { field: "score", op: ">=", value: "120" } }], rights: [{ level: campaign_level, campaign_id, claim: "activate" }],
    })
    expect(told(await call("GET", path))).toEqual([404, "badge_unknown", "first"])
    expect(told(await call("PUT", path, rules(mine("c"), 2)))).toEqual([400, "request_invalid", "first"])
    for (const hit of ["first", "true"]) expect(told(await call("PUT", path, rules()))).toEqual([201, "draft", hit])
    for (const hit of ["first", "true"]) expect(told(await call("POST", `${path}/activate`, { version: 1 }))).toEqual([200, "active", hit])
    expect((await call("GET", path)).body).toMatchObject({ version: 1, active_version: 1, ...rules() })
    expect(told(await call("PUT", path, { ...rules(), levels: [{ level: 1, name: "Self", when: { badge, op: ">=", level: 1 } }] }))).toEqual([409, "badge_cycle", "first"])
    expect(told(await call("POST", `/v1/users/${encodeURIComponent(user)}/badges/${badge}/activate`))).toEqual([409, "badge_not_held", "first"])
    await publishLevels(shop.parts.postgres.sql, "2026-05", [{ badge_id: badge, version: 1 }], new Map([[user, [{ badge: 0, level: 1, age: 0 }]]]))
    await levelsLoaded(shop.parts, shop.clock.now_ms())
    const claim = `/v1/users/${encodeURIComponent(user)}/badges`
    expect((await call("GET", claim)).body.badges).toMatchObject([{ badge_id: badge, level: 1, active: false }])
    for (const hit of ["first", "true"]) expect(told(await call("POST", `${claim}/${badge}/activate`))).toEqual([200, undefined, hit])
    expect((await call("GET", claim)).body.badges).toMatchObject([{ badge_id: badge, level: 1, active: true }])
  })

  test("codes", async () => {
    const path = `/v1/campaigns/${mine("c")}/codes`, batch_id = mine("batch"), user = mine("u codes")
    const stream = async (place: string, body: string) => (await (await shop.app.request(`${path}${place}`, {
      method: "POST", headers: { authorization: `Bearer ${shop.key}`, "scrip-now": String(shop.clock.now_ms()) }, body,
    })).text()).trim().split("\n").map((line) => JSON.parse(line))
    const [{ code }, end] = await stream("", JSON.stringify({ batch_id, count: 1 }))
    asked.add("generate_codes")
    expect([code, end]).toEqual([expect.stringMatching(/^([2-9A-HJ-NP-Z]{4}-?){4}$/), { codes: 1 }])
    expect(await stream(`/import?batch_id=${mine("partner")}`, JSON.stringify({ code: mine("P 1") }))).toMatchObject([{ line: 1, status: 201 }])
    asked.add("import_codes")
    expect((await stream("/import", "{}"))[0]).toMatchObject({ code: "request_invalid", field: "batch_id" })
    const claim = (text: string, request_id = "r1") => call("POST", "/v1/codes/claim", { request_id, code: text, user_id: user })
    for (const hit of ["first", "true"]) expect(told(await claim(code))).toEqual([201, "issued", hit])
    expect(told(await claim("nobody's", "r2"))).toEqual([404, "code_invalid", "first"])
    const open = mine("OPEN")
    expect(told(await call("PUT", path, { code: open, limit: 1 }))).toEqual([201, "live", "first"])
    expect(told(await call("PUT", path, { code: open, limit: 2 }))).toEqual([200, "live", "first"])
    expect(told(await call("PUT", path, { code: open, limit: 2 }))).toEqual([200, "live", "true"])
    expect((await call("GET", path)).body.items).toHaveLength(3)
    for (const hit of ["first", "true"]) expect(told(await call("POST", `${path}/revoke`, { batch_id }))).toEqual([200, "revoked", hit])
    expect(told(await call("POST", `${path}/revoke`, { code: "none" }))).toEqual([404, "code_unknown", "first"])
  })

  test("checkout discounts", async () => {
    const path = `/v1/campaigns/${mine("c")}/codes`, code = mine("UCP")
    await call("PUT", path, { code, limit: 1 })
    const body = { user_id: mine("u ucp"), currency: "CNY", line_items: [{ id: "1", item: { id: "shoe", price: 15_000 }, quantity: 2 }], discounts: { codes: [code, "none"] } }
    const answer = await call("POST", "/v1/checkout/discounts", body)
    expect([answer.status, answer.body.discounts.applied.length, answer.body.messages.length]).toEqual([200, 1, 1])
    expect(told(await call("POST", "/v1/checkout/discounts", { ...body, line_items: [...body.line_items, ...body.line_items] }))).toEqual([400, "request_invalid", "first"])
  })

  test("risk", async () => {
    expect(told(await call("GET", "/v1/risk/top?dimension=sku&day=2020-01-01"))).toEqual([404, "run_unknown", "first"])
    expect(told(await call("GET", "/v1/risk/top?dimension=sku&day=2020-02-30"))).toEqual([400, "request_invalid", "first"])
  })

  test("keys", async () => {
    const made = await call("POST", "/v1/keys", { name: "checkout", scopes: ["checkout"], lines: ["retail"] })
    expect(made.status).toBe(201)
    expect(told(await call("POST", "/v1/keys", { name: "x", scopes: ["read"], lines: [] }, { key: made.body.key }))).toEqual([403, "scope_missing", "first"])
    for (const hit of ["first", "true"]) expect(told(await call("DELETE", `/v1/keys/${made.body.key_id}`))).toEqual([200, "revoked", hit])
    expect(told(await call("DELETE", "/v1/keys/none"))).toEqual([404, "key_id_unknown", "first"])
    expect(told(await call("GET", `/v1/budgets/${budget}`, undefined, { key: "" }))).toEqual([401, "key_missing", "first"])
  })

  test("and every operation there is was asked", () => {
    expect([...asked].toSorted()).toEqual(OPERATIONS.map(({ name }) => name).toSorted())
  })
})

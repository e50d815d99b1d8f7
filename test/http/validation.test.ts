/**
 * Every way to break the contract is a 400 that names the field; what keeps it reaches the use case as it was sent.
 */
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { OPERATIONS } from "../../engine/contract/operations.ts"
import { smallApp, threeLines } from "./small_app.ts"

const MAX = Number.MAX_SAFE_INTEGER
const campaign = () => ({
  line: "retail", name: "Autumn", currency: "CNY", kind: "amount_off", terms: { amount_minor: 3000 } as object, threshold_minor: 20000,
  starts_at: "2026-11-01T00:00:00Z", ends_at: "2026-12-01T00:00:00Z", stock: 10, per_user: 1, hold_at: "reserve", on_refund: "keep",
  funding: [{ budget_id: "retail-{month}", share_bp: 10000 }],
})
const budget = () => ({ line: "retail", month: "2026-11", currency: "CNY", limit_minor: 100 })
const lineOf = (change: object, place = 1) => {
  const body = threeLines()
  return { order: { ...body.order, lines: body.order.lines.map((line, each) => each === place ? { ...line, ...change } : line) } }
}
const thousandLines = (count: number) => ({ order: { currency: "CNY", lines: Array.from({ length: count }, (_, i) => ({ line_id: `${i}`, sku: "s", unit_price_minor: 1, quantity: 1 })) } })

const { ask, calls } = smallApp()
const refused = async (method: string, path: string, body?: unknown) => {
  const response = await ask(method, path, body)
  expect(response.headers.get("content-type")).toBe("application/problem+json")
  const said = await response.json() as { code: string; field: string; detail: string; retry: boolean }
  expect([response.status, said.code, said.retry]).toEqual([400, "request_invalid", false])
  expect(said.detail).toEndWith(".")
  return said.field
}

describe("request_invalid: an order", () => {
  const cases: [string, object][] = [
    ["zz", { zz: 1 }], ["order_id", { order_id: undefined }], ["order_id", { order_id: "" }], ["order_id", { order_id: 7 }],
    ["user_id", { user_id: "a\u0000b" }], ["user_id", { user_id: "a\u007f" }], ["user_id", { user_id: "\ud800" }], ["user_id", { user_id: "x".repeat(129) }],
    ["request_id", { request_id: null }], ["hold_s", { hold_s: 0 }], ["hold_s", { hold_s: 86_401 }], ["hold_s", { hold_s: 1.5 }], ["hold_s", { hold_s: "900" }],
    ["coupons", { coupons: "all" }], ["coupons", { coupons: undefined }], ["coupons[1]", { coupons: ["a", ""] }], ["coupons[1]", { coupons: ["a", "a"] }], ["coupons[0]", { coupons: [1] }],
    ["coupons", { coupons: Array.from({ length: 101 }, (_, i) => `c${i}`) }],
    ["order", { order: undefined }], ["order", { order: [] }], ["order.currency", { order: { ...threeLines().order, currency: "cny" } }],
    ["order.shipping_minor", { order: { ...threeLines().order, shipping_minor: -1 } }], ["order.lines", { order: { currency: "CNY" } }], ["order.lines", thousandLines(501)],
    ["order.lines[1].quantity", lineOf({ quantity: 0 })], ["order.lines[1].quantity", lineOf({ quantity: 1.5 })], ["order.lines[1].quantity", lineOf({ quantity: MAX + 1 })],
    ["order.lines[1].quantity", lineOf({ unit_price_minor: MAX, quantity: 2 })], ["order.lines[1].unit_price_minor", lineOf({ unit_price_minor: MAX, quantity: 1 })],
    ["order.lines[1].unit_price_minor", lineOf({ unit_price_minor: -1 })], ["order.lines[1].unit_price_minor", lineOf({ unit_price_minor: "1" })],
    ["order.lines[2].line_id", lineOf({ line_id: "2" }, 2)], ["order.lines[1].sku", lineOf({ sku: undefined })], ["order.lines[1].price", lineOf({ price: 1 })],
  ]
  for (const [field, change] of cases) {
    test(`${field}: ${JSON.stringify(change).slice(0, 70)}`, async () => expect(await refused("POST", "/v1/redemptions", { ...threeLines(), ...change })).toBe(field))
  }
})

describe("request_invalid: a campaign", () => {
  const cases: [string, object][] = [
    ["campaign_id", { campaign_id: "c" }], ["kind", { kind: "gold" }], ["terms.amount_minor", { terms: {} }], ["terms.amount_minor", { terms: { amount_minor: 0 } }],
    ["terms.gold", { terms: { amount_minor: 1, gold: 1 } }], ["terms", { terms: [] }], ["terms.max_units", { terms: { amount_minor: 1, max_units: 1 } }], ["terms.percent_bp", { kind: "percent_off", terms: { percent_bp: 10_001 } }],
    ["ends_at", { ends_at: "2026-11-01T00:00:00Z" }], ["starts_at", { starts_at: "2026-02-30T00:00:00Z" }], ["starts_at", { starts_at: "2026-11-01T00:00:00+08:00" }], ["starts_at", { starts_at: 0 }],
    ["starts_at", { starts_at: "1969-12-31T23:59:59Z" }], ["ends_at", { ends_at: "2026-12-01" }],
    ["funding", { funding: [] }], ["funding", { funding: [{ budget_id: "a", share_bp: 9999 }] }], ["funding[0].share_bp", { funding: [{ budget_id: "a", share_bp: 10_001 }] }],
    ["funding[1].budget_id", { funding: [{ budget_id: "a", share_bp: 5000 }, { budget_id: "a", share_bp: 5000 }] }],
    ["terms", { hold_at: "issue", kind: "percent_off", terms: { percent_bp: 1000 } }], ["on_refund", { hold_at: "issue", on_refund: "return" }], ["hold_at", { hold_at: "never" }],
    ["name", { name: "a\u0007" }], ["channels", { channels: ["\udfff"] }], ["applies_to.skuz", { applies_to: { skuz: ["a"] } }], ["stacking.group", { stacking: { group: 1 } }],
    ["holdout_bp", { holdout_bp: 10_001 }], ["stock", { stock: -1 }], ["per_user", { per_user: 0 }], ["coupon_valid_s", { coupon_valid_s: 0 }], ["currency", { currency: "YUAN" }],
  ]
  for (const [field, change] of cases) {
    test(`${field}: ${JSON.stringify(change).slice(0, 70)}`, async () => expect(await refused("PUT", "/v1/campaigns/c1", { ...campaign(), ...change })).toBe(field))
  }
})

describe("request_invalid: a money policy", () => {
  const cases: [string, unknown][] = [
    ["profile", "magento"], ["profile", 5], ["profile", null], ["profile.extends", { extends: "magento" }], ["profile.rounding", { rounding: "up" }], ["profile.colour", { colour: "red" }],
    ["profile.colour", { extends: "sylius", colour: "red" }],
  ]
  for (const [field, profile] of cases) {
    test(`${field}: ${JSON.stringify(profile)}`, async () => expect(await refused("POST", "/v1/redemptions", { ...threeLines(), profile })).toBe(field))
  }
})

describe("request_invalid: the rest", () => {
  const cases: [string, string, string, unknown?][] = [
    ["month", "PUT", "/v1/budgets/b", { ...budget(), month: "2026-13" }], ["month", "PUT", "/v1/budgets/b", { ...budget(), month: "1970-12" }], ["limit_minor", "PUT", "/v1/budgets/b", { ...budget(), limit_minor: -1 }],
    ["party", "PUT", "/v1/budgets/b", { ...budget(), party: "" }], ["amount_minor", "POST", "/v1/budgets/b/additions", { addition_id: "a", amount_minor: 0 }],
    ["limit", "GET", "/v1/budgets/b/entries?limit=0"], ["limit", "GET", "/v1/budgets/b/entries?limit=1001"], ["limit", "GET", "/v1/budgets/b/entries?limit=ten"],
    ["limit", "GET", "/v1/budgets/b/entries?limit=1&limit=2"], ["page", "GET", "/v1/budgets/b/entries?page=2"], ["outcome", "GET", "/v1/budgets/b?outcome=found"],
    ["__proto__", "GET", "/v1/budgets/b?__proto__=1"], ["x", "POST", "/v1/redemptions?x=1", threeLines()],
    ["order_id", "GET", "/v1/redemptions?user_id=u"], ["state", "GET", "/v1/users/u/coupons?state=gone"], ["user_id", "GET", "/v1/users/%FF/coupons"],
    ["budget_id", "GET", `/v1/budgets/${"b".repeat(129)}`], ["budget_id", "GET", "/v1/budgets/a%00b"],
    ["late", "POST", "/v1/redemptions/r/confirm", { late: "yes" }], ["expires_at", "POST", "/v1/redemptions/r/extend", { expires_at: "soon" }], ["", "POST", "/v1/redemptions/r/extend"],
    ["lines", "POST", "/v1/redemptions/r/refunds", { refund_id: "f", lines: "some" }], ["lines[1].line_id", "POST", "/v1/redemptions/r/refunds", { refund_id: "f", lines: [{ line_id: "a", quantity: 1 }, { line_id: "a", quantity: 1 }] }],
    ["reason", "POST", "/v1/coupons/c/revoke", {}], ["scopes[0]", "POST", "/v1/keys", { name: "k", scopes: ["root"], lines: ["*"] }], ["scopes", "POST", "/v1/keys", { name: "k", scopes: [], lines: ["*"] }],
    ["", "POST", "/v1/redemptions", "{"], ["", "POST", "/v1/redemptions", "null"], ["", "POST", "/v1/redemptions", "[]"], ["", "POST", "/v1/redemptions", ""], ["", "POST", "/v1/redemptions", "[".repeat(100_000)],
  ]
  for (const [field, method, path, body] of cases) {
    test(`${field || "the body"}: ${method} ${path.slice(0, 60)} ${JSON.stringify(body)?.slice(0, 50) ?? ""}`, async () => expect(await refused(method, path, body)).toBe(field))
  }

  test("bytes that are not UTF-8 are refused, so two ids never become one", async () => {
    const { app } = smallApp()
    const response = await app.request("/v1/coupons", { method: "POST", headers: { authorization: "Bearer all" }, body: new Uint8Array([0x22, 0xff, 0x22]) })
    expect(response.status).toBe(400)
  })
})

describe("what keeps the contract", () => {
  test("ids may have spaces, emoji, braces, and 128 characters, each counted once", async () => {
    for (const id of [" a b ", "{month}", "😀".repeat(128), "a/b%2Fc?d#e", "用户-1", "__proto__", "constructor"]) {
      expect((await ask("POST", "/v1/redemptions", { ...threeLines(), user_id: id })).status).toBe(200)
      expect(calls.at(-1)!.ask["user_id"]).toBe(id)
    }
  })

  test("an id has nothing that is not seen, but what an emoji is joined and tagged by", async () => {
    const order = threeLines().order
    for (const id of ["👩‍👩‍👧", "a 🏳️‍🌈", "❤️", "👍🏽", "1️⃣", "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}"]) {
      expect([id, (await ask("POST", "/v1/redemptions", { ...threeLines(), user_id: id, order: { ...order, badges: { [id]: 1 } } })).status]).toEqual([id, 200])
      expect(calls.at(-1)!.ask["user_id"]).toBe(id)
    }
    const unseen = ["\u200B", "\u202E", "\u2028", "\u2029", "\uFEFF", "\uFFFF", "\uFDD0", "\u{1FFFE}", "\u{E0041}", "\u200D"]
    for (const id of [...unseen, ...unseen.map((each) => `a${each}`), ...unseen.map((each) => `${each}a`), "a\u200Bb", "a\u200D\u200Db"]) {
      expect([id, await refused("POST", "/v1/redemptions", { ...threeLines(), user_id: id })]).toEqual([id, "user_id"])
      expect([id, await refused("GET", `/v1/budgets/${encodeURIComponent(id)}`)]).toEqual([id, "budget_id"])
      expect([id, (await ask("POST", "/v1/redemptions", { ...threeLines(), order: { ...order, badges: { [id]: 1 } } })).status]).toEqual([id, 400])
    }
  })

  test("an id in a path arrives as it was encoded, whatever it is", () =>
    fc.assert(fc.asyncProperty(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((id) => !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{NChar}]/u.test(id) && id !== "." && id !== ".." && [...id].length <= 128), async (id) => {
      expect((await ask("GET", `/v1/budgets/${encodeURIComponent(id)}`)).status).toBe(200)
      expect(calls.at(-1)!.ask["budget_id"]).toBe(id)
    }), { numRuns: 300 }))

  test("the largest amounts pass and the body reaches the use case as sent", async () => {
    const body = { ...threeLines(), order: { currency: "CNY", lines: [{ line_id: "1", sku: "s", unit_price_minor: MAX, quantity: 1 }] }, coupons: ["a", "b"] }
    await ask("POST", "/v1/redemptions", body)
    expect(calls.at(-1)!.ask).toEqual(body)
    expect((await ask("POST", "/v1/redemptions", { ...threeLines(), ...thousandLines(500) })).status).toBe(200)
  })

  test("no body means {} where nothing is needed", async () => {
    for (const body of [undefined, "", "{}"]) expect((await ask("POST", "/v1/redemptions/r/cancel", body)).status).toBe(200)
    expect(calls.at(-1)!.ask).toEqual({ redemption_id: "r" })
  })

  test("a duplicate key is no fault, a wrong content type neither", async () => {
    expect((await ask("POST", "/v1/redemptions/r/confirm", '{"late":true,"late":true}', { headers: { "content-type": "text/plain" } })).status).toBe(200)
  })

  test("a campaign needs no more than what it promises", async () => {
    const { hold_at: _, on_refund: __, threshold_minor: ___, ...least } = campaign()
    expect((await ask("PUT", "/v1/campaigns/c", least)).status).toBe(200)
    expect((await ask("PUT", "/v1/campaigns/c", { ...campaign(), hold_at: "issue" })).status).toBe(200)
    expect((await ask("PUT", "/v1/campaigns/c", { ...campaign(), starts_at: "2026-11-01t00:00:00.123456z", ends_at: "2026-11-02T00:00:00+00:00" })).status).toBe(200)
  })

  test("limit is 100 unless told", async () => {
    await ask("GET", "/v1/users/u/coupons")
    expect(calls.at(-1)!.ask).toEqual({ user_id: "u", limit: 100 })
    await ask("GET", "/v1/users/u/coupons?limit=7&after=x&state=issued")
    expect(calls.at(-1)!.ask).toEqual({ user_id: "u", limit: 7, after: "x", state: "issued" })
  })
})

describe("whatever is sent", () => {
  const paths = (path: string, value: string) => path.replaceAll(/\{\w+\}/g, encodeURIComponent(value))
  const known = new Set([200, 400])

  test("any JSON to any route is served or is a 400, and never more than that", () =>
    fc.assert(fc.asyncProperty(fc.constantFrom(...OPERATIONS.filter(({ body }) => body)), fc.jsonValue({ maxDepth: 4 }), async ({ method, path }, body) => {
      expect(known).toContain((await ask(method, paths(path, "id"), JSON.stringify(body))).status)
    }), { numRuns: 500 }))

  test("a good body with any one place replaced is served or is a 400", () => {
    const bodies: [string, string, object][] = [["POST", "/v1/redemptions", threeLines()], ["PUT", "/v1/campaigns/c", campaign()], ["PUT", "/v1/budgets/b", budget()]]
    const places = (value: unknown, at: string[] = []): string[][] =>
      typeof value === "object" && value !== null ? [at, ...Object.entries(value).flatMap(([key, each]) => places(each, [...at, key]))] : [at]
    const replaced = (value: unknown, [key, ...rest]: string[], by: unknown): unknown => {
      if (key === undefined) return by
      const copy = Array.isArray(value) ? [...value] : { ...(value as object) }
      ;(copy as Record<string, unknown>)[key] = replaced((value as Record<string, unknown>)[key], rest, by)
      return copy
    }
    const weird = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(-0, 1e308, MAX + 1, 0.1, "", "\ud800", "\u0000", null, [], {}, "2026-13-01T00:00:00Z", "9".repeat(400)))
    return fc.assert(fc.asyncProperty(fc.constantFrom(...bodies).chain(([method, path, body]) => fc.tuple(fc.constant([method, path, body] as const), fc.constantFrom(...places(body)), weird)), async ([[method, path, body], at, by]) => {
      expect(known).toContain((await ask(method, path, JSON.stringify(replaced(body, at, by)))).status)
    }), { numRuns: 1000 })
  })

  test("any query is served or is a 400", () =>
    fc.assert(fc.asyncProperty(fc.dictionary(fc.string(), fc.string()), async (query) => {
      expect(known).toContain((await ask("GET", `/v1/budgets/b/entries?${new URLSearchParams(query)}`)).status)
    }), { numRuns: 300 }))
})

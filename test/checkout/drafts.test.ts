/**
 * Drafts through HTTP: campaigns that do not exist yet are priced as if the user held one coupon of each, and nothing changes.
 */
import { beforeAll, describe, expect, test } from "bun:test"
import { brokenContract } from "../support/contract.ts"
import { type Call, NOON, openShop, type Shop } from "../support/shop.ts"
import { fresh, issueAsk, openCampaign, yes } from "../story/till.ts"

const START_MS_MAX = 60_000
let shop: Shop
beforeAll(async () => { shop = await openShop() }, START_MS_MAX)

type Line = number | Readonly<Record<string, unknown>>
/** Lines l1, l2, … of skus s1, s2, … at these prices. */
const orderOf = (lines: readonly Line[], more: object = {}) => ({
  currency: "EUR", ...more,
  lines: lines.map((line, i) => ({ line_id: `l${i + 1}`, sku: `s${i + 1}`, quantity: 1, ...(typeof line === "number" ? { unit_price_minor: line } : line) })),
})
const draft = (campaign_id: string, kind: string, terms: object, more: object = {}) => ({ campaign_id, kind, terms, ...more })
const amount = (campaign_id: string, amount_minor: number, more: object = {}) => draft(campaign_id, "amount_off", { amount_minor }, more)
const percent = (campaign_id: string, percent_bp: number, more: object = {}) => draft(campaign_id, "percent_off", { percent_bp }, more)

const quote = async (body: object, call: Call = {}) => {
  const answer = await shop.call("POST", "/v1/quotes", body, call)
  expect(brokenContract("POST", "/v1/quotes", answer.status, answer.body)).toBeUndefined()
  return answer
}
interface Asked { readonly order?: object; readonly coupons?: unknown; readonly profile?: unknown; readonly priced_at?: string; readonly minimise?: object }
/** The answer of a quote that has one. */
const quoted = async (lines: readonly Line[], drafts: readonly object[], { order = {}, ...more }: Asked = {}) =>
  yes(quote({ order: orderOf(lines, order), drafts, ...more }))
const refused = async (body: object, call: Call = {}) => { const { status, body: { code, field } } = await quote(body, call); return [status, code, field] }

describe("a draft is a coupon in hand", () => {
  test("quoted: an answer has every field, lines in the order of the request and zeros left out", async () => {
    const body = await quoted([4300, 0, { unit_price_minor: 700, quantity: 2 }, 2300], [amount("a", 300)], { order: { shipping_minor: 500 } })
    expect(body).toEqual({
      discount_minor: 300, shipping_discount_minor: 0, total_minor: 8200, benefit_minor: 0, cost_minor: 300, profile: "scrip", proved: true, gap_minor: 0,
      applied: [{
        coupon_id: "a", campaign_id: "a", discount_minor: 300, shipping_discount_minor: 0, benefit_minor: 0, cost_minor: 300,
        lines: [
          { line_id: "l1", discount_minor: 161, units: [{ quantity: 1, discount_minor: 161 }] },
          { line_id: "l3", discount_minor: 53, units: [{ quantity: 1, discount_minor: 27 }, { quantity: 1, discount_minor: 26 }] },
          { line_id: "l4", discount_minor: 86, units: [{ quantity: 1, discount_minor: 86 }] },
        ],
      }],
      rejected: [],
    })
  })

  test("quoted: all drafts by name in their order unless told, a list says which and in which order, best chooses", async () => {
    const drafts = [percent("a", 2000), amount("b", 1000), amount("c", 1500, { stacking: { exclusive: true } })]
    const ids = async (more: Asked) => (await quoted([10_000], drafts, more)).applied.map((applied: { coupon_id: string }) => applied.coupon_id)
    expect(await ids({})).toEqual(["c"])
    expect(await ids({ coupons: ["b", "a"] })).toEqual(["b", "a"])
    expect((await quoted([10_000], drafts, { coupons: ["b", "a"] })).total_minor).toBe(7200)
    expect((await quoted([10_000], drafts, { coupons: ["a", "b"] })).total_minor).toBe(7000)
    expect(await ids({ coupons: "best" })).toEqual(["a", "b"])
    expect(await ids({ coupons: [] })).toEqual([])
    const { rejected } = await quoted([10_000], drafts, { coupons: ["none", "a"] })
    expect(rejected).toMatchObject([{ coupon_id: "none", code: "coupon_unknown" }])
  })

  test("quoted: the window of a draft is nobody's now, and its line, money and currency are optional", async () => {
    const past = { starts_at: "2020-01-01T00:00:00Z", ends_at: "2020-02-01T00:00:00Z", stock: 0, hold_at: "issue", line: "retail", currency: "EUR" }
    expect((await quoted([1000], [amount("a", 100, past)])).discount_minor).toBe(100)
    expect((await quoted([1000], [amount("a", 100, { currency: "USD" })])).rejected).toMatchObject([{ code: "terms_not_met", reason: "currency" }])
  })

  test("quoted: drafts stand beside coupons that the user holds", async () => {
    const { campaign_id } = await openCampaign(shop.call, shop.clock.now_ms())
    const user_id = fresh("user")
    const { coupon_id } = await yes(shop.call("POST", "/v1/coupons", issueAsk(campaign_id, user_id)))
    const body = (coupons?: unknown) => ({ user_id, order: orderOf([1000], { currency: "CNY" }), drafts: [amount("a", 50)], ...(coupons === undefined ? {} : { coupons }) })
    const ids = async (coupons?: unknown) => (await yes(quote(body(coupons)))).applied.map((applied: { coupon_id: string }) => applied.coupon_id).toSorted()
    expect(await ids()).toEqual(["a"])
    expect(await ids([coupon_id, "a"])).toEqual([coupon_id, "a"].toSorted())
    expect(await ids("best")).toEqual([coupon_id, "a"].toSorted())
    const { key } = await yes(shop.call("POST", "/v1/keys", { name: "operators", scopes: ["operate"], lines: ["*"] }))
    expect((await quote(body("best"), { key })).body.applied.map((applied: { coupon_id: string }) => applied.coupon_id)).toEqual(["a"])
  })

  test("scope_missing: drafts are for operators, coupons for checkouts, and a line for whoever may touch it", async () => {
    const keyOf = async (scopes: string[], lines: string[]) => (await yes(shop.call("POST", "/v1/keys", { name: "k", scopes, lines }))).key as string
    const checkout = await keyOf(["checkout"], ["*"]), operate = await keyOf(["operate"], ["retail"])
    const order = orderOf([1000])
    expect(await refused({ order, drafts: [amount("a", 1)] }, { key: checkout })).toEqual([403, "scope_missing", undefined])
    expect(await refused({ user_id: "u", order, coupons: "best" }, { key: operate })).toEqual([403, "scope_missing", undefined])
    expect(await refused({ order, drafts: [amount("a", 1, { line: "baitiao" })] }, { key: operate })).toEqual([403, "scope_missing", undefined])
    expect((await quote({ order, drafts: [amount("a", 1, { line: "retail" })] }, { key: operate })).status).toBe(200)
  })

  test("request_invalid: the field of a draft is named from the list on", async () => {
    const order = orderOf([1000])
    const faults: readonly [field: string, drafts: readonly object[], more?: object][] = [
      ["drafts[0].terms.percent_bp", [percent("a", 0)]],
      ["drafts[0].terms.percent_bp", [percent("a", 10_001)]],
      ["drafts[1].terms.amount_minor", [amount("a", 1), draft("b", "amount_off", {})]],
      ["drafts[0].terms.surprise", [draft("a", "amount_off", { amount_minor: 1, surprise: 1 })]],
      ["drafts[0].surprise", [amount("a", 1, { surprise: 1 })]],
      ["drafts[0].kind", [draft("a", "half_off", {})]],
      ["drafts[0].kind", [{ campaign_id: "a", terms: {} }]],
      ["drafts[0].terms", [{ campaign_id: "a", kind: "amount_off" }]],
      ["drafts[0].campaign_id", [{ kind: "amount_off", terms: { amount_minor: 1 } }]],
      ["drafts[1].campaign_id", [amount("a", 1), amount("a", 2)]],
      ["drafts[0].stacking.level", [amount("a", 1, { stacking: { level: "galaxy" } })]],
      ["drafts[0].applies_to.skus", [amount("a", 1, { applies_to: { skus: [] } })]],
      ["drafts[0].hours.time_zone", [amount("a", 1, { hours: { time_zone: "Mars/Olympus", from: "00:00", to: "01:00" } })]],
      ["drafts[0].profile.rounding", [amount("a", 1, { profile: { rounding: "up" } })]],
      ["drafts[0].target", [draft("a", "gift", { sku: "g", unit_price_minor: 1, quantity: 1 }, { target: "shipping" })]],
      ["drafts[0].ends_at", [amount("a", 1, { starts_at: "2026-01-02T00:00:00Z", ends_at: "2026-01-01T00:00:00Z" })]],
      ["drafts[0].funding", [amount("a", 1, { funding: [{ budget_id: "b", share_bp: 1 }] })]],
      ["drafts[0].max_minor", [amount("a", 1, { max_minor: 0 })]],
      ["drafts", []],
      ["coupons[1]", [amount("a", 1)], { coupons: ["a", "a"] }],
      ["budget_ms", [amount("a", 1)], { budget_ms: 51 }],
      ["profile", [amount("a", 1)], { profile: "nobody" }],
      ["priced_at", [amount("a", 1)], { priced_at: "noon" }],
      ["minimise.line", [amount("a", 1)], { minimise: {} }],
    ]
    for (const [field, drafts, more] of faults) expect([field, await refused({ order, drafts, ...more })]).toEqual([field, [400, "request_invalid", field]])
    for (const [body, field] of [[{ drafts: [amount("a", 1)], profile: "nobody" }, "profile"], [{ drafts: [amount("a", 1, { profile: "nobody" })] }, "drafts[0].profile"]] as const) {
      expect((await quote({ order, ...body })).body.detail).toStartWith(`${field} must be a money policy: one of scrip, sylius, saleor, `)
    }
    expect(await refused({ order, coupons: "best" })).toEqual([400, "request_invalid", "user_id"])
    expect(await refused({ order, user_id: "u" })).toEqual([400, "request_invalid", "coupons"])
    expect(await refused({ order: orderOf([{ unit_price_minor: 1, floor_minor: -1 }]), drafts: [amount("a", 1)] })).toEqual([400, "request_invalid", "order.lines[0].floor_minor"])
    expect(await refused({ order: orderOf([1], { badges: { gold: -1 } }), drafts: [amount("a", 1)] })).toEqual([400, "request_invalid", "order.badges.gold"])
  })
})

describe("every field of an order, a line and a campaign reaches the price", () => {
  const line = { unit_price_minor: 1000, quantity: 2 }
  const conditions: readonly [reason: string, campaign: object, fails: { order?: object; line?: object }, holds: { order?: object; line?: object }][] = [
    ["channel", { channels: ["app"] }, { order: { channel: "web" } }, { order: { channel: "app" } }],
    ["region", { regions: ["north"] }, {}, { order: { region: "north" } }],
    ["payment_method", { payment_methods: ["baitiao"] }, { order: { payment_method: "card" } }, { order: { payment_method: "baitiao" } }],
    ["payment_instrument", { payment_instruments: ["visa"] }, {}, { order: { payment_instrument: "visa" } }],
    ["payment_instrument", { not_payment_instruments: ["instalment"] }, { order: { payment_instrument: "instalment" } }, { order: { payment_instrument: "full" } }],
    ["hours", { hours: { time_zone: "UTC", weekdays: [2], from: "10:00", to: "13:00" } }, {}, { order: {} }],
    ["first_order", { first_order: true }, {}, { order: { first_order: true } }],
    ["segment", { segments: ["gold", "new"] }, { order: { segments: ["old"] } }, { order: { segments: ["x", "new"] } }],
    ["badge", { min_badge: { badge_id: "loyal", level: 2 } }, { order: { badges: { loyal: 1 } } }, { order: { badges: { loyal: 2 } } }],
    ["lines", { applies_to: { brands: ["acme"] } }, { line: { brand: "other" } }, { line: { brand: "acme" } }],
    ["lines", { only_undiscounted: true }, { line: { list_price_minor: 1200 } }, { line: { list_price_minor: 1000 } }],
    ["quantity", { threshold_quantity: 2 }, { line: { quantity: 1 } }, {}],
    ["threshold", { threshold_minor: 2000 }, { line: { quantity: 1 } }, {}],
    ["nothing_to_discount", {}, { line: { floor_minor: 1000 } }, {}],
  ]
  for (const [reason, campaign, fails, holds] of conditions) {
    test(`terms_not_met: ${reason} by ${Object.keys(campaign).join() || "floor_minor"}`, async () => {
      const ask = ({ order = {}, line: more = {} }: { order?: object; line?: object }, priced_at?: string) =>
        quoted([{ ...line, ...more }], [amount("a", 100, campaign)], { order, ...(priced_at ? { priced_at } : {}) })
      const isHours = reason === "hours"
      // A Monday and a Tuesday, at noon.
      const no = await ask(fails, isHours ? new Date(NOON).toISOString() : undefined)
      expect(no).toMatchObject({ discount_minor: 0, applied: [], rejected: [{ coupon_id: "a", campaign_id: "a", code: "terms_not_met", reason }] })
      expect(await ask(holds, isHours ? new Date(NOON + 86_400_000).toISOString() : undefined)).toMatchObject({ discount_minor: 100, rejected: [] })
    })
  }

  test("terms_not_met: what would help is said and holds", async () => {
    const [no] = (await quoted([5000], [amount("a", 100, { threshold_minor: 8000, payment_methods: ["card"] })])).rejected
    expect(no).toMatchObject({ reason: "payment_method", needs: { payment_method: "card", spend_more_minor: 3000 } })
    expect((await quoted([8000], [amount("a", 100, { threshold_minor: 8000, payment_methods: ["card"] })], { order: { payment_method: "card" } })).discount_minor).toBe(100)
  })

  test("not_stackable: the rule and the other coupon are named", async () => {
    const group = { stacking: { group: "g" } }
    expect((await quoted([9000], [amount("a", 100, group), amount("b", 200, group)])).rejected)
      .toMatchObject([{ coupon_id: "b", code: "not_stackable", rule: "group", other_coupon_id: "a", needs: { without: ["a"] } }])
    expect((await quoted([9000], [amount("a", 100), amount("b", 200, { stacking: { exclusive: true } })])).rejected)
      .toMatchObject([{ coupon_id: "a", code: "not_stackable", rule: "exclusive", other_coupon_id: "b" }])
    expect((await quoted([9000], [amount("a", 100, { stacking: { with_groups: ["x"] } }), amount("b", 200)])).rejected)
      .toMatchObject([{ coupon_id: "b", code: "not_stackable", rule: "with_groups", other_coupon_id: "a" }])
  })

  test("quoted: levels, shipping last, targets and caps", async () => {
    const drafts = [
      draft("ship", "free_shipping", {}, { stacking: { level: "line" } }), amount("pay", 1000, { stacking: { level: "payment" } }),
      percent("line", 1000, { stacking: { level: "line" } }), percent("all", 5000, { target: "everything", max_minor: 700, stacking: { level: "platform" } }),
    ]
    const body = await quoted([10_000], drafts, { order: { shipping_minor: 600 } })
    expect(body.applied.map((applied: { coupon_id: string; discount_minor: number; shipping_discount_minor: number }) => [applied.coupon_id, applied.discount_minor, applied.shipping_discount_minor]))
      .toEqual([["line", 1000, 0], ["all", 700, 44], ["pay", 1000, 0], ["ship", 556, 556]])
    expect(body).toMatchObject({ discount_minor: 3256, shipping_discount_minor: 600, total_minor: 10_600 - 3256 })
  })

  test("quoted: a policy is a name or axes, the request's before the campaign's", async () => {
    const lines = [4300, 1400, 2300]
    const offs = async (more: Asked, campaign: object = {}) => (await quoted(lines, [amount("a", 300, campaign)], more)).applied[0].lines.map((at: { discount_minor: number }) => at.discount_minor)
    expect(await offs({})).toEqual([161, 53, 86])
    expect(await offs({ profile: "sylius" })).toEqual([162, 52, 86])
    expect(await offs({}, { profile: "sylius" })).toEqual([162, 52, 86])
    expect(await offs({ profile: "scrip" }, { profile: "sylius" })).toEqual([161, 53, 86])
    const object = { extends: "sylius", rounding: "half_down" }
    expect((await quoted(lines, [amount("a", 300)], { profile: object })).profile).toEqual(object)
  })
})

describe("budgets", () => {
  const budgetOf = async (limit_minor: number, month = "2026-06") => {
    const budget_id = fresh("budget")
    await yes(shop.call("PUT", `/v1/budgets/${budget_id}`, { line: "retail", month, currency: "EUR", limit_minor }))
    return budget_id
  }
  const paidBy = (budget_id: string) => ({ line: "retail", funding: [{ budget_id, share_bp: 10_000 }] })

  test("budget_exhausted: what cannot be paid is said, or given in part where the policy says so", async () => {
    const budget_id = await budgetOf(500)
    const drafts = [amount("a", 300, paidBy(budget_id)), amount("b", 400, paidBy(budget_id))]
    expect(await quoted([10_000], drafts)).toMatchObject({ discount_minor: 300, rejected: [{ coupon_id: "b", code: "budget_exhausted", budget_id }] })
    expect(await quoted([10_000], drafts, { profile: { budget_short: "partial" } })).toMatchObject({ discount_minor: 500, rejected: [] })
    expect(await quoted([10_000], drafts, { coupons: "best" })).toMatchObject({ discount_minor: 400, rejected: [{ coupon_id: "a", code: "budget_exhausted" }] })
  })

  test("budget_not_open: a budget of another month pays nothing, and one that is not there yet is no obstacle", async () => {
    const budget_id = await budgetOf(500, "2026-07")
    expect(await quoted([1000], [amount("a", 300, paidBy(budget_id))])).toMatchObject({ discount_minor: 0, rejected: [{ code: "budget_not_open", budget_id }] })
    expect(await quoted([1000], [amount("a", 300, paidBy(await budgetOf(500)))], { priced_at: "2026-07-01T00:00:00Z" })).toMatchObject({ discount_minor: 300 })
    expect(await quoted([1000], [amount("a", 300, paidBy("not-there-{month}"))])).toMatchObject({ discount_minor: 300 })
  })

  test("quoted: of equally good sets the one that spares the line", async () => {
    const group = { stacking: { group: "g" } }
    const drafts = [amount("a", 300, { line: "retail", ...group }), amount("b", 300, { line: "baitiao", ...group })]
    const ids = async (more: Asked) => (await quoted([1000], drafts, { coupons: "best", ...more })).applied.map((applied: { coupon_id: string }) => applied.coupon_id)
    expect(await ids({})).toEqual(["a"])
    expect(await ids({ minimise: { line: "retail" } })).toEqual(["b"])
    expect(await ids({ minimise: { line: "baitiao" } })).toEqual(["a"])
  })
})

describe("kinds that give something beside the price", () => {
  test("quoted: a gift, interest that the house bears, money later and a better rate", async () => {
    const drafts = [
      draft("gift", "gift", { sku: "mug", unit_price_minor: 250, quantity: 2 }), draft("free", "interest_free", { periods: 3, rate_bp: 50, interest: "declining" }),
      draft("back", "cash_back", { rate_bp: 100, principal_cap_minor: 50_000, days: 30 }), draft("rate", "rate_uplift", { rate_bp: 100, principal_cap_minor: 500_000, days: 30 }),
    ]
    const body = await quoted([100_000], drafts, { order: { instalments: 3 } })
    expect(body).toMatchObject({ discount_minor: 0, total_minor: 100_000, benefit_minor: 500 + 1000 + 500 + 82, cost_minor: 2082 })
    expect(body.applied[0]).toMatchObject({ benefit_minor: 500, cost_minor: 500, lines: [], gifts: [{ sku: "mug", unit_price_minor: 250, quantity: 2 }] })
    expect(body.applied[1].schedule).toEqual([
      { period: 1, principal_minor: 33_334, interest_minor: 500 }, { period: 2, principal_minor: 33_333, interest_minor: 333 }, { period: 3, principal_minor: 33_333, interest_minor: 167 },
    ])
  })
})

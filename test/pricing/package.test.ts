// The browser's bundle: it needs nothing of a host, and the worked examples come out of it to the cent.

import { expect, test } from "bun:test"
import { createContext, runInContext } from "node:vm"
import { buildPricing } from "../../build/pricing.ts"
import { check } from "../../engine/contract/check.ts"
import { quoteOrder } from "../../engine/contract/checkout.ts"
import type * as Package from "../../build/package.ts"
import { differences, EXAMPLES, needsNoBudget } from "./examples.ts"
import { NOON, order } from "./shop.ts"

/** The most that a page has to load: the contract's own check, which is a third of it, says of a wrong order what the engine says. */
const ZIPPED_MAX = 77_000

const bundle = await buildPricing()

/** The bundle's exports, from a world that has the language and what every browser adds to read text: no Bun, no Node, no timers, no console. */
const loaded = (): typeof Package => {
  const names = /export\s*\{([^}]*)\};?\s*$/.exec(bundle.text)
  if (!names) throw new Error("the bundle's exports are not where they were")
  const exported = names[1]!.split(",").map((pair) => pair.trim().split(/\s+as\s+/)).map(([inside, outside]) => `${outside ?? inside}:${inside}`)
  return runInContext(`(()=>{${bundle.text.slice(0, names.index)};return {${exported.join(",")}}})()`, createContext({ TextEncoder })) as typeof Package
}

test("the bundle is small and runs where there is nothing but the language", () => {
  expect(bundle.zipped).toBeLessThan(ZIPPED_MAX)
  const { kinds, profiles, policy, faults } = loaded()
  expect(kinds.length).toBe(11)
  expect(profiles).toContain("sylius")
  expect(policy("sylius").remainder).toBe("first_rounded")
  expect(JSON.parse(JSON.stringify(faults({ kind: "percent_off", terms: {} })))).toEqual([{ field: "terms.percent_bp", says: "is missing" }])
})

test("the worked examples come out of the bundle to the cent", () => {
  const { quote } = loaded()
  const wrong = EXAMPLES.filter(needsNoBudget).flatMap((example) => {
    const { id, order: asked, drafts, profile, wish } = example
    const answered = quote({ order: asked, campaigns: drafts, now_ms: NOON, ...(profile !== undefined && { profile }), ...(wish && { coupons: wish }) })
    return differences(example, answered).map((difference) => `${id}: ${difference}`)
  })
  expect(wrong).toEqual([])
})

/** What of a quote the engine refuses, by the body as it is sent. */
const serverSays = check(quoteOrder.body!, quoteOrder.rule)
const line = { line_id: "l1", sku: "s1", unit_price_minor: 1000, quantity: 1 }
const welcome = { campaign_id: "welcome", kind: "amount_off", terms: { amount_minor: 100 } }

/** Asks that the contract refuses, each with the field that is named: [what, order, campaigns, the rest, field]. */
const REFUSED: readonly (readonly [string, unknown, unknown, object, string])[] = [
  ["no order", undefined, [welcome], {}, "order"],
  ["no list of campaigns", order([1]), null, {}, "drafts"],
  ["no lines", { currency: "EUR", lines: [] }, [welcome], {}, "order.lines"],
  ["a price that is text", { currency: "EUR", lines: [{ ...line, unit_price_minor: "10" }] }, [welcome], {}, "order.lines[0].unit_price_minor"],
  ["a price below 0", { currency: "EUR", lines: [{ ...line, unit_price_minor: -1 }] }, [welcome], {}, "order.lines[0].unit_price_minor"],
  ["a quantity of 0", { currency: "EUR", lines: [{ ...line, quantity: 0 }] }, [welcome], {}, "order.lines[0].quantity"],
  ["half a unit", { currency: "EUR", lines: [{ ...line, quantity: 1.5 }] }, [welcome], {}, "order.lines[0].quantity"],
  ["a line twice", { currency: "EUR", lines: [line, line] }, [welcome], {}, "order.lines[1].line_id"],
  ["more lines than an order has", { currency: "EUR", lines: Array.from({ length: 501 }, (_, i) => ({ ...line, line_id: `l${i}` })) }, [welcome], {}, "order.lines"],
  ["more than can be counted", order([{ price: Number.MAX_SAFE_INTEGER, quantity: 2 }]), [welcome], {}, "order.lines[0].quantity"],
  ["a sum of more than can be counted", order([Number.MAX_SAFE_INTEGER], { shipping_minor: 1 }), [welcome], {}, "order.lines[0].unit_price_minor"],
  ["a field that nobody knows", { ...order([1]), colour: "red" }, [welcome], {}, "order.colour"],
  ["terms of another kind", order([1]), [{ ...welcome, terms: { percent_bp: 1 } }], {}, "drafts[0].terms.amount_minor"],
  ["a kind that nobody knows", order([1]), [{ ...welcome, kind: "half_off" }], {}, "drafts[0].kind"],
  ["two campaigns of a name", order([1]), [welcome, welcome], {}, "drafts[1].campaign_id"],
  ["a coupon twice", order([1]), [welcome], { coupons: ["welcome", "welcome"] }, "coupons[1]"],
  ["a profile that nobody knows", order([1]), [welcome], { profile: "magento" }, "profile"],
  ["too long a search", order([1]), [welcome], { budget_ms: 51 }, "budget_ms"],
]

test("request_invalid: the package refuses what the engine refuses, with its field and its sentence", () => {
  const { quote } = loaded()
  const saidBy = (asked: unknown): { code?: unknown; field?: unknown; message?: unknown } => {
    try {
      quote(asked as Parameters<typeof quote>[0])
    } catch (thrown) {
      return thrown as Error
    }
    return {}
  }
  for (const [what, asked, campaigns, rest, field] of REFUSED) {
    const server = serverSays({ ...(asked !== undefined && { order: asked }), drafts: campaigns, ...rest })!
    const { code, field: named, message } = saidBy({ order: asked, campaigns, ...rest })
    expect([what, server.field]).toEqual([what, field])
    expect([what, code, named, message]).toEqual([what, "request_invalid", field.replace("drafts", "campaigns"), server.detail.replace("drafts", "campaigns")])
  }
})

test("the package prices an order without campaigns, and names a coupon that no campaign is called", () => {
  const { quote, refund } = loaded()
  expect(quote({ order: order([500]), campaigns: [] })).toMatchObject({ discount_minor: 0, total_minor: 500 })
  expect(() => quote({ order: order([1]), campaigns: [], now_ms: Number.NaN })).toThrow("now_ms must be a whole number.")
  const alike = [{ ...welcome, campaign_id: "late", ends_at: "2027-02-01T00:00:00Z" }, { ...welcome, campaign_id: "soon", ends_at: "2027-01-01T00:00:00Z" }]
  const one = { stacking: { group: "g" } }
  expect(quote({ order: order([500]), campaigns: alike.map((body) => ({ ...body, ...one })), coupons: "best" }).applied[0]!.coupon_id).toBe("soon")
  expect(() => quote({ order: order([1]), campaigns: [], coupons: ["gone"] })).toThrow("there is no campaign gone")
  expect(refund([{ line_id: "1", quantity: 2, refunded: 0, unit_price_minor: 100, discounts: [31] }], [{ line_id: "1", quantity: 1 }])).toMatchObject({ discount_minor: 15, refund_minor: 85 })
})

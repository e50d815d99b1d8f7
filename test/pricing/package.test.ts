// The browser's bundle: it needs nothing of a host, and the worked examples come out of it to the cent.

import { expect, test } from "bun:test"
import { createContext, runInContext } from "node:vm"
import { buildPricing } from "../../build/pricing.ts"
import type * as Package from "../../engine/pricing/package.ts"
import { differences, EXAMPLES, needsNoBudget } from "./examples.ts"
import { NOON, order } from "./shop.ts"

/** The most that a page has to load. */
const ZIPPED_MAX = 60_000

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

test("a coupon that no campaign is called, and an order too large, are named", () => {
  const { quote, refund } = loaded()
  expect(() => quote({ order: order([1]), campaigns: [], coupons: ["gone"] })).toThrow("there is no campaign gone")
  expect(() => quote({ order: order([{ price: Number.MAX_SAFE_INTEGER, quantity: 2 }]), campaigns: [] })).toThrow("order.lines.0")
  expect(refund([{ line_id: "1", quantity: 2, refunded: 0, unit_price_minor: 100, discounts: [31] }], [{ line_id: "1", quantity: 1 }])).toMatchObject({ discount_minor: 15, refund_minor: 85 })
})

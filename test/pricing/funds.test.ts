// budget_exhausted: what a quote knows of the money there is, and what it does where there is too little.

import { expect, test } from "bun:test"
import type { CampaignBody } from "../../engine/pricing/types.ts"
import { amount, appliedIds, coupon, order, percent, quote, rejected } from "./shop.ts"

const cart = order([10000])
const from = (...budget_ids: string[]) => ({
  funding: budget_ids.map((budget_id) => ({ budget_id, share_bp: 10000 / budget_ids.length })),
})
const funds = (retail: number, platform = 1_000_000) => ({ funds: new Map([["retail", retail], ["platform", platform]]) })
const paidBy = (budget: string, more: Partial<CampaignBody> = {}) => amount(budget, 3000, { ...from(budget), ...more })

test("budget_exhausted: a coupon that cannot be paid is refused whole, and the next may still stand", () => {
  const answered = quote(cart, [amount("a", 3000, from("retail")), amount("b", 2000, from("retail"))], "named", funds(2500))
  expect(appliedIds(answered)).toEqual(["b"])
  expect(rejected(answered, "a")).toMatchObject({ code: "budget_exhausted", budget_id: "retail" })
  expect(rejected(answered, "a").needs).toBeUndefined()
})

test("budget_exhausted: two coupons never spend the same cent", () => {
  const answered = quote(cart, [amount("a", 1500, from("retail")), amount("b", 1500, from("retail"))], "named", funds(2999))
  expect(appliedIds(answered)).toEqual(["a"])
  expect(quote(cart, [amount("a", 1500, from("retail")), amount("b", 1500, from("retail"))], "named", funds(3000)).rejected).toEqual([])
})

test("budget_exhausted: every share must be paid", () => {
  const both = amount("a", 3000, from("retail", "platform"))
  expect(quote(cart, [both], "named", funds(1500, 1500)).discount_minor).toBe(3000)
  expect(rejected(quote(cart, [both], "named", funds(1500, 1499)), "a")).toMatchObject({ budget_id: "platform" })
})

test("budget_exhausted: what was held at the issue is not asked for again", () => {
  expect(quote(cart, [{ ...paidBy("retail"), is_paid: true }], "named", funds(0)).discount_minor).toBe(3000)
})

test("budget_exhausted: an exclusive coupon that cannot be paid keeps nobody away", () => {
  const exclusive = paidBy("retail", { stacking: { exclusive: true } })
  expect(appliedIds(quote(cart, [exclusive, amount("b", 10)], "named", funds(100)))).toEqual(["b"])
})

test("budget_exhausted: a finance coupon holds its cost", () => {
  const back = coupon("a", "cash_back", { rate_bp: 1000, principal_cap_minor: 1_000_000, days: 7 }, from("retail"))
  expect(quote(cart, [back], "named", funds(1000)).benefit_minor).toBe(1000)
  expect(rejected(quote(cart, [back], "named", { ...funds(999), profile: { budget_short: "partial" } }), "a").code).toBe("budget_exhausted")
})

test("budget_short: partial gives what the budgets can pay in their shares", () => {
  const partial = (retail: number, platform?: number) => ({ ...funds(retail, platform), profile: { budget_short: "partial" } as const })
  expect(quote(cart, [paidBy("retail")], "named", partial(1200)).discount_minor).toBe(1200)
  expect(quote(cart, [amount("a", 3000, from("retail", "platform"))], "named", partial(1200)).discount_minor).toBe(2400)
  expect(rejected(quote(cart, [paidBy("retail")], "named", partial(0)), "retail").code).toBe("budget_exhausted")
})

test("best: looks for the best set that can be paid", () => {
  const coupons = [amount("a", 3000, from("retail")), amount("b", 2000, from("retail")), amount("c", 1500, from("retail"))]
  const answered = quote(cart, coupons, "best", funds(3500))
  expect(appliedIds(answered)).toEqual(["b", "c"])
  expect(rejected(answered, "a")).toMatchObject({ code: "budget_exhausted", budget_id: "retail" })
})

test("minimise: among sets that give the same, the one that costs the budgets to be spared least", () => {
  const group = { stacking: { group: "g" } }
  const coupons = [paidBy("retail", group), paidBy("platform", group), percent("small", 100, group)]
  expect(appliedIds(quote(cart, coupons, "best", { minimise: new Set(["platform"]) }))).toEqual(["retail"])
  expect(appliedIds(quote(cart, coupons, "best", { minimise: new Set(["retail"]) }))).toEqual(["platform"])
})

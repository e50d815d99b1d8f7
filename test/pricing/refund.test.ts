// What refunds give back: the units of a line in the end give back its whole discount, whatever the steps were.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { takeBackReEvaluated, type Remembered } from "../../engine/pricing/re_evaluate.ts"
import { takeBack, type RefundLine } from "../../engine/pricing/refund.ts"
import type { HeldCoupon, Order } from "../../engine/pricing/types.ts"
import { amount, byLine, NOON, order, percent, quote } from "./shop.ts"

const line = (line_id: string, quantity: number, discounts: number[], refunded = 0): RefundLine => ({
  line_id,
  quantity,
  refunded,
  discounts,
})

/** A redemption of an order, as its refunds remember it. */
function redeemed(asked: Order, coupons: readonly HeldCoupon[]): Remembered {
  const answered = quote(asked, coupons)
  const applied = answered.applied.map(({ coupon_id }) => coupons.find((one) => one.coupon_id === coupon_id)!)
  return {
    order: asked,
    coupons: applied,
    setting: { now_ms: NOON },
    lines: asked.lines.map(({ line_id, quantity, unit_price_minor }, i) => ({
      ...line(line_id, quantity, applied.map(({ coupon_id }) => byLine(asked, answered, coupon_id)[i]!)),
      unit_price_minor,
    })),
    shipping: answered.applied.map((one) => one.shipping_discount_minor),
  }
}

test("refund_exceeds: names the line and what is left of it", () => {
  const lines = [line("a", 3, [100], 1), line("b", 1, [0])]
  expect(takeBack(lines, [{ line_id: "a", quantity: 3 }])).toEqual({ outcome: "refund_exceeds", line_id: "a", left: 2 })
  expect(takeBack(lines, [{ line_id: "x", quantity: 1 }])).toEqual({ outcome: "refund_exceeds", line_id: "x", left: 0 })
  const twice = [{ line_id: "a", quantity: 2 }, { line_id: "a", quantity: 1 }]
  expect(takeBack(lines, twice)).toEqual({ outcome: "refund_exceeds", line_id: "a", left: 0 })
  expect(takeBack([line("a", 1, [5], 1)], "all")).toEqual({ outcome: "refund_exceeds", line_id: "a", left: 0 })
})

test("ok: units go back from the last to the first, the first carry the leftover", () => {
  const back = (refunded: number) => takeBack([line("a", 3, [100], refunded)], [{ line_id: "a", quantity: 1 }])
  expect(back(0)).toEqual({
    outcome: "ok",
    lines: [{ line_id: "a", refunded: 1, left: [67] }],
    taken: [33],
    discount_minor: 33,
    refund_minor: 0,
    full: false,
  })
  expect(back(1)).toMatchObject({ taken: [33], full: false })
  expect(back(2)).toMatchObject({ taken: [34], full: true })
})

test("ok: the shipping discount goes back with the last unit", () => {
  const lines = [line("a", 2, [10, 0]), line("b", 1, [0, 6])]
  expect(takeBack(lines, [{ line_id: "a", quantity: 2 }], [0, 500])).toMatchObject({ taken: [10, 0], full: false })
  expect(takeBack(lines, "all", [0, 500])).toMatchObject({ taken: [10, 506], discount_minor: 516, full: true })
})

test("ok: any split into refunds, in any order, adds up to the discount", () => {
  const lines = fc.array(
    fc.record({ quantity: fc.integer({ min: 1, max: 9 }), discounts: fc.tuple(fc.nat(500), fc.nat(500)) }),
    { minLength: 1, maxLength: 4 },
  )
  fc.assert(
    fc.property(lines, fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 9 })), { maxLength: 30 }), (bought, steps) => {
      let now = bought.map(({ quantity, discounts }, i) => line(`l${i}`, quantity, discounts))
      const given = [0, 0]
      const take = (ask: Parameters<typeof takeBack>[1]) => {
        const back = takeBack(now, ask)
        if (back.outcome !== "ok") return
        back.taken.forEach((amount, coupon) => {
          expect(amount).toBeGreaterThanOrEqual(0)
          given[coupon]! += amount
        })
        now = now.map((old, i) => ({ ...old, refunded: back.lines[i]!.refunded }))
      }
      for (const [i, quantity] of steps) take([{ line_id: `l${i}`, quantity }])
      take("all")
      expect(given).toEqual([0, 1].map((coupon) => bought.reduce((sum, { discounts }) => sum + discounts[coupon]!, 0)))
    }),
  )
})

test("ok: what the customer paid for the returned units is his", () => {
  const bought = redeemed(order([{ price: 10000, quantity: 3 }]), [percent("a", 1000)])
  expect(takeBack(bought.lines, [{ line_id: "l1", quantity: 2 }])).toMatchObject({ discount_minor: 2000, refund_minor: 18000 })
})

const sixForTen = () => redeemed(order([{ price: 5000, quantity: 6 }]), [percent("a", 1000, { threshold_minor: 30000 })])

test("re_evaluate: what the kept units hold too much is withheld", () => {
  const five = [{ line_id: "l1", quantity: 5 }]
  expect(takeBack(sixForTen().lines, five)).toMatchObject({ discount_minor: 2500, refund_minor: 22500 })
  expect(takeBackReEvaluated(sixForTen(), five)).toMatchObject({
    outcome: "ok",
    discount_minor: 3000,
    withheld_minor: 500,
    refund_minor: 22000,
    lines: [{ refunded: 5, left: [0] }],
  })
})

test("re_evaluate: withholds at most what was paid for the units returned", () => {
  const cheap = redeemed(order([{ price: 100, quantity: 1 }, 9900]), [amount("a", 5000, { threshold_minor: 10000 })])
  expect(takeBackReEvaluated(cheap, [{ line_id: "l1", quantity: 1 }])).toMatchObject({
    discount_minor: 100,
    withheld_minor: 50,
    refund_minor: 0,
    lines: [{ left: [0] }, { left: [4900] }],
  })
})

test("re_evaluate: refund_exceeds and a full return are as ever", () => {
  expect(takeBackReEvaluated(sixForTen(), [{ line_id: "l1", quantity: 7 }])).toEqual({ outcome: "refund_exceeds", line_id: "l1", left: 6 })
  expect(takeBackReEvaluated(sixForTen(), "all")).toMatchObject({ discount_minor: 3000, withheld_minor: 0, refund_minor: 27000, full: true })
})

test("re_evaluate: over all refunds the budgets get back the discount and the customer what he paid", () => {
  const lines = fc.array(fc.record({ price: fc.integer({ min: 1, max: 3000 }), quantity: fc.integer({ min: 1, max: 4 }) }), { minLength: 1, maxLength: 3 })
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 })), { maxLength: 6 })
  fc.assert(
    fc.property(lines, steps, fc.constantFrom(0, 2000, 5000), (bought, asks, threshold_minor) => {
      const asked = order(bought)
      let now = redeemed(asked, [percent("a", 1500, { threshold_minor }), amount("b", 700, { threshold_minor })])
      const discount = now.lines.reduce((sum, { discounts }) => sum + discounts.reduce((a, b) => a + b, 0), 0)
      const gross = bought.reduce((sum, { price, quantity }) => sum + price * quantity, 0)
      let given = 0
      let paidBack = 0
      const take = (ask: Parameters<typeof takeBackReEvaluated>[1]) => {
        const back = takeBackReEvaluated(now, ask)
        if (back.outcome !== "ok") return
        expect(Math.min(back.withheld_minor, back.refund_minor, ...back.taken)).toBeGreaterThanOrEqual(0)
        given += back.discount_minor
        paidBack += back.refund_minor
        now = { ...now, lines: now.lines.map((old, i) => ({ ...old, ...back.lines[i]! })) }
      }
      for (const [i, quantity] of asks) take([{ line_id: `l${i}`, quantity }])
      take("all")
      expect([given, paidBack]).toEqual([discount, gross - discount])
    }),
    { numRuns: 60 },
  )
})

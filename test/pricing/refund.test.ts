// What refunds give back: the units of a line in the end give back its whole discount, whatever the steps were.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { takeBack, type RefundLine } from "../../engine/pricing/refund.ts"

const line = (line_id: string, quantity: number, discounts: number[], refunded = 0): RefundLine => ({
  line_id,
  quantity,
  refunded,
  discounts,
})

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
  expect(back(0)).toEqual({ outcome: "ok", lines: [{ line_id: "a", refunded: 1 }], taken: [33], discount_minor: 33, full: false })
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

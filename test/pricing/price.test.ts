// A quote as a whole: its sums agree, nothing is negative, nothing depends on what it should not.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { compileTerms } from "../../engine/pricing/compile.ts"
import { MONEY_MAX } from "../../engine/pricing/money.ts"
import { PROFILES, type Profile } from "../../engine/pricing/policy.ts"
import type { HeldCoupon, Order, Quote } from "../../engine/pricing/types.ts"
import { amount, byLine, coupon, NOON, order, percent, quote } from "./shop.ts"
import { arbitraryBody } from "./campaigns.ts"

const sum = (amounts: readonly number[]): number => amounts.reduce((a, b) => a + b, 0)

/** Everything that must hold of any quote. */
function holds(asked: Order, coupons: readonly HeldCoupon[], answered: Quote): void {
  const gross = sum(asked.lines.map((line) => line.unit_price_minor * line.quantity)) + (asked.shipping_minor ?? 0)
  expect(answered.total_minor).toBe(gross - answered.discount_minor)
  expect(answered.total_minor).toBeGreaterThanOrEqual(0)
  for (const field of ["discount_minor", "shipping_discount_minor", "benefit_minor", "cost_minor"] as const)
    expect(answered[field]).toBe(sum(answered.applied.map((one) => one[field])))
  expect(answered.shipping_discount_minor).toBeLessThanOrEqual(asked.shipping_minor ?? 0)
  for (const applied of answered.applied) {
    expect(applied.discount_minor).toBe(sum(applied.lines.map((line) => line.discount_minor)) + applied.shipping_discount_minor)
    expect(applied.discount_minor + applied.benefit_minor).toBeGreaterThan(0)
    for (const line of applied.lines) {
      expect(line.discount_minor).toBeGreaterThan(0)
      expect(sum(line.units.map((run) => run.quantity * run.discount_minor))).toBe(line.discount_minor)
      const bought = asked.lines.find(({ line_id }) => line_id === line.line_id)!
      expect(sum(line.units.map((run) => run.quantity))).toBe(bought.quantity)
      for (const run of line.units) expect(run.discount_minor).toBeGreaterThanOrEqual(0)
    }
  }
  byLine(asked, answered).forEach((off, i) => {
    const { unit_price_minor, quantity, floor_minor = 0 } = asked.lines[i]!
    expect(off).toBeLessThanOrEqual(Math.max(0, unit_price_minor - floor_minor) * quantity)
  })
  const said = [...answered.applied, ...answered.rejected].map(({ coupon_id }) => coupon_id).sort()
  expect(said).toEqual(coupons.map(({ coupon_id }) => coupon_id).sort())
}

const arbitraryOrder: fc.Arbitrary<Order> = fc
  .record({
    lines: fc.array(
      fc.record({
        price: fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 7 })),
        quantity: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(1_000_003)),
        floor_minor: fc.constantFrom(undefined, undefined, 5, 1000),
        category: fc.constantFrom(undefined, "x", "y"),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    shipping_minor: fc.constantFrom(undefined, 0, 499),
    instalments: fc.constantFrom(undefined, 3),
  })
  .map(({ lines, ...fields }) => order(lines, fields))

const arbitraryProfile: fc.Arbitrary<Profile | undefined> = fc.constantFrom(
  undefined,
  ...(Object.keys(PROFILES) as (keyof typeof PROFILES)[]),
  { remainder: "last", percent_base: "original", percent_per: "unit" } as const,
)

const arbitraryCoupons = fc
  .array(arbitraryBody, { maxLength: 5 })
  .map((bodies) =>
    bodies.map((body, i) => ({ coupon_id: `c${i}`, ends_at_ms: NOON + i, terms: compileTerms({ ...body, campaign_id: `k${i}` }) })),
  )

test("quote: the sums agree, nothing is negative and no line gives more than it has", () => {
  fc.assert(
    fc.property(arbitraryOrder, arbitraryCoupons, arbitraryProfile, fc.constantFrom("named", "best"), (asked, coupons, profile, wish) => {
      holds(asked, coupons, quote(asked, coupons, wish, { profile, steps_max: 200 }))
    }),
    { numRuns: 250 },
  )
})

test("quote: of any kinds, no set that stands whole gives more than the best", () => {
  fc.assert(
    fc.property(arbitraryOrder, arbitraryCoupons, arbitraryProfile, (asked, coupons, profile) => {
      const gives = ({ discount_minor, benefit_minor }: Quote) => discount_minor + benefit_minor
      const best = quote(asked, coupons, "best", { profile })
      expect(best.proved).toBe(true)
      let most = 0
      for (let set = 0; set < 2 ** coupons.length; set++) {
        const answered = quote(asked, coupons.filter((_, i) => set & (1 << i)), "named", { profile })
        if (answered.rejected.length === 0) most = Math.max(most, gives(answered))
      }
      expect(gives(best)).toBe(most)
    }),
    { numRuns: 60 },
  )
})

test("quote: the same question has the same answer, and changes nothing it was given", () => {
  const asked = order([999, { price: 333, quantity: 3 }], { shipping_minor: 100 })
  const coupons = [percent("a", 1234), amount("b", 77, { target: "everything" })]
  const before = JSON.stringify(asked)
  expect(quote(asked, coupons)).toEqual(quote(asked, coupons))
  expect(JSON.stringify(asked)).toBe(before)
})

test("quote: needs is enough to make a no a yes", () => {
  fc.assert(
    fc.property(arbitraryOrder, arbitraryCoupons, (asked, coupons) => {
      for (const { coupon_id, needs } of quote(asked, coupons).rejected) {
        if (!needs?.without || Object.keys(needs).length > 1) continue
        const again = quote(asked, coupons.filter((one) => !needs.without!.includes(one.coupon_id)))
        expect(again.applied.map((one) => one.coupon_id)).toContain(coupon_id)
      }
    }),
    { numRuns: 150 },
  )
})

test("quote: a floor is kept and what it refuses goes to the other lines", () => {
  const floors = order([
    { price: 1000 },
    { price: 2000, floor_minor: 1900 },
    { price: 5000, floor_minor: 5000 },
    { price: 3000, floor_minor: 2600 },
  ])
  expect(byLine(floors, quote(floors, [amount("a", 2000)]))).toEqual([1000, 100, 0, 400])
  const units = order([
    { price: 5000, quantity: 2, floor_minor: 4500 },
    { price: 2000, quantity: 2, floor_minor: 1500 },
    { price: 3000 },
    { price: 1000 },
  ])
  expect(byLine(units, quote(units, [amount("a", 3600)]))).toEqual([1000, 1000, 1200, 400])
  const half = order([{ price: 5000, floor_minor: 4500 }])
  expect(quote(half, [percent("a", 5000)]).discount_minor).toBe(500)
})

test("quote: a discount larger than the items takes all of them and never the shipping", () => {
  const asked = order([100], { shipping_minor: 500 })
  expect(quote(asked, [amount("a", 1000)])).toMatchObject({ discount_minor: 100, total_minor: 500 })
  expect(quote(asked, [amount("a", 550, { target: "everything" })])).toMatchObject({ total_minor: 50 })
})

test("quote: max_minor caps a percentage, in its terms and in its campaign", () => {
  const asked = order([10000])
  expect(quote(asked, [coupon("a", "percent_off", { percent_bp: 5000, max_minor: 1500 })]).discount_minor).toBe(1500)
  expect(quote(asked, [percent("a", 5000, { max_minor: 1200 })]).discount_minor).toBe(1200)
  const lines = order([1000, 2000, 3000])
  const capped = quote(lines, [coupon("a", "percent_off", { percent_bp: 5000, per: "line", max_minor: 100 })])
  expect(byLine(lines, capped)).toEqual([17, 33, 50])
})

test("quote: a percentage is rounded once, for the order, the line or the unit", () => {
  const asked = order([106, 206, 306, 406])
  const off = (per: string) => quote(asked, [coupon("a", "percent_off", { percent_bp: 1000, per })]).discount_minor
  expect([off("order"), off("line"), off("unit")]).toEqual([102, 104, 104])
  const cents = order([{ price: 15, quantity: 10 }])
  const offCents = (profile: Profile) => quote(cents, [percent("a", 1000)], "named", { profile }).discount_minor
  expect([offCents("scrip"), offCents("saleor"), offCents({ extends: "saleor", rounding: "down" })]).toEqual([15, 20, 10])
})

test("quote: the request's profile wins, axis by axis, then the campaign's, then the house's", () => {
  const asked = order([1000, 1000, 1000])
  const off = (request: Profile | undefined, campaign: Profile | undefined) =>
    byLine(asked, quote(asked, [amount("a", 1000, { profile: campaign })], "named", { profile: request }))
  expect(off(undefined, undefined)).toEqual([334, 333, 333])
  expect(off(undefined, "reaction")).toEqual([333, 333, 334])
  expect(off("scrip", "reaction")).toEqual([334, 333, 333])
  expect(off({ rounding: "down" }, "reaction")).toEqual([333, 333, 334])
})

test("quote: max_units means the cheapest units, or the dearest, and splits a line", () => {
  const asked = order([{ price: 1000, quantity: 2 }, { price: 300, quantity: 3 }])
  const half = (fields: object) => quote(asked, [coupon("a", "percent_off", { percent_bp: 5000, ...fields })])
  expect(byLine(asked, half({ max_units: 4 }))).toEqual([500, 450])
  expect(half({ max_units: 4 }).applied[0]!.lines[0]!.units).toEqual([
    { quantity: 1, discount_minor: 500 },
    { quantity: 1, discount_minor: 0 },
  ])
  expect(byLine(asked, half({ max_units: 3, pick: "dearest" }))).toEqual([1000, 150])
  expect(byLine(asked, half({ max_units_per_line: 1 }))).toEqual([500, 150])
})

test("quote: the shipping is no unit that max_units counts, and a target with it is discounted beside them", () => {
  const off = (shipping_minor: number, fields: object) => {
    const answered = quote(order([{ price: 1000, quantity: 3 }], { shipping_minor }), [coupon("a", "percent_off", { percent_bp: 5000, ...fields }, { target: "everything" })])
    return [answered.discount_minor, answered.shipping_discount_minor]
  }
  expect([off(0, { max_units: 2 }), off(400, { max_units: 2 }), off(400, { max_units_per_line: 1 }), off(400, { max_units: 2, pick: "dearest" })]).toEqual([[1000, 0], [1200, 200], [700, 200], [1200, 200]])
})

test("quote: a unit gives only what is left of it", () => {
  const asked = order([{ price: 1000, quantity: 2 }])
  const one = (id: string, amount_minor: number) =>
    coupon(id, "amount_off", { amount_minor, spread: "each_unit", max_units: 1 })
  const answered = quote(asked, [one("a", 900), one("b", 900), amount("c", 600)])
  expect(answered.applied.map(({ discount_minor }) => discount_minor)).toEqual([900, 100, 600])
  // The first unit has nothing left, so the last coupon falls on the second alone.
  expect(answered.applied[2]!.lines[0]!.units).toEqual([
    { quantity: 1, discount_minor: 0 },
    { quantity: 1, discount_minor: 600 },
  ])
})

test("quote: the odd units of several coupons lie on different units, so that none gives more than it has", () => {
  const units = (...coupons: HeldCoupon[]) => quote(order([{ price: 1000, quantity: 3 }]), coupons).applied.map(({ lines }) => lines[0]!.units.map((run) => [run.quantity, run.discount_minor]))
  const free = coupon("b", "percent_off", { percent_bp: 10000, max_units: 1 })
  expect(units(amount("a", 100), free)).toEqual([[[1, 34], [2, 33]], [[1, 966], [2, 0]]])
  expect(units(amount("a", 100), amount("b", 100), amount("c", 101))).toEqual([[[1, 34], [2, 33]], [[1, 33], [1, 34], [1, 33]], [[1, 34], [1, 33], [1, 34]]])
  const cents = quote(order([{ price: 1, quantity: 3 }]), [amount("a", 1), amount("b", 1), amount("c", 1)])
  expect(cents.applied.map(({ lines }) => lines[0]!.units.flatMap((run) => new Array(run.quantity).fill(run.discount_minor)))).toEqual([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
})

test("quote: a line of the largest quantity costs no more time than a small one", () => {
  const asked = order([{ price: 1, quantity: MONEY_MAX - 10 }, 10])
  const answered = quote(asked, [percent("a", 3333), coupon("b", "amount_off", { amount_minor: 1, spread: "each_unit", max_units: 5 })])
  holds(asked, [percent("a", 1), percent("b", 1)], answered)
  expect(answered.applied[0]!.discount_minor).toBe(Number((BigInt(MONEY_MAX) * 3333n * 2n + 10000n) / 20000n))
})

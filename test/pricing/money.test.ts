// Money to the cent: products held to BigInt, shares that sum, roundings by name.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { splitFunding } from "../../engine/pricing/funding.ts"
import { MONEY_MAX, mulDiv, mulDivHalfUp, share, type Remainder, type Rounding } from "../../engine/pricing/money.ts"

const sum = (amounts: readonly number[]): number => amounts.reduce((a, b) => a + b, 0)
const roundings: Rounding[] = ["half_up", "half_even", "half_down", "down"]
const remainders: Remainder[] = ["largest", "first", "first_rounded", "last"]

test("mulDiv: agrees with BigInt up to the largest money", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 10000 }), (amount, bp) => {
      const twice = (BigInt(amount) * BigInt(bp) * 2n + 10000n) / 20000n
      expect(mulDivHalfUp(amount, bp, 10000)).toBe(Number(twice))
    }),
  )
  expect(mulDivHalfUp(MONEY_MAX, MONEY_MAX, MONEY_MAX)).toBe(MONEY_MAX)
  expect(mulDivHalfUp(MONEY_MAX, 10000, 10000)).toBe(MONEY_MAX)
})

test("mulDiv: each rounding does with a half what its name says", () => {
  const halves = (rounding: Rounding) => [1, 3, 5].map((odd) => mulDiv(odd, 1, 2, rounding))
  expect(halves("half_up")).toEqual([1, 2, 3])
  expect(halves("half_even")).toEqual([0, 2, 2])
  expect(halves("half_down")).toEqual([0, 1, 2])
  expect(halves("down")).toEqual([0, 1, 2])
  for (const rounding of roundings) expect(mulDiv(7, 1, 4, rounding)).toBe(rounding === "down" ? 1 : 2)
})

test("share: sums to the total, never negative, zero weights get nothing, by every policy", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 2 ** 44 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 0, max: 10000 }),
      fc.constantFrom(...remainders),
      (weights, bp, remainder) => {
        const total = mulDivHalfUp(sum(weights), bp, 10000)
        const parts = share(total, weights, weights, remainder)
        expect(sum(parts)).toBe(total)
        parts.forEach((part, i) => {
          expect(part).toBeGreaterThanOrEqual(0)
          expect(part).toBeLessThanOrEqual(weights[i]!)
        })
      },
    ),
  )
})

test("share: with caps it gives the total, or all the room there is", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 0, max: 3000 })), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 0, max: 40000 }),
      fc.constantFrom(...remainders),
      (lines, total, remainder) => {
        const caps = lines.map(([, cap]) => cap)
        const parts = share(total, lines.map(([weight]) => weight), caps, remainder)
        expect(sum(parts)).toBe(Math.min(total, sum(caps)))
        parts.forEach((part, i) => expect(part >= 0 && part <= caps[i]!).toBe(true))
      },
    ),
  )
})

test("share: the leftover goes where the policy says", () => {
  expect(share(5000, [12000, 23000, 30000])).toEqual([923, 1769, 2308])
  expect(share(5000, [12000, 23000, 30000], undefined, "first")).toEqual([924, 1769, 2307])
  expect(share(300, [4300, 1400, 2300])).toEqual([161, 53, 86])
  expect(share(300, [4300, 1400, 2300], undefined, "first_rounded")).toEqual([162, 52, 86])
  expect(share(299, [4300, 1400, 2300], undefined, "first_rounded")).toEqual([161, 52, 86])
  expect(share(1000, [1000, 1000, 1000], undefined, "last")).toEqual([333, 333, 334])
  expect(share(500, [400, 4500], undefined, "last")).toEqual([41, 459])
  expect(share(299, [1000, 1000, 1000])).toEqual([100, 100, 99])
  expect(share(93, [10, 20, 10, 30, 50, 20, 10, 40])).toEqual([5, 10, 5, 15, 24, 10, 5, 19])
  expect(share(299, [0])).toEqual([0])
  expect(share(2, [1, 1, 1, 1], undefined, "last")).toEqual([1, 1, 0, 0])
})

test("share: products beyond 2^53 stay exact", () => {
  const weights = [2 ** 51 + 1, 2 ** 51 - 3, 2 ** 50]
  const total = 2 ** 52 + 12345
  const parts = share(total, weights)
  const whole = BigInt(sum(weights))
  expect(sum(parts)).toBe(total)
  parts.forEach((part, i) => {
    const exact = (BigInt(total) * BigInt(weights[i]!)) / whole
    expect(BigInt(part) - exact === 0n || BigInt(part) - exact === 1n).toBe(true)
  })
})

test("splitFunding: every cent has one payer", () => {
  expect(splitFunding(100, [{ share_bp: 3333 }, { share_bp: 3333 }, { share_bp: 3334 }])).toEqual([33, 33, 34])
  expect(splitFunding(1, [{ share_bp: 5000 }, { share_bp: 5000 }])).toEqual([1, 0])
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 10000 }), (amount, bp) => {
      expect(sum(splitFunding(amount, [{ share_bp: bp }, { share_bp: 10000 - bp }]))).toBe(amount)
    }),
  )
})

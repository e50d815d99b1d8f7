// What holds of every price, over random orders with coupons of every kind, rule and policy. `SCRIP_PROPERTY_ORDERS` makes it
// longer (100,000 take some minutes), `SCRIP_SEED` chooses others.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { mulDiv, share, type Remainder, type Rounding } from "../../engine/pricing/money.ts"
import { price } from "../../engine/pricing/price.ts"
import { takeBack, type RefundLine } from "../../engine/pricing/refund.ts"
import type { Order, Quote } from "../../engine/pricing/types.ts"
import { SEED } from "../support/seed.ts"
import { arbitraryCoupons, arbitraryOrder, arbitrarySetting, holdsForAll } from "./campaigns.ts"
import { NOON, order as orderOf, percent, quote } from "./shop.ts"

const ORDERS = Number(process.env["SCRIP_PROPERTY_ORDERS"] ?? 10_000)
/** Ten thousand orders take ten seconds of a processor, and as much longer as it has other work. */
const RUN_MS_MAX = 60_000 + ORDERS * 60
const COUPONS_MAX = 5

const sum = (amounts: readonly number[]): number => amounts.reduce((all, one) => all + one, 0)
const wrong = (what: string, is: boolean): string[] => (is ? [] : [what])

/** What is wrong with the sums and the floors of an answer. */
function faultsOf(order: Order, answered: Quote): string[] {
  const { applied, discount_minor, shipping_discount_minor, total_minor, benefit_minor, cost_minor } = answered
  const worth = sum(order.lines.map(({ unit_price_minor, quantity }) => unit_price_minor * quantity)) + (order.shipping_minor ?? 0)
  const found = [
    ...wrong("the total is not what is left", total_minor === worth - discount_minor && total_minor >= 0),
    ...wrong("the coupons do not sum to the discount", discount_minor === sum(applied.map((one) => one.discount_minor)) && shipping_discount_minor === sum(applied.map((one) => one.shipping_discount_minor))),
    ...wrong("benefits or costs do not sum", benefit_minor === sum(applied.map((one) => one.benefit_minor)) && cost_minor === sum(applied.map((one) => one.cost_minor))),
    ...wrong("the shipping is paid back", shipping_discount_minor <= (order.shipping_minor ?? 0)),
  ]
  for (const { coupon_id, detail } of answered.rejected) found.push(...wrong(`${coupon_id} is told of a part of a minor unit: ${detail}`, !/\d\.\d/.test(detail)))
  for (const one of applied) {
    found.push(...wrong(`${one.coupon_id}: its lines do not sum to it`, one.discount_minor === sum(one.lines.map((line) => line.discount_minor)) + one.shipping_discount_minor))
    found.push(...wrong(`${one.coupon_id} is applied and changes nothing`, one.discount_minor + one.benefit_minor > 0))
    for (const line of one.lines) {
      const units = sum(line.units.map(({ quantity, discount_minor: each }) => quantity * each))
      found.push(...wrong(`${one.coupon_id}: the units of ${line.line_id} do not sum to it`, units === line.discount_minor && line.units.every((run) => run.discount_minor >= 0 && run.quantity > 0)))
    }
  }
  for (const { line_id, unit_price_minor, quantity, floor_minor = 0 } of order.lines) {
    const left = unit_price_minor * quantity - sum(applied.flatMap(({ lines }) => lines.filter((line) => line.line_id === line_id).map((line) => line.discount_minor)))
    found.push(...wrong(`${line_id} is below its floor`, left >= Math.min(floor_minor, unit_price_minor) * quantity))
    const ofUnits = new Array<number>(quantity).fill(0)
    for (const { lines } of applied) {
      const runs = lines.filter((line) => line.line_id === line_id).flatMap((line) => line.units)
      runs.flatMap((run) => new Array<number>(run.quantity).fill(run.discount_minor)).forEach((off, unit) => (ofUnits[unit]! += off))
    }
    found.push(...wrong(`a unit of ${line_id} gives more than it has: ${ofUnits.join(", ")}`, ofUnits.every((off) => off <= Math.max(0, unit_price_minor - floor_minor))))
  }
  return found
}

/** What is wrong with giving every line back, in a split that chance makes. */
function refundFaults(order: Order, { applied, discount_minor }: Quote, chance: readonly number[]): string[] {
  let lines: RefundLine[] = order.lines.map(({ line_id, quantity, unit_price_minor }) => ({
    line_id, quantity, refunded: 0, unit_price_minor,
    discounts: applied.map((one) => one.lines.find((line) => line.line_id === line_id)?.discount_minor ?? 0),
  }))
  const shipping = applied.map((one) => one.shipping_discount_minor)
  const open = order.lines.flatMap(({ line_id, quantity }) => new Array<string>(quantity).fill(line_id))
  let back = 0
  let paid = 0
  for (let turn = 0; open.length > 0; turn++) {
    const [line_id] = open.splice(chance[turn % chance.length]! % open.length, 1)
    const taken = takeBack(lines, [{ line_id: line_id!, quantity: 1 }], shipping)
    if (taken.outcome !== "ok") return [`a unit of ${line_id} cannot go back`]
    back += taken.discount_minor
    paid += taken.refund_minor
    lines = lines.map((line, i) => ({ ...line, refunded: taken.lines[i]!.refunded, left: taken.lines[i]!.left }))
  }
  const worth = sum(order.lines.map(({ unit_price_minor, quantity }) => unit_price_minor * quantity))
  const onLines = discount_minor - sum(shipping)
  return [...wrong("what went back to the budgets is not the discount", back === discount_minor), ...wrong("what went back to the customer is not what he paid", paid === worth - onLines)]
}

const givesOf = (answered: Quote): number => answered.discount_minor + answered.benefit_minor

test(`properties: sums, floors, refunds and more coupons, over ${ORDERS} orders`, () => {
  let applied = 0
  let unproved = 0
  const chances = fc.array(fc.nat(), { minLength: 4, maxLength: 4 })
  holdsForAll(
    fc.property(arbitraryOrder, arbitraryCoupons(COUPONS_MAX), arbitrarySetting, chances, (order, coupons, made, chance) => {
      const setting = { now_ms: NOON, ...made }
      const named = price(order, coupons, "named", setting)
      const best = price(order, coupons, "best", setting)
      expect([...faultsOf(order, named), ...faultsOf(order, best), ...refundFaults(order, named, chance)]).toEqual([])
      expect(named.applied.length + named.rejected.length).toBe(coupons.length)

      const fewer = price(order, coupons.filter((_, i) => i !== chance[0]! % coupons.length), "best", setting)
      if (best.proved && fewer.proved && givesOf(best) < givesOf(fewer)) throw new Error(`${coupons.length} coupons give ${givesOf(best)}, one less ${givesOf(fewer)}`)
      if (best.proved && givesOf(best) < givesOf(named)) throw new Error(`the best gives ${givesOf(best)}, the whole list ${givesOf(named)}`)
      if (!best.proved) unproved += 1
      applied += best.applied.length
    }),
    { numRuns: ORDERS, seed: SEED, endOnFailure: true },
  )
  console.log(`properties: seed ${SEED}, ${ORDERS} orders, ${applied} coupons applied by "best", ${unproved} not proved`)
  expect(applied).toBeGreaterThan(ORDERS / 2)
  expect(unproved).toBe(0)
}, RUN_MS_MAX)

// --- exact beyond 2^53

const roundBig = (product: bigint, divisor: bigint, rounding: Rounding): bigint => {
  const [floor, rest] = [product / divisor, product % divisor]
  const up = rounding === "half_up" ? rest * 2n >= divisor : rounding === "half_down" ? rest * 2n > divisor : rounding === "half_even" ? rest * 2n > divisor || (rest * 2n === divisor && floor % 2n === 1n) : false
  return up ? floor + 1n : floor
}

/** The shares of a total, by the words of the contract, in BigInt. */
function shareBig(total: bigint, weights: readonly bigint[], remainder: Remainder): bigint[] {
  const all = weights.reduce((one, other) => one + other, 0n)
  if (all === 0n) return weights.map(() => 0n)
  if (remainder === "last") {
    const last = weights.findLastIndex((weight) => weight > 0n)
    let left = total
    return weights.map((weight, i) => {
      if (i > last) return 0n
      const rounded = i === last ? left : roundBig(total * weight, all, "half_up")
      const part = rounded > left ? left : rounded
      left -= part
      return part
    })
  }
  const parts = weights.map((weight) => (remainder === "first_rounded" ? roundBig(total * weight, all, "half_down") : (total * weight) / all))
  let left = total - parts.reduce((one, other) => one + other, 0n)
  const byFraction = weights.map((weight, i) => ({ i, rest: (total * weight) % all })).sort((a, b) => (a.rest === b.rest ? a.i - b.i : a.rest > b.rest ? -1 : 1))
  const turns = remainder === "largest" ? byFraction.map(({ i }) => i) : weights.flatMap((weight, i) => (weight > 0n ? [i] : []))
  for (const i of turns) {
    if (left === 0n) break
    const step = left > 0n ? 1n : -1n
    if (parts[i]! + step < 0n) continue
    parts[i]! += step
    left -= step
  }
  return parts
}

const amount = fc.oneof(fc.maxSafeNat(), fc.integer({ min: 0, max: 100_000 }), fc.bigInt({ min: 2n ** 50n, max: 2n ** 53n - 1n }).map(Number))
const rounding = fc.constantFrom<Rounding>("half_up", "half_even", "half_down", "down")
const remainder = fc.constantFrom<Remainder>("largest", "first", "first_rounded", "last")

test("exact: products of two amounts over a third are BigInt's, by every rounding", () => {
  fc.assert(
    fc.property(amount, amount, amount, rounding, (a, b, c, how) => {
      if (c === 0 || (BigInt(a) * BigInt(b)) / BigInt(c) >= 2n ** 53n - 1n) return
      expect(mulDiv(a, b, c, how)).toBe(Number(roundBig(BigInt(a) * BigInt(b), BigInt(c), how)))
    }),
    { numRuns: 5_000, seed: SEED },
  )
})

test("exact: shares of any amount are BigInt's, by every policy", () => {
  fc.assert(
    fc.property(amount, fc.array(amount, { minLength: 1, maxLength: 12 }), remainder, (total, raw, how) => {
      const weights = raw.map((weight) => Math.floor(weight / raw.length))
      const most = Math.min(total, sum(weights))
      expect(share(most, weights, undefined, how)).toEqual(shareBig(BigInt(most), weights.map(BigInt), how).map(Number))
    }),
    { numRuns: 5_000, seed: SEED },
  )
})

test("exact: an order of the largest amounts is priced as BigInt prices it", () => {
  fc.assert(
    fc.property(fc.array(amount, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 10_000 }), rounding, remainder, (raw, percent_bp, how, spread) => {
      const prices = raw.map((one) => Math.floor(one / raw.length))
      const asked = orderOf(prices)
      const all = BigInt(sum(prices))
      const wanted = roundBig(all * BigInt(percent_bp), 10_000n, how)
      const answered = quote(asked, [percent("a", percent_bp)], "named", { profile: { rounding: how, remainder: spread } })
      expect(answered.discount_minor).toBe(Number(wanted))
      // Only a share by largest remainder never gives a line more than it costs, which is then shared again.
      if (wanted > 0n && spread === "largest") expect(prices.map((_, i) => answered.applied[0]!.lines.find(({ line_id }) => line_id === `l${i + 1}`)?.discount_minor ?? 0)).toEqual(shareBig(wanted, prices.map(BigInt), spread).map(Number))
    }),
    { numRuns: 3_000, seed: SEED },
  )
})

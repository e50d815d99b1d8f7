// A refund that looks again: what the customer keeps is priced anew, and what it holds too much is withheld.
//
// Who buys six to reach a threshold and sends five back should not keep the sixth at the price of six. So the kept
// units are priced with the redemption's coupons, terms, policy and instant; what lies on them beyond that goes back to
// the budgets out of the money for the returned units.
// What must stay true: nothing is withheld beyond what was paid for the units returned; over all refunds together the
// budgets get back each coupon's discount, no more.

import { share } from "./money.ts"
import { price } from "./price.ts"
import { takeBack, type RefundAsk, type RefundLine, type TakenBack } from "./refund.ts"
import type { HeldCoupon, Order, Setting } from "./types.ts"

/** What a redemption remembers for its refunds. */
export type Remembered = {
  readonly order: Order
  /** The applied coupons in the redemption's order, with the terms they were applied by. */
  readonly coupons: readonly HeldCoupon[]
  /** The policy and the instant of the redemption. */
  readonly setting: Setting
  /** The order's lines in its order, with their prices. */
  readonly lines: readonly RefundLine[]
  /** What each coupon took off the shipping. */
  readonly shipping: readonly number[]
  /** Which of the coupons look again; all where this is missing. */
  readonly looksAgain?: readonly boolean[]
}

type Refused = Extract<TakenBack, { outcome: "refund_exceeds" }>
type Back = Extract<TakenBack, { outcome: "ok" }>

/** Takes units back and withholds what the kept ones hold too much. `discount_minor` and `taken` include what is withheld. */
export function takeBackReEvaluated(remembered: Remembered, ask: RefundAsk): Refused | (Back & { withheld_minor: number }) {
  const { order, coupons, setting, lines, shipping, looksAgain } = remembered
  const back = takeBack(lines, ask, shipping)
  if (back.outcome !== "ok" || back.full) return back.outcome === "ok" ? { ...back, withheld_minor: 0 } : back

  const kept = order.lines.flatMap((line, i) => {
    const quantity = line.quantity - back.lines[i]!.refunded
    return quantity > 0 ? [{ ...line, quantity }] : []
  })
  const anew = price({ ...order, lines: kept }, coupons, "named", setting)
  const byCoupon = coupons.map(({ coupon_id }) => {
    const applied = anew.applied.find((one) => one.coupon_id === coupon_id)
    return new Map(applied?.lines.map((line) => [line.line_id, line.discount_minor]))
  })

  let held = 0
  let due = 0
  const beyond: number[] = []
  for (const { line_id, left } of back.lines) {
    left.forEach((amount, coupon) => {
      const now = looksAgain?.[coupon] === false ? amount : byCoupon[coupon]!.get(line_id) ?? 0
      held += amount
      due += now
      beyond.push(Math.max(0, amount - now))
    })
  }
  const withheld_minor = Math.max(0, Math.min(held - due, back.refund_minor))
  // It leaves the lines and coupons that hold too much, in proportion to how much too much they hold.
  const parts = share(withheld_minor, beyond, beyond)
  const taken = back.taken.slice()
  let turn = 0
  const after = back.lines.map((line) => ({
    ...line,
    left: line.left.map((amount, coupon) => {
      const part = parts[turn++]!
      taken[coupon]! += part
      return amount - part
    }),
  }))
  return {
    ...back,
    lines: after,
    taken,
    discount_minor: back.discount_minor + withheld_minor,
    withheld_minor,
    refund_minor: back.refund_minor - withheld_minor,
  }
}

// What a refund gives back, counted in units of the lines that were bought.
//
// A line's discount lies evenly on its units, the first ones carry what is left over; a refund takes units from the
// last to the first. What must stay true: any split of a return into refunds, in any order, adds up to the discount,
// because each refund is the difference of two sums over the line's first units.

/** A bought line as the redemption holds it: how much of it has gone back and what each applied coupon took off it. */
export type RefundLine = {
  readonly line_id: string
  readonly quantity: number
  readonly refunded: number
  /** One amount for each applied coupon, in the redemption's order. */
  readonly discounts: readonly number[]
}

/** What is returned: everything that is left, or units of lines. */
export type RefundAsk = "all" | readonly { readonly line_id: string; readonly quantity: number }[]

/** A refund's effect on the lines and coupons, or the line that has not so many units left. */
export type TakenBack =
  | { outcome: "refund_exceeds"; line_id: string; left: number }
  | {
      outcome: "ok"
      lines: { line_id: string; refunded: number }[]
      /** What goes back, for each applied coupon. */
      taken: number[]
      discount_minor: number
      /** Every unit of every line has now gone back. */
      full: boolean
    }

/**
 * Takes units back. `shipping` is what each coupon took off the shipping: it goes back with the last unit.
 * The order of the lines in an ask does not matter, and a line may be named twice.
 */
export function takeBack(lines: readonly RefundLine[], ask: RefundAsk, shipping: readonly number[] = []): TakenBack {
  const refunded = lines.map((line) => line.refunded)
  const coupons = Math.max(shipping.length, ...lines.map((line) => line.discounts.length))
  const taken = new Array<number>(coupons).fill(0)

  const wanted =
    ask === "all" ? lines.map((line) => ({ line_id: line.line_id, quantity: line.quantity - line.refunded })) : ask
  if (ask === "all" && wanted.every((want) => want.quantity === 0))
    return { outcome: "refund_exceeds", line_id: lines[0]?.line_id ?? "", left: 0 }

  for (const want of wanted) {
    const i = lines.findIndex((line) => line.line_id === want.line_id)
    const line = lines[i]
    if (!line) return { outcome: "refund_exceeds", line_id: want.line_id, left: 0 }
    const kept = line.quantity - refunded[i]!
    if (want.quantity > kept) return { outcome: "refund_exceeds", line_id: line.line_id, left: kept }
    refunded[i]! += want.quantity
    line.discounts.forEach((discount, coupon) => {
      taken[coupon]! +=
        onFirstUnits(discount, line.quantity, kept) - onFirstUnits(discount, line.quantity, kept - want.quantity)
    })
  }

  const full = lines.every((line, i) => refunded[i] === line.quantity)
  if (full) shipping.forEach((discount, coupon) => (taken[coupon]! += discount))
  return {
    outcome: "ok",
    lines: lines.map((line, i) => ({ line_id: line.line_id, refunded: refunded[i]! })),
    taken,
    discount_minor: taken.reduce((sum, amount) => sum + amount, 0),
    full,
  }
}

/** What of a discount lies on a line's first units. */
function onFirstUnits(discount_minor: number, quantity: number, units: number): number {
  const each = Math.floor(discount_minor / quantity)
  return each * units + Math.min(units, discount_minor - each * quantity)
}

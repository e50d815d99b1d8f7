// What a refund gives back, counted in units of the lines that were bought.
//
// A line's discount lies evenly on its units, the first ones carry what is left over, also where several coupons made it:
// what one coupon leaves over goes on where the one before it has ended, so no unit carries more than it cost. A refund
// takes units from the last to the first. What must stay true: any split of a return into refunds, in any order, adds up to the discount,
// because each refund is the difference of two sums over the units that are kept.

/** A bought line as the redemption holds it: how much of it has gone back and what each applied coupon took off it. */
export type RefundLine = {
  readonly line_id: string
  readonly quantity: number
  readonly refunded: number
  readonly unit_price_minor?: number
  /** One amount for each applied coupon, in the redemption's order. */
  readonly discounts: readonly number[]
  /** What of them still lies on the kept units, where a refund has withheld some of it. */
  readonly left?: readonly number[] | undefined
}

/** What is returned: everything that is left, or units of lines. */
export type RefundAsk = "all" | readonly { readonly line_id: string; readonly quantity: number }[]

/** A line after a refund. */
export type KeptLine = {
  readonly line_id: string
  readonly refunded: number
  /** What still lies on the kept units, for each applied coupon. */
  readonly left: readonly number[]
}

/** A refund's effect on the lines and coupons, or the line that has not so many units left. */
export type TakenBack =
  | { outcome: "refund_exceeds"; line_id: string; left: number }
  | {
      outcome: "ok"
      lines: KeptLine[]
      /** What goes back to the budgets, for each applied coupon. */
      taken: number[]
      discount_minor: number
      /** What the customer paid for the returned units, where the lines say their prices. */
      refund_minor: number
      /** Every unit of every line has now gone back. */
      full: boolean
    }

/**
 * Takes units back. `shipping` is what each coupon took off the shipping: it goes back with the last unit.
 * The order of the lines in an ask does not matter, and a line may be named twice.
 */
export function takeBack(lines: readonly RefundLine[], ask: RefundAsk, shipping: readonly number[] = []): TakenBack {
  const coupons = Math.max(shipping.length, ...lines.map((line) => line.discounts.length))
  const taken = new Array<number>(coupons).fill(0)
  const now = lines.map((line) => ({ refunded: line.refunded, left: leftOn(line).slice() }))
  let refund_minor = 0

  const wanted =
    ask === "all" ? lines.map((line) => ({ line_id: line.line_id, quantity: line.quantity - line.refunded })) : ask
  if (ask === "all" && wanted.every((want) => want.quantity === 0))
    return { outcome: "refund_exceeds", line_id: lines[0]?.line_id ?? "", left: 0 }

  for (const want of wanted) {
    const i = lines.findIndex((line) => line.line_id === want.line_id)
    const line = lines[i]
    if (!line) return { outcome: "refund_exceeds", line_id: want.line_id, left: 0 }
    const { refunded, left } = now[i]!
    const kept = line.quantity - refunded
    if (want.quantity > kept) return { outcome: "refund_exceeds", line_id: line.line_id, left: kept }
    now[i]!.refunded += want.quantity
    refund_minor += (line.unit_price_minor ?? 0) * want.quantity
    const stays = onFirstUnits(left, kept, kept - want.quantity)
    left.forEach((discount, coupon) => {
      taken[coupon]! += discount - stays[coupon]!
      refund_minor -= discount - stays[coupon]!
      left[coupon] = stays[coupon]!
    })
  }

  const full = lines.every((line, i) => now[i]!.refunded === line.quantity)
  if (full) shipping.forEach((discount, coupon) => (taken[coupon]! += discount))
  return {
    outcome: "ok",
    lines: lines.map((line, i) => ({ line_id: line.line_id, ...now[i]! })),
    taken,
    discount_minor: taken.reduce((sum, amount) => sum + amount, 0),
    refund_minor: Math.max(0, refund_minor),
    full,
  }
}

/** What of a line's discounts lies on the units that are kept. */
const leftOn = (line: RefundLine): readonly number[] => line.left ?? onFirstUnits(line.discounts, line.quantity, line.quantity - line.refunded)

/** What of each coupon's discount lies on the first units of so many. */
function onFirstUnits(discounts: readonly number[], quantity: number, units: number): number[] {
  let next = 0
  return discounts.map((discount_minor) => {
    if (quantity === 0) return 0
    const each = Math.floor(discount_minor / quantity)
    const over = discount_minor - each * quantity
    // One more for each of the units from `next` on, around the end and on from the first.
    const until = next + over
    const ahead = Math.max(0, Math.min(until, units) - next)
    const around = Math.max(0, Math.min(until - quantity, units))
    next = until % quantity
    return each * units + ahead + around
  })
}

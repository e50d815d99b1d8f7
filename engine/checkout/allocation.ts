/**
 * The body of a redemption: everything its later answers and refunds need, stored with it.
 *
 * A past order is never recomputed from today's rules, so what each line got is kept. The text is opaque to Lua and to
 * the flusher. It is an array, because a day of orders lives in Redis: 3 lines and 1 coupon take about 150 bytes. What is as nearly always
 * (units alike, no shipping discount, the house's policy) takes none.
 */
import type { Profile, Policy } from "../pricing/policy.ts"
import { evenUnits, type Quote } from "../pricing/price.ts"
import type { AppliedLine, Gift, Instalment, Order } from "../pricing/types.ts"

/** One line of the order: what was bought, and how much of it has been refunded. */
export interface AllocatedLine { line_id: string; quantity: number; refunded: number; unit_price_minor: number }

type Units = AppliedLine["units"]

/** What a coupon takes off one line, by the line's place in the order. */
export interface AllocatedOff {
  place: number
  discount_minor: number
  /** What of it lies on the kept units, where a refund has withheld some of it. */
  left_minor?: number | undefined
  /** Where the units of the line did not fare alike. */
  units?: Units | undefined
}

/** What a coupon gives beside the price. */
export interface Given { gifts?: readonly Gift[] | undefined; schedule?: readonly Instalment[] | undefined }

/** One applied coupon, in the order of the redemption record's coupons. */
export interface AllocatedCoupon extends Given {
  coupon_id: string
  campaign_id: string
  discount_minor: number
  lines: AllocatedOff[]
  shipping_discount_minor: number
  benefit_minor: number
}

/**
 * What a refund needs to price the kept units anew, where a coupon's campaign asks for it: the order as it was priced, the instant, the
 * order of kinds, and for each applied coupon its campaign's number and version, whether it looks again, and the policy it was priced by.
 */
export interface Remembered {
  order: Order
  at_ms: number
  kind_order: Policy["kind_order"]
  coupons: [campaign_no: number, version: number, looks_again: 0 | 1, policy: Policy][]
}

export interface Allocation {
  order_id: string
  user_id: string
  request_id: string
  hold_ms: number
  discount_minor: number
  total_minor: number
  profile: Profile
  proved: boolean
  gap_minor: number
  lines: AllocatedLine[]
  applied: AllocatedCoupon[]
  /** What a "best" reserve left out, as its answer said it. */
  rejected?: Quote["rejected"] | undefined
  remembered?: Remembered | undefined
}

type PackedOff = [place: number, discount_minor: number, left_minor?: number | null, units?: [number, number][]]
type PackedCoupon = [coupon_id: string, campaign_id: string, discount_minor: number, lines: PackedOff[], shipping_discount_minor?: number, benefit_minor?: number, given?: Given]
type PackedRest = [profile: Profile, proved: 0 | 1, gap_minor: number, remembered?: Remembered]
type Packed = [
  order_id: string, user_id: string, request_id: string, hold_ms: number, discount_minor: number, total_minor: number,
  lines: [string, number, number, number][], applied: PackedCoupon[], rejected: Quote["rejected"] | 0, rest?: PackedRest,
]

const packOff = ({ place, discount_minor, left_minor, units }: AllocatedOff): PackedOff =>
  units ? [place, discount_minor, left_minor ?? null, units.map((run) => [run.quantity, run.discount_minor])]
    : left_minor === undefined ? [place, discount_minor] : [place, discount_minor, left_minor]

const packCoupon = ({ coupon_id, campaign_id, discount_minor, lines, shipping_discount_minor, benefit_minor, gifts, schedule }: AllocatedCoupon): PackedCoupon => {
  const packed: PackedCoupon = [coupon_id, campaign_id, discount_minor, lines.map(packOff)]
  if (shipping_discount_minor > 0 || benefit_minor > 0) packed.push(shipping_discount_minor)
  if (benefit_minor > 0) packed.push(benefit_minor)
  if (gifts || schedule) packed.push({ gifts, schedule })
  return packed
}

const packRest = ({ profile, proved, gap_minor, remembered }: Allocation): [PackedRest] | [] =>
  remembered ? [[profile, proved ? 1 : 0, gap_minor, remembered]] : profile === "scrip" && proved ? [] : [[profile, proved ? 1 : 0, gap_minor]]

/** The allocation as text. */
export const encodeAllocation = (a: Allocation): string => JSON.stringify([
  a.order_id, a.user_id, a.request_id, a.hold_ms, a.discount_minor, a.total_minor,
  a.lines.map((line) => [line.line_id, line.quantity, line.refunded, line.unit_price_minor]),
  a.applied.map(packCoupon), a.rejected ?? 0, ...packRest(a),
] satisfies Packed)

const unpackCoupon = ([coupon_id, campaign_id, discount_minor, lines, shipping_discount_minor = 0, benefit_minor = 0, given]: PackedCoupon): AllocatedCoupon => ({
  coupon_id, campaign_id, discount_minor,
  lines: lines.map(([place, off, left_minor, units]) => ({
    place, discount_minor: off, left_minor: left_minor ?? undefined, units: units?.map(([quantity, each]) => ({ quantity, discount_minor: each })),
  })),
  shipping_discount_minor, benefit_minor, ...given,
})

/** The allocation that a text says. */
export const decodeAllocation = (body: string): Allocation => {
  const [order_id, user_id, request_id, hold_ms, discount_minor, total_minor, lines, applied, rejected, rest] = JSON.parse(body) as Packed
  const [profile, proved, gap_minor, remembered]: PackedRest = rest ?? ["scrip", 1, 0]
  return {
    order_id, user_id, request_id, hold_ms, discount_minor, total_minor, profile, proved: proved === 1, gap_minor,
    lines: lines.map(([line_id, quantity, refunded, unit_price_minor]) => ({ line_id, quantity, refunded, unit_price_minor })),
    applied: applied.map(unpackCoupon),
    rejected: rejected === 0 ? undefined : rejected, remembered,
  }
}

const isEven = (units: Units, quantity: number, discount_minor: number): boolean => {
  const even = evenUnits(quantity, discount_minor)
  return units.length === even.length && units.every((run, i) => run.quantity === even[i]!.quantity && run.discount_minor === even[i]!.discount_minor)
}

/** What a quote has applied, as it is stored. */
export const allocatedOf = (applied: Quote["applied"], lines: Order["lines"]): AllocatedCoupon[] => {
  // Filled one by one, because to make a map of a list of pairs took 9 of a reserve's 290 µs (2026-11-22).
  const placeOf = new Map<string, number>()
  for (let place = 0; place < lines.length; place += 1) placeOf.set(lines[place]!.line_id, place)
  return applied.map(({ coupon_id, campaign_id, discount_minor, shipping_discount_minor, benefit_minor, gifts, schedule, lines: its }) => ({
    coupon_id, campaign_id, discount_minor, shipping_discount_minor, benefit_minor, gifts, schedule,
    lines: its.map(({ line_id, discount_minor: off, units }) => {
      const place = placeOf.get(line_id)!
      return { place, discount_minor: off, units: isEven(units, lines[place]!.quantity, off) ? undefined : units }
    }),
  }))
}

/** What a coupon costs its budgets. */
export const costOf = ({ discount_minor, benefit_minor }: AllocatedCoupon): number => discount_minor + benefit_minor

/** What goes back with the order's last unit and not with its lines: off the shipping, or given beside the price. */
export const besideOf = ({ shipping_discount_minor, benefit_minor }: AllocatedCoupon): number => shipping_discount_minor + benefit_minor

/** What was priced, as an answer says it. */
export const pricedOf = ({ applied, lines, discount_minor, total_minor, profile, proved, gap_minor }: Allocation) => ({
  discount_minor,
  shipping_discount_minor: applied.reduce((sum, coupon) => sum + coupon.shipping_discount_minor, 0),
  total_minor,
  benefit_minor: applied.reduce((sum, coupon) => sum + coupon.benefit_minor, 0),
  cost_minor: applied.reduce((sum, coupon) => sum + costOf(coupon), 0),
  profile, proved, gap_minor,
  applied: applied.map((coupon) => ({
    coupon_id: coupon.coupon_id, campaign_id: coupon.campaign_id, discount_minor: coupon.discount_minor,
    shipping_discount_minor: coupon.shipping_discount_minor, benefit_minor: coupon.benefit_minor, cost_minor: costOf(coupon),
    lines: coupon.lines.map(({ place, discount_minor: off, units }) => {
      const { line_id, quantity } = lines[place]!
      return { line_id, discount_minor: off, units: units ?? evenUnits(quantity, off) }
    }),
    ...(coupon.gifts ? { gifts: coupon.gifts } : {}),
    ...(coupon.schedule ? { schedule: coupon.schedule } : {}),
  })),
})

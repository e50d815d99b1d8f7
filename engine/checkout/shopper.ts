/**
 * What Scrip itself knows of a shopper, put into the order before it is priced.
 */
import type { Order } from "../contract/order.ts"
import { readLevels } from "../levels/read.ts"
import type { Parts } from "../parts.ts"
import type { HeldCoupon } from "../pricing/types.ts"

/** The order with the user's stored badge levels, where a coupon asks for one that the order does not name: what it names goes first. */
export const withLevels = async (parts: Parts, user: string | undefined, order: Order, coupons: readonly HeldCoupon[]): Promise<Order> => {
  const { badges = {} } = order
  const isAsked = coupons.some(({ terms: { minBadge } }) => minBadge !== undefined && !Object.hasOwn(badges, minBadge.badge_id))
  if (!isAsked || user === undefined) return order
  const levels = await readLevels(parts, user)
  return levels.length === 0 ? order : { ...order, badges: { ...Object.fromEntries(levels.map(({ badge_id, level }) => [badge_id, level])), ...badges } }
}

// The search's second bound: no set of coupons gives more than it says, from the whole order and from what coupons leave of it.

import { expect, test } from "bun:test"
import { FAMILIES, instanceOf, type Family } from "../../bench/families.ts"
import { candidatesOf } from "../../engine/pricing/candidate.ts"
import { sheetOf } from "../../engine/pricing/cart.ts"
import { ladderOn } from "../../engine/pricing/bounds/ladder.ts"
import { kindOrderOf } from "../../engine/pricing/policy.ts"
import { price } from "../../engine/pricing/price.ts"
import { sketchOf } from "../../engine/pricing/sketch.ts"
import { inOrder } from "../../engine/pricing/stacking.ts"
import type { Setting } from "../../engine/pricing/types.ts"
import { NOON } from "./shop.ts"

/** Instances of each family, each under another policy. */
const INSTANCES = 12
const PROFILES: readonly Setting["profile"][] = [undefined, "sylius", "saleor", "shopify"]

test("ladder: bounds the best set from above, and says more than the order's worth", () => {
  let said = 0
  for (const family of Object.keys(FAMILIES) as Family[]) for (let i = 0; i < INSTANCES; i++) {
    const { order, coupons } = instanceOf(family, i, 10, 20)
    const profile = PROFILES[i % PROFILES.length]
    const sheet = sheetOf(order, NOON)
    const open = inOrder(candidatesOf(sheet, coupons, profile), kindOrderOf(profile))
    const sketch = sketchOf(sheet, open)
    const left = new Float64Array(sketch.classes)
    sheet.amounts.forEach((amount, place) => (left[sketch.classOf[place]!]! += amount))
    const whole = left.reduce((sum, one) => sum + one, 0)
    const ladder = ladderOn(sketch, left, 0)

    const best = price(order, coupons, "best", { now_ms: NOON, profile })
    expect(ladder(0, whole, 0)).toBeGreaterThanOrEqual(best.discount_minor)
    if (ladder(0, whole, 0) < whole / 2) said += 1

    // What the later coupons give once the earlier ones of the best set were taken is bounded from their turn on too.
    let leftMinor = whole
    for (const { coupon_id, discount_minor } of best.applied) {
      const turn = open.findIndex(({ coupon }) => coupon.coupon_id === coupon_id)
      expect(ladder(turn, leftMinor, 0)).toBeGreaterThanOrEqual(best.discount_minor - (whole - leftMinor))
      leftMinor -= discount_minor
    }
  }
  expect(said).toBeGreaterThan(INSTANCES)
})

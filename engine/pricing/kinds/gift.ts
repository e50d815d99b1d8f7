// gift: something is put into the parcel. It adds no line and takes nothing off; its price is what it costs the budgets.

import { Type } from "typebox"
import { lineTest } from "../applies_to.ts"
import { benefit } from "../benefit.ts"
import { kind } from "../kind.ts"
import { MONEY_MAX } from "../money.ts"
import type { LineTest, Scene } from "../types.ts"
import { Amount, AppliesToSchema, Units } from "./terms.ts"

export const gift = kind({
  name: "gift",
  items_only: true,
  takes_nothing: true,
  terms: Type.Object(
    {
      sku: Type.String({ minLength: 1, maxLength: 128 }),
      unit_price_minor: Amount,
      quantity: Units,
      for_each: Type.Optional(
        Type.Object(
          { quantity: Units, applies_to: Type.Optional(AppliesToSchema) },
          { additionalProperties: false },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  faults: ({ unit_price_minor, quantity }) =>
    unit_price_minor * quantity > MONEY_MAX ? [{ field: "quantity", says: "times unit_price_minor is above 2^53-1" }] : [],
  boundMinor: ({ unit_price_minor, quantity, for_each }) => (for_each ? undefined : unit_price_minor * quantity),
  lacks: ({ for_each }) => {
    const counts = lineTest(for_each?.applies_to)
    return (scene) => {
      const missing = (for_each?.quantity ?? 0) - unitsOf(scene, counts)
      return missing > 0 ? { units: [{ quantity: missing, applies_to: for_each?.applies_to }] } : undefined
    }
  },
  act: ({ sku, unit_price_minor, quantity, for_each }) => {
    const counts = lineTest(for_each?.applies_to)
    const worth = unit_price_minor * quantity
    // More gifts than money can be counted in are not given.
    const timesMax = Math.floor(MONEY_MAX / worth)
    return (scene) => {
      const times = for_each ? Math.min(timesMax, Math.floor(unitsOf(scene, counts) / for_each.quantity)) : 1
      if (times === 0) return undefined
      return benefit(scene.cart, worth * times, { gifts: [{ sku, unit_price_minor, quantity: quantity * times }] })
    }
  },
})

/** How many units of the eligible lines count. */
function unitsOf({ cart, lines }: Scene, counts: LineTest | undefined): number {
  const { order, quantities } = cart.sheet
  let units = 0
  for (const place of lines) if (!counts || counts(order.lines[place]!)) units += quantities[place]!
  return units
}

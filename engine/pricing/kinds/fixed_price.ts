// fixed_price: each unit, each line or all lines together for a price; what costs less already is never raised.

import { Type } from "typebox"
import { kind } from "../kind.ts"
import { chosenField, takeAcross, takePerLine, takePerUnit, worthOf } from "../field.ts"
import { AmountOrZero, CHOICE, Per } from "./terms.ts"

export const fixedPrice = kind({
  name: "fixed_price",
  terms: Type.Object(
    { price_minor: AmountOrZero, per: Type.Optional(Per), ...CHOICE },
    { additionalProperties: false },
  ),
  boundMinor: () => undefined,
  act:
    ({ price_minor, per = "unit", ...choice }) =>
    (scene) => {
      const field = chosenField(scene.cart, scene.targets, choice, "cheapest")
      const above = (amount: number): number => Math.max(0, amount - price_minor)
      if (per === "order") return takeAcross(scene, field, above(worthOf(field)))
      return per === "line" ? takePerLine(scene, field, field.amounts.map(above)) : takePerUnit(scene, field, above)
    },
})

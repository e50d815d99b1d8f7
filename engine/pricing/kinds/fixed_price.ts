// fixed_price: each unit, or all eligible lines together, for a price; what costs less already is never raised.

import { Type } from "typebox"
import { kind } from "../kind.ts"
import { chosenField, takeAcross, takePerUnit, worthOf } from "../field.ts"
import { AmountOrZero, CHOICE } from "./terms.ts"

export const fixedPrice = kind({
  name: "fixed_price",
  terms: Type.Object(
    { price_minor: AmountOrZero, per: Type.Optional(Type.Enum(["unit", "order"])), ...CHOICE },
    { additionalProperties: false },
  ),
  boundMinor: () => undefined,
  act:
    ({ price_minor, per = "unit", ...choice }) =>
    (scene) => {
      const field = chosenField(scene.cart, scene.targets, choice, "cheapest")
      const above = (amount: number): number => Math.max(0, amount - price_minor)
      return per === "order" ? takeAcross(scene, field, above(worthOf(field))) : takePerUnit(scene, field, above)
    },
})

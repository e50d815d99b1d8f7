// free_shipping: the shipping costs nothing, or less by its max_minor.

import { Type } from "typebox"
import { kind } from "../kind.ts"
import { fieldOf, takeAcross } from "../field.ts"
import { Amount } from "./terms.ts"

export const freeShipping = kind({
  name: "free_shipping",
  takes: "shipping",
  terms: Type.Object({ max_minor: Type.Optional(Amount) }, { additionalProperties: false }),
  boundMinor: ({ max_minor }) => max_minor,
  outline: ({ max_minor = Infinity }) => () => ({
    by: "quantity",
    tiers: [{ from: 0, fraction: 0, amountMinor: Infinity }],
    repeat: false,
    capMinor: max_minor,
    per: "order",
  }),
  act:
    ({ max_minor = Infinity }) =>
    (scene) =>
      takeAcross(scene, fieldOf(scene.cart, scene.targets), max_minor),
})

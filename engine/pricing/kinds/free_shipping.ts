// free_shipping: the shipping costs nothing, or less by the campaign's max_minor.

import { Type } from "typebox"
import { kind } from "../kind.ts"
import { fieldOf, takeAcross } from "../field.ts"

export const freeShipping = kind({
  name: "free_shipping",
  takes: "shipping",
  terms: Type.Object({}, { additionalProperties: false }),
  boundMinor: () => undefined,
  act: () => (scene) => takeAcross(scene, fieldOf(scene.cart, scene.targets), Infinity),
})

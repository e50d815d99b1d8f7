// amount_off: a fixed amount, over the lines together, off each line or off each unit.
//
// What must stay true: across the lines the coupon takes its amount once, whatever the cart looks like.

import { Type } from "typebox"
import { kind } from "../kind.ts"
import { chosenField, takeAcross, takePerLine, takePerUnit } from "../field.ts"
import { MONEY_MAX } from "../money.ts"
import { Amount, CHOICE } from "./terms.ts"

export const amountOff = kind({
  name: "amount_off",
  terms: Type.Object(
    {
      amount_minor: Amount,
      spread: Type.Optional(Type.Enum(["across", "each_line", "each_unit"], { description: "default across, which cannot stand with max_units" })),
      ...CHOICE,
    },
    { additionalProperties: false },
  ),
  faults: ({ spread = "across", max_units }) =>
    spread === "across" && max_units !== undefined ? [{ field: "max_units", says: "cannot stand with spread: across" }] : [],
  boundMinor: ({ amount_minor, spread = "across", max_units }) => {
    if (spread === "across") return amount_minor
    // Chosen units lie in at most as many lines, so the count of units bounds both.
    if (max_units === undefined || amount_minor * max_units > MONEY_MAX) return undefined
    return amount_minor * max_units
  },
  outline: ({ amount_minor, spread = "across", max_units_per_line }) =>
    spread !== "across" || max_units_per_line !== undefined
      ? undefined
      : () => ({ by: "quantity", tiers: [{ from: 0, fraction: 0, amountMinor: amount_minor }], repeat: false, capMinor: Infinity, per: "order" }),
  each: ({ spread = "across", max_units, max_units_per_line }) =>
    spread === "across" || max_units !== undefined || max_units_per_line !== undefined ? undefined : spread === "each_line" ? "line" : "unit",
  act: ({ amount_minor, spread = "across", ...choice }) => {
    if (spread === "each_unit")
      return (scene) =>
        takePerUnit(scene, chosenField(scene.cart, scene.targets, choice, "cheapest"), () => amount_minor)
    if (spread === "each_line")
      return (scene) => {
        const field = chosenField(scene.cart, scene.targets, choice, "cheapest")
        return takePerLine(
          scene,
          field,
          field.places.map(() => amount_minor),
        )
      }
    return (scene) => takeAcross(scene, chosenField(scene.cart, scene.targets, choice, "cheapest"), amount_minor)
  },
})

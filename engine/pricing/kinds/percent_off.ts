// percent_off: a share of what the lines cost now, or, where the policy says so, of what they cost when the level began.

import { Type } from "typebox"
import { kind } from "../kind.ts"
import { chosenField, takePercent } from "../field.ts"
import { Amount, CHOICE, Per, PercentBp } from "./terms.ts"

export const percentOff = kind({
  name: "percent_off",
  percent: true,
  terms: Type.Object(
    {
      percent_bp: PercentBp,
      max_minor: Type.Optional(Amount),
      per: Type.Optional(Per),
      ...CHOICE,
    },
    { additionalProperties: false },
  ),
  boundMinor: ({ max_minor }) => max_minor,
  outline: ({ percent_bp, max_minor = Infinity, per, ...choice }) => ({ percent_per }) => ({
    by: "quantity",
    tiers: [{ from: 0, fraction: percent_bp / 10000, amountMinor: 0 }],
    repeat: false,
    capMinor: max_minor,
    choice,
    per: per ?? percent_per,
  }),
  claim: ({ percent_bp, max_minor: _, per: __, ...choice }) => ({ takes: "share", choice, steps: [{ from: 0, fraction: percent_bp / 10000 }], falls: "alike" }),
  act:
    ({ percent_bp, max_minor = Infinity, per, ...choice }) =>
    (scene) => {
      const field = chosenField(scene.cart, scene.targets, choice, "cheapest")
      const base =
        scene.policy.percent_base === "original" && scene.began !== scene.cart
          ? chosenField(scene.began, scene.targets, choice, "cheapest")
          : field
      const held = max_minor < scene.maxMinor ? { ...scene, maxMinor: max_minor } : scene
      return takePercent(held, field, base, percent_bp, per ?? scene.policy.percent_per)
    },
})

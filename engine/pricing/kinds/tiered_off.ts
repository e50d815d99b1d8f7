// tiered_off: the more there is, the more comes off: by what the lines cost, by how many units they have, or unit by unit.
//
// What must stay true: `from` is inclusive and the highest tier reached holds alone; tiers stand in rising order.

import { Type, type Static } from "typebox"
import { runsOf, splitRun, sumAt } from "../cart.ts"
import { kind } from "../kind.ts"
import { chosenField, chosenUnits, fieldOfSlices, offRun, takeAcross, takeCut, takePercent, type Choice, type Slice } from "../field.ts"
import { mulDiv } from "../money.ts"
import type { Cart, Effect, Run, Scene } from "../types.ts"
import { AmountOrZero, Per, PercentBp, Pick, Units } from "./terms.ts"

/** The most tiers of one campaign. */
export const TIERS_MAX = 50

const Tier = Type.Object(
  { from: AmountOrZero, amount_minor: Type.Optional(AmountOrZero), percent_bp: Type.Optional(PercentBp) },
  { additionalProperties: false },
)
type Tier = Static<typeof Tier>

export const tieredOff = kind({
  name: "tiered_off",
  rises: true,
  terms: Type.Object(
    {
      by: Type.Optional(Type.Enum(["amount", "quantity", "unit"])),
      tiers: Type.Array(Tier, { minItems: 1, maxItems: TIERS_MAX }),
      repeat: Type.Optional(Type.Boolean()),
      per: Type.Optional(Per),
      max_units: Type.Optional(Units),
      pick: Type.Optional(Pick),
    },
    { additionalProperties: false },
  ),
  faults: ({ by = "amount", tiers, repeat = false }) => [
    ...tiers.flatMap((tier, i) => {
      if ((tier.amount_minor === undefined) === (tier.percent_bp === undefined))
        return [{ field: `tiers.${i}`, says: "needs one of amount_minor and percent_bp" }]
      if (i > 0 && tier.from <= tiers[i - 1]!.from)
        return [{ field: `tiers.${i}.from`, says: "must be above the tier before it" }]
      return []
    }),
    ...(repeat && (by === "unit" || tiers.length !== 1 || tiers[0]!.amount_minor === undefined || tiers[0]!.from === 0)
      ? [{ field: "repeat", says: "needs exactly one tier with amount_minor and a from above 0, and no by: unit" }]
      : []),
  ],
  boundMinor: ({ by = "amount", tiers, repeat = false }) => {
    if (repeat || by === "unit") return undefined
    const amounts = tiers.map((tier) => tier.amount_minor)
    return amounts.includes(undefined) ? undefined : Math.max(...amounts.map((amount) => amount ?? 0))
  },
  lacks: ({ by = "amount", tiers }) => {
    const first = tiers.find((tier) => tier.amount_minor !== 0)
    return (scene) => {
      if (!first) return undefined
      const { quantities } = scene.cart.sheet
      const reached = by === "unit" ? Math.max(0, ...scene.targets.map((place) => quantities[place]!)) : reachedBy(by, scene)
      if (reached >= first.from) return undefined
      return by === "amount" ? { spend_more_minor: first.from - reached } : { quantity_more: first.from - reached }
    }
  },
  outline: ({ by = "amount", tiers, repeat = false, per, max_units }) => {
    if (by === "unit" || max_units !== undefined) return undefined
    const steps = tiers.map(({ from, amount_minor = 0, percent_bp = 0 }) => ({ from, fraction: percent_bp / 10000, amountMinor: amount_minor }))
    return ({ percent_per }) => ({ by, tiers: steps, repeat, capMinor: Infinity, per: per ?? percent_per })
  },
  act: ({ by = "amount", tiers, repeat = false, per, ...choice }) => {
    if (by === "unit") return (scene) => unitByUnit(scene, tiers, choice)
    return (scene) => {
      const reached = reachedBy(by, scene)
      const tier = tierAt(tiers, reached)
      if (!tier) return undefined
      const field = chosenField(scene.cart, scene.targets, choice, "cheapest")
      if (tier.amount_minor !== undefined)
        return takeAcross(scene, field, tier.amount_minor * (repeat ? Math.floor(reached / tier.from) : 1))
      const base =
        scene.policy.percent_base === "original" && scene.began !== scene.cart
          ? chosenField(scene.began, scene.targets, choice, "cheapest")
          : field
      return takePercent(scene, field, base, tier.percent_bp!, per ?? scene.policy.percent_per)
    }
  },
})

/** What the eligible lines come to, in money or in units. */
function reachedBy(by: "amount" | "quantity", { cart, lines, thresholdSees }: Scene): number {
  if (by === "quantity") return sumAt(cart.sheet.quantities, lines)
  return sumAt(thresholdSees === "original" ? cart.sheet.amounts : cart.left, lines)
}

const tierAt = (tiers: readonly Tier[], reached: number): Tier | undefined =>
  tiers.findLast((tier) => tier.from <= reached)

/** The n-th unit of a line takes the tier of n: the line is cut where a tier begins, and where no more units are meant. */
function unitByUnit(scene: Scene, tiers: readonly Tier[], choice: Choice): Effect | undefined {
  const { cart, targets, policy } = scene
  const tierOf = new Map<Slice, Tier>()
  const most = chosenUnits(cart, targets, choice, "cheapest")
  const slices = targets.map((place, k) => cutAtTiers(cart, place, tiers, most?.[k] ?? Infinity, tierOf))
  const field = fieldOfSlices(cart, targets, slices)
  const offs = slices.map((line, k) => {
    const floor = cart.sheet.floors[targets[k]!]!
    return line.map((slice) => {
      const tier = tierOf.get(slice)
      if (!tier) return 0
      const { amount_minor, percent_bp = 0 } = tier
      if (amount_minor !== undefined) return offRun(slice.quantity, slice.leftMinor, floor, () => amount_minor)
      const part = (amount: number): number => mulDiv(amount, percent_bp, 10000, policy.rounding)
      if (policy.percent_per === "unit") return offRun(slice.quantity, slice.leftMinor, floor, part)
      return Math.min(part(slice.leftMinor), Math.max(0, slice.leftMinor - floor * slice.quantity))
    })
  })
  return takeCut(scene, field, offs)
}

function cutAtTiers(cart: Cart, place: number, tiers: readonly Tier[], most: number, tierOf: Map<Slice, Tier>): Slice[] {
  const slices: Slice[] = []
  // Units are counted from 1, so a tier from 0 or 1 is there from the first.
  let counted = 0
  for (const whole of runsOf(cart, place)) {
    let run: Run | undefined = whole
    while (run) {
      const isMeant = counted < most
      const tier = isMeant ? tierAt(tiers, counted + 1) : undefined
      const end = isMeant ? Math.min(most, (tiers.find(({ from }) => from > counted + 1)?.from ?? Infinity) - 1) : Infinity
      const until: number = Math.min(run.quantity, end - counted)
      const [taken, rest]: [Run, Run | undefined] = until < run.quantity ? splitRun(run, until) : [run, undefined]
      const slice = { ...taken, chosen: tier !== undefined }
      if (tier) tierOf.set(slice, tier)
      slices.push(slice)
      counted += until
      run = rest
    }
  }
  return slices
}

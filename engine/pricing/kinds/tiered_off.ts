// tiered_off: the more there is, the more comes off: by what the lines cost, by how many units they have, or unit by unit.
//
// What must stay true: `from` is inclusive and the highest tier reached holds alone; tiers stand in rising order.

import { Type, type Static } from "typebox"
import { firstOf, sumAt } from "../cart.ts"
import { kind } from "../kind.ts"
import { chosenField, chosenUnits, offRun, takeAcross, takePercent, takePieces } from "../field.ts"
import { mulDiv } from "../money.ts"
import type { Policy } from "../policy.ts"
import type { Choice, Effect, Piece, Scene } from "../types.ts"
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
  // Unit by unit: 2 to 3 times on 200 lines (2026-11-22).
  weight: 3,
  terms: Type.Object(
    {
      by: Type.Optional(Type.Enum(["amount", "quantity", "unit"])),
      tiers: Type.Array(Tier, { minItems: 1, maxItems: TIERS_MAX, description: "in rising order of from, each with one of amount_minor and percent_bp" }),
      repeat: Type.Optional(Type.Boolean({ description: "the amount once for each full from: exactly one tier, with amount_minor and a from above 0, by amount or quantity" })),
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
      return by === "amount" ? { spend_more_minor: first.from - reached } : { units: [{ quantity: first.from - reached }] }
    }
  },
  // One tier gives less where less is there, and units are as many as they were; of several the lower ones may give more.
  // Unit by unit each run is rounded, and what others cut into more runs may be rounded up more often.
  rises: ({ by = "amount", tiers }) => by === "unit" || (by === "amount" && tiers.length > 1),
  most: ({ by = "amount", tiers, per, ...choice }) => {
    if (by === "unit") return (scene) => (unitByUnit(scene, tiers, per ?? scene.policy.percent_per, choice)?.totalMinor ?? 0) + sumAt(scene.cart.sheet.quantities, scene.targets)
    if (by !== "amount" || tiers.length === 1) return undefined
    return ({ cart, targets, began }) => {
      const worth = Math.max(sumAt(cart.left, targets), sumAt(began.left, targets))
      const odd = targets.reduce((units, place) => units + cart.sheet.quantities[place]!, 0)
      return tiers.reduce((most, { amount_minor, percent_bp = 0 }) => Math.max(most, amount_minor ?? (worth * percent_bp) / 10000 + odd), 0)
    }
  },
  outline: ({ by = "amount", tiers, repeat = false, per, max_units }) => {
    if (by === "unit" || max_units !== undefined) return undefined
    const steps = tiers.map(({ from, amount_minor = 0, percent_bp = 0 }) => ({ from, fraction: percent_bp / 10000, amountMinor: amount_minor }))
    return ({ percent_per }) => ({ by, tiers: steps, repeat, capMinor: Infinity, per: per ?? percent_per })
  },
  claim: ({ by, tiers, max_units, pick }) =>
    by !== "unit" || tiers.some(({ percent_bp }) => percent_bp === undefined)
      ? undefined
      : { takes: "share", choice: { max_units, pick }, steps: tiers.map(({ from, percent_bp = 0 }) => ({ from, fraction: percent_bp / 10000 })), falls: "by_step" },
  act: ({ by = "amount", tiers, repeat = false, per, ...choice }) => {
    if (by === "unit") return (scene) => unitByUnit(scene, tiers, per ?? scene.policy.percent_per, choice)
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
function unitByUnit(scene: Scene, tiers: readonly Tier[], per: Policy["percent_per"], choice: Choice): Effect | undefined {
  const { cart, targets, policy } = scene
  const most = chosenUnits(cart, targets, choice, "cheapest")
  const cuts = new Array<readonly Piece[]>(targets.length)
  for (let k = 0; k < targets.length; k++) {
    const place = targets[k]!
    const cut: Piece[] = []
    const floor = cart.sheet.floors[place]!
    const price = cart.sheet.prices[place]!
    const quantity = cart.sheet.quantities[place]!
    const units = most ? most[k]! : quantity
    const runs = cart.runs[place]
    // Units are counted from 1, so a tier from 0 or 1 is there from the first.
    let counted = 0
    let reached = NO_TIER
    let rest = runs ? runs[0]!.quantity : quantity
    let restMinor = runs ? runs[0]!.leftMinor : cart.left[place]!
    let spent = runs ? runs[0]!.spent : false
    for (let r = 0; ; ) {
      // In numbers, not in runs that are split: a line of 600 units is cut in two, one of a single unit is not.
      while (reached + 1 < tiers.length && tiers[reached + 1]!.from <= counted + 1) reached += 1
      let taken = rest
      if (counted < units) {
        const end = reached + 1 < tiers.length ? Math.min(units, tiers[reached + 1]!.from - 1) : units
        taken = Math.min(rest, end - counted)
      }
      // Units that cost what they did need no division.
      const leftMinor = taken === rest ? restMinor : restMinor === price * rest ? price * taken : firstOf(rest, restMinor, taken)
      const offMinor = reached === NO_TIER || counted >= units ? 0 : offTier(tiers[reached]!, taken, leftMinor, floor, per, policy.rounding)
      cut.push({ quantity: taken, leftMinor: leftMinor - offMinor, spent, offMinor })
      counted += taken
      rest -= taken
      restMinor -= leftMinor
      if (rest > 0) continue
      r += 1
      if (!runs || r === runs.length) break
      rest = runs[r]!.quantity
      restMinor = runs[r]!.leftMinor
      spent = runs[r]!.spent
    }
    cuts[k] = cut
  }
  return takePieces(scene, targets, cuts)
}

const NO_TIER = -1

/** What a run of units of one tier gives. */
function offTier({ amount_minor, percent_bp = 0 }: Tier, quantity: number, leftMinor: number, floor: number, per: Policy["percent_per"], rounding: Policy["rounding"]): number {
  if (amount_minor !== undefined) return offRun(quantity, leftMinor, floor, () => amount_minor)
  if (per === "unit") return offRun(quantity, leftMinor, floor, (unit) => mulDiv(unit, percent_bp, 10000, rounding))
  return Math.min(mulDiv(leftMinor, percent_bp, 10000, rounding), Math.max(0, leftMinor - floor * quantity))
}

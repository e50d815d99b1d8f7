// What coupons can give together that take a fraction of the first units of lines: percentages of chosen units, and
// tiers unit by unit.
//
// Units that no coupon tells apart are one class, of which each coupon leaves at least its part: what is taken of a
// class is at most what all of them together would take. Where a discount falls on the units of a line alike although
// they are worth more or less, that holds only while no unit is worth less than one before it (the fractions then fall
// on the cheaper first units the harder, so that less is left for coupons that mean only those); elsewhere each coupon
// is counted for itself.
// What must stay true: a class never keeps less than it is said to keep, whatever is taken of it.

import { chosenUnits } from "../field.ts"
import type { Sketch } from "../sketch.ts"
import type { Cart, Claim, Sheet } from "../types.ts"
import type { Claimant, Held } from "./claimant.ts"

type Share = Claimant<Extract<Claim, { takes: "share" }>>

/** Units in a row of one line, told apart by none. */
type Stretch = { readonly until: number; readonly class: number }
type Lane = { readonly place: number; readonly stretches: readonly Stretch[]; readonly rule: "together" | "while_rising" | "apart" }

export function sharesOn(sheet: Sheet, claimants: readonly Share[], others: readonly (readonly number[])[], { classOf, cliques }: Sketch): Held {
  const held = claimants.filter((one) => fallsAsItSays(one, sheet))
  const meant = held.map(({ candidate, claim }) => {
    const units = chosenUnits(sheet.untouched, candidate.targets, claim.choice, "cheapest")
    return new Map(candidate.targets.map((place, k) => [place, units?.[k] ?? sheet.quantities[place]!]))
  })
  const isElsewhere = new Uint8Array(sheet.shipping + 1)
  for (const places of others) for (const place of places) isElsewhere[place] = 1
  for (const one of claimants) if (!held.includes(one)) for (const place of one.candidate.targets) isElsewhere[place] = 1

  const names = new Map<string, number>()
  const fractions: number[][] = []
  const classFor = (column: number[]): number => {
    const name = column.join()
    const known = names.get(name)
    if (known !== undefined) return known
    names.set(name, fractions.length)
    return fractions.push(column) - 1
  }
  const lanes: Lane[] = []
  // Lines of a class that the same coupons mean whole are alike where they have as many units.
  const known = new Map<string, Lane>()
  for (let place = 0; place <= sheet.shipping; place++) {
    const quantity = sheet.quantities[place]!
    const here = held.flatMap(({ claim }, i) => ((meant[i]!.get(place) ?? 0) > 0 ? [{ i, claim, units: meant[i]!.get(place)! }] : []))
    if (here.length === 0) continue
    const name = here.every(({ units }) => units === quantity) ? `${classOf[place]} ${quantity} ${here.map(({ i }) => i).join()}` : undefined
    const alike = name === undefined ? undefined : known.get(name)
    if (alike) {
      lanes.push({ ...alike, place })
      continue
    }
    const cuts = new Set<number>([quantity])
    for (const { claim, units } of here) {
      cuts.add(units)
      for (const { from } of claim.steps) if (from > 1 && from <= units) cuts.add(from - 1)
    }
    let began = 0
    const stretches = [...cuts].sort((a, b) => a - b).map((until): Stretch => {
      const column = new Array<number>(held.length).fill(0)
      for (const { i, claim, units } of here) if (began < units) column[i] = claim.steps.findLast(({ from }) => from <= began + 1)?.fraction ?? 0
      began = until
      return { until, class: classFor(column) }
    })
    const isBySteps = here.every(({ claim }) => claim.falls === "by_step")
    const isWhole = here.every(({ claim, units }) => claim.falls === "alike" && units === quantity)
    const isAlike = here.every(({ claim }) => claim.falls === "alike") && isElsewhere[place] === 0
    const lane: Lane = { place, stretches, rule: isBySteps || isWhole ? "together" : isAlike ? "while_rising" : "apart" }
    lanes.push(lane)
    if (name !== undefined) known.set(name, lane)
  }
  const classes = fractions.length
  const takes = held.map((_, i) => fractions.flatMap((column, c) => (column[i]! > 0 ? [{ c, fraction: column[i]! }] : [])))
  const odds = held.map((one, i) => oddMinorOf(one, meant[i]!))

  const worths = new Float64Array(classes)
  const aparts = new Float64Array(classes)
  const keeps = new Float64Array(classes)
  const strongest = new Float64Array(cliques * classes)
  const second = new Float64Array(cliques * classes)
  const sizes = new Float64Array(cliques)

  return {
    turns: held.map(({ turn }) => turn),
    together: (cart, first, room, open, sums) => {
      worths.fill(0)
      aparts.fill(0)
      for (const lane of lanes) weigh(lane, cart, worths, aparts)
      keeps.fill(1)
      strongest.fill(0)
      second.fill(0)
      sizes.fill(0)
      for (const { turn, clique } of held) if (turn >= first && open[turn] === 1) sizes[clique]! += 1
      let all = 0
      let each = 0
      for (let i = held.length - 1, turn = sums.length - 1; turn >= first; turn--) {
        for (; i >= 0 && held[i]!.turn >= turn; i--) {
          const { clique, mostMinor } = held[i]!
          const places = room[clique]!
          if (places <= 0 || open[held[i]!.turn] === 0) continue
          const contends = places < 3 && sizes[clique]! > places
          let alone = odds[i]!
          all += odds[i]!
          for (const { c, fraction } of takes[i]!) {
            all += fraction * aparts[c]!
            alone += fraction * (aparts[c]! + worths[c]!)
            const was = keeps[c]!
            if (!contends) keeps[c] = was * (1 - fraction)
            else {
              const at = clique * classes + c
              const weakest = places === 1 ? strongest[at]! : second[at]!
              if (fraction <= weakest) continue
              if (places === 1) strongest[at] = fraction
              else if (fraction > strongest[at]!) {
                second[at] = strongest[at]!
                strongest[at] = fraction
              } else second[at] = fraction
              keeps[c] = weakest === 1 ? 0 : (was / (1 - weakest)) * (1 - fraction)
            }
            all += worths[c]! * (was - keeps[c]!)
          }
          each += Math.min(mostMinor, alone)
        }
        sums[turn]! += Math.min(all, each)
      }
    },
  }
}

/** Does no unit give more than its fraction, or than its part of its line? */
function fallsAsItSays({ candidate: { policy, targets, terms }, claim }: Share, sheet: Sheet): boolean {
  // What passes a floor is shared again over the other lines.
  if (claim.falls === "alike") return policy.percent_base === "running" && targets.every((place) => sheet.floors[place] === 0)
  // What is cut by a cap, or by short money, falls on all units that gave alike: on those of a low step more than it says.
  return terms.maxMinor === Infinity && !(sheet.funds && policy.budget_short === "partial" && terms.funding.length > 0)
}

/** Adds what a line's stretches are worth to their classes: together, or apart where discounts may fall otherwise than the fractions say. */
function weigh({ place, stretches, rule }: Lane, cart: Cart, worths: Float64Array, aparts: Float64Array): void {
  const runs = cart.runs[place]
  const into = rule === "together" || (rule === "while_rising" && isRising(runs)) ? worths : aparts
  if (!runs) {
    const { quantities } = cart.sheet
    let began = 0
    for (const { until, class: c } of stretches) {
      into[c]! += (cart.left[place]! * (until - began)) / quantities[place]!
      began = until
    }
    return
  }
  let r = 0
  let used = 0
  let began = 0
  for (const { until, class: c } of stretches) {
    while (began < until) {
      const { quantity, leftMinor } = runs[r]!
      const units = Math.min(quantity - used, until - began)
      into[c]! += (leftMinor * units) / quantity
      began += units
      used += units
      if (used === quantity) {
        r += 1
        used = 0
      }
    }
  }
}

/** Is no unit worth less than one before it, but for the odd minor unit? */
function isRising(runs: Cart["runs"][number]): boolean {
  if (!runs) return true
  for (let r = 1; r < runs.length; r++) if (runs[r]!.leftMinor / runs[r]!.quantity < runs[r - 1]!.leftMinor / runs[r - 1]!.quantity - 1) return false
  return true
}

/** What rounding may add: one minor unit for each unit and each line, and one for the whole; of a half that is rounded, half of it. */
function oddMinorOf({ claim, candidate }: Share, meant: ReadonlyMap<number, number>): number {
  let units = 0
  let lines = 0
  for (const each of meant.values()) {
    units += each
    if (each > 0) lines += 1
  }
  if (claim.falls === "by_step") return units / 2 + lines + 1
  return 1 + lines + (candidate.terms.outline?.(candidate.policy).per === "unit" ? 2 : 1) * units
}

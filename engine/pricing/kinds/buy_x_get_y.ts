// buy_x_get_y: who buys so many of these gets so many of those free, or cheaper by a share.
//
// A round needs its full buy and its full get. The rounds are counted first; then all buy units are taken, the dearest
// first, then all get units from what is left.
// What must stay true: every counted round is whole, so the buy units leave enough units that can be got; units that
// one coupon has taken are gone for the next.

import { Type, type Static } from "typebox"
import { lineTest } from "../applies_to.ts"
import { byPrice, byPriceOf, fieldOfSlices, passing, takePercent } from "../field.ts"
import { kind } from "../kind.ts"
import type { LineTest, Scene } from "../types.ts"
import { cutFree, freeUnits, takeUnits } from "../units.ts"
import { AppliesToSchema, PercentBp, Pick, Units } from "./terms.ts"

const Terms = Type.Object(
  {
    buy: Type.Object({ quantity: Units, applies_to: Type.Optional(AppliesToSchema) }, { additionalProperties: false }),
    get: Type.Object({ quantity: Units, applies_to: Type.Optional(AppliesToSchema) }, { additionalProperties: false }),
    percent_bp: Type.Optional(PercentBp),
    times: Type.Optional(Units),
    pick: Type.Optional(Pick),
  },
  { additionalProperties: false },
)

export const buyXGetY = kind({
  name: "buy_x_get_y",
  items_only: true,
  // Once to twice on 200 lines (2026-11-22).
  weight: 2,
  terms: Terms,
  boundMinor: () => undefined,
  lacks: (terms) => {
    const tests = testsOf(terms)
    return (scene) => {
      const { canBuy, canGet, either } = countsOf(scene, tests)
      const { buy, get } = terms
      const bought = Math.max(0, buy.quantity - canBuy)
      const gotten = Math.max(0, get.quantity - canGet)
      // Units that could be bought and got are counted for one of both.
      const beside = Math.max(0, buy.quantity + get.quantity - either - bought - gotten)
      return { units: [{ quantity: bought, applies_to: buy.applies_to }, { quantity: gotten + beside, applies_to: get.applies_to }] }
    }
  },
  // Fewer rounds fit where units are gone, and what is got then costs at most what the dearest do; but where the same units
  // are bought and got, the n-th round's are dearer than what it gets.
  most: (terms) => {
    const tests = testsOf(terms)
    const { buy, get, percent_bp = 10000 } = terms
    return (scene) => {
      const { cart, lines } = scene
      const counts = countsOf(scene, tests)
      const rounds = roundsOf(terms, counts)
      const { bought, gotten } = counts
      const isSame = lines.every((_, k) => (!bought || bought[k]) === (!gotten || gotten[k]))
      const skipped = isSame ? buy.quantity : 0
      const group = skipped + get.quantity
      /** Of so many of the dearest units, how many are got. */
      const gets = (units: number): number => Math.floor(units / group) * get.quantity + Math.max(0, (units % group) - skipped)
      let seen = 0
      let worth = 0
      for (const k of byPrice(cart, lines, "dearest")) {
        if (counts.gotten && !counts.gotten[k]) continue
        const until = Math.min(seen + counts.free[k]!, rounds * group)
        worth += (gets(until) - gets(seen)) * cart.sheet.prices[lines[k]!]!
        seen = until
      }
      // Each unit may be rounded for itself.
      return (worth * percent_bp) / 10000 + rounds * get.quantity
    }
  },
  claim: (terms) => {
    const { buy, get, times = Infinity, pick = "cheapest", percent_bp = 10000 } = terms
    const tests = testsOf(terms)
    return { takes: "rounds", buy: { quantity: buy.quantity, test: tests.buy }, get: { quantity: get.quantity, test: tests.get }, times, pick, fraction: percent_bp / 10000 }
  },
  act: (terms) => {
    const tests = testsOf(terms)
    const { buy, get, percent_bp = 10000 } = terms
    return (scene) => {
      const { cart, lines } = scene
      const counts = countsOf(scene, tests)
      const { free, gotten, canGet } = counts
      const rounds = roundsOf(terms, counts)
      if (rounds === 0) return undefined

      const dearest = byPriceOf(cart, lines, "dearest", tests.buy)
      const buys = takeBuys(free, dearest, gotten, rounds * buy.quantity, canGet - rounds * get.quantity)
      const wanted = byPriceOf(cart, lines, terms.pick ?? "cheapest", tests.get)
      const gets = takeUnits(free, wanted, rounds * get.quantity).taken

      const touched: number[] = []
      for (let k = 0; k < lines.length; k++) if (buys[k]! + gets[k]! > 0) touched.push(k)
      const field = fieldOfSlices(
        cart,
        touched.map((k) => lines[k]!),
        touched.map((k) =>
          cutFree(cart, lines[k]!, [
            { quantity: buys[k]!, spent: true, chosen: false },
            { quantity: gets[k]!, spent: true, chosen: true },
          ]),
        ),
      )
      return takePercent(scene, field, field, percent_bp, scene.policy.percent_per)
    }
  },
})

type Tests = { readonly buy: LineTest | undefined; readonly get: LineTest | undefined }

const testsOf = ({ buy, get }: Static<typeof Terms>): Tests => ({
  buy: lineTest(buy.applies_to),
  get: lineTest(get.applies_to),
})

/** How many rounds fit. */
const roundsOf = ({ buy, get, times = Infinity }: Static<typeof Terms>, { canBuy, canGet, either }: ReturnType<typeof countsOf>): number =>
  Math.min(
    times,
    Math.floor(canBuy / buy.quantity),
    Math.floor(canGet / get.quantity),
    Math.floor(either / (buy.quantity + get.quantity)),
  )

/** Which lines can be bought and got, and how many free units they have. */
function countsOf({ cart, lines }: Scene, tests: Tests) {
  const bought = passing(cart, lines, tests.buy)
  const gotten = passing(cart, lines, tests.get)
  const free = freeUnits(cart, lines)
  let canBuy = 0
  let canGet = 0
  let either = 0
  for (let k = 0; k < free.length; k++) {
    const buys = !bought || bought[k]!
    const gets = !gotten || gotten[k]!
    if (buys) canBuy += free[k]!
    if (gets) canGet += free[k]!
    if (buys || gets) either += free[k]!
  }
  return { free, bought, gotten, canBuy, canGet, either }
}

/** The dearest units, but of those that can be got no more than the rounds' gets leave over. */
function takeBuys(free: number[], dearest: readonly number[], gotten: readonly boolean[] | undefined, wanted: number, spare: number): number[] {
  const taken = new Array<number>(free.length).fill(0)
  let missing = wanted
  let left = spare
  for (const k of dearest) {
    const units = Math.min(missing, !gotten || gotten[k] ? Math.min(free[k]!, left) : free[k]!)
    taken[k] = units
    free[k]! -= units
    missing -= units
    if (!gotten || gotten[k]) left -= units
  }
  return taken
}

// What coupons of buy x get y can give together.
//
// What is got are the first free units of some lines, by price. Coupons before it take units away, so its n-th unit lies
// at most as much further on as they take from the front; the dearest, that are bought, lie at the back.
// What must stay true: no coupon is said to get less than units up to there, each as dear as the dearest before it.

import type { Claim, Sheet } from "../types.ts"
import { UNITS_MAX, type Claimant, type Held } from "./claimant.ts"
import { covers, overlap, poolsOn, worthsOf, type Pool } from "./pools.ts"

type Rounds = Claimant<Extract<Claim, { takes: "rounds" }>>

/** What a claim takes of the units that a bound looks at: how many at most, and from which end. */
type Taking = { readonly turn: number; readonly clique: number; readonly units: number; readonly end: "front" | "back" }

export function roundsOn(sheet: Sheet, claimants: readonly Claimant[]): Held {
  const pools = poolsOn(sheet)
  const laid = claimants.filter((one): one is Rounds => one.claim.takes === "rounds").map((one) => {
    const { buy, get, pick } = one.claim
    const gets = pools(one.candidate, get, pick)
    return { ...one, gets, units: get.quantity * roundsThatFit(sheet, one.claim, pools(one.candidate, buy, "dearest"), gets) }
  })
  const held = laid.flatMap((mine) => {
    const { units } = mine
    const takings = claimants.filter(({ turn }) => turn <= mine.turn).flatMap((other) => takingsOf(sheet, pools, other, mine, mine.gets))
    const behind = takings.reduce((sum, { units, end }) => sum + (end === "back" ? units : 0), 0)
    const before = takings.reduce((sum, { units, end }) => sum + (end === "front" ? units : 0), 0)
    // Where both ends meet, what is taken from the back may leave gaps in front of what is got.
    const isTight = mine.gets.units < units + before + behind
    const pushes = ofEachCoupon(takings.filter(({ end }) => end === "front" || isTight))
    const needs = units + before + (isTight ? behind : 0)
    return needs > UNITS_MAX ? [] : [{ ...mine, pushes, needs }]
  })
  const worths = new Float64Array(UNITS_MAX + 1)
  const gains = held.map(({ turn }) => new Float64Array(turn + 1))

  return {
    turns: held.map(({ turn }) => turn),
    together: (cart, first, room, open, sums) => {
      for (let i = 0; i < held.length; i++) {
        const { turn: mine, clique, claim, gets, units, pushes, needs, mostMinor } = held[i]!
        gains[i]!.fill(0)
        if (mine < first || room[clique]! <= 0 || open[mine] === 0) continue
        const there = worthsOf(cart, gets, needs, claim.pick === "cheapest" ? "up_to" : "from", worths)
        const got = Math.min(units, there)
        let pushed = 0
        const perClique: Tops = new Map()
        let p = pushes.length - 1
        for (let turn = mine; turn >= first; turn--) {
          for (; p >= 0 && pushes[p]!.turn >= turn; p--) {
            const push = pushes[p]!
            if (open[push.turn] === 0) continue
            pushed += push.turn === mine ? push.units : raise(perClique, push.clique, push.units, room[push.clique]! - (push.clique === clique ? 1 : 0))
          }
          const start = claim.pick === "cheapest" ? Math.min(pushed, there - got) : 0
          // Each unit may be rounded for itself.
          gains[i]![turn] = Math.min(mostMinor, (worths[start + got]! - worths[start]!) * claim.fraction + got + 1)
        }
      }
      for (let turn = first; turn < sums.length; turn++) {
        const perClique: Tops = new Map()
        for (let i = 0; i < held.length; i++) if (held[i]!.turn >= turn) sums[turn]! += raise(perClique, held[i]!.clique, gains[i]![turn]!, room[held[i]!.clique]!)
      }
    },
  }
}

/** One push for each coupon: what it buys and what it gets are taken together. */
function ofEachCoupon(takings: readonly Taking[]): Taking[] {
  const pushes = new Map<number, Taking>()
  for (const taking of takings) pushes.set(taking.turn, { ...taking, units: taking.units + (pushes.get(taking.turn)?.units ?? 0) })
  return [...pushes.values()]
}

/** The largest amounts of each clique, as many as may stand together. */
type Tops = Map<number, number[]>

/** How much the sum of a clique's largest amounts grows by one more. */
function raise(tops: Tops, clique: number, amount: number, places: number): number {
  if (places <= 0) return 0
  const there = tops.get(clique)
  if (!there) {
    tops.set(clique, [amount])
    return amount
  }
  if (there.length < places) {
    there.push(amount)
    return amount
  }
  let least = 0
  for (let k = 1; k < there.length; k++) if (there[k]! < there[least]!) least = k
  const more = Math.max(0, amount - there[least]!)
  there[least]! += more
  return more
}

/** How many rounds fit on the untouched order. */
function roundsThatFit(sheet: Sheet, { buy, get, times }: Rounds["claim"], buys: Pool, gets: Pool): number {
  let either = gets.units
  for (const place of buys.places) if (gets.inside[place] === 0) either += sheet.quantities[place]!
  return Math.min(times, Math.floor(buys.units / buy.quantity), Math.floor(gets.units / get.quantity), Math.floor(either / (buy.quantity + get.quantity)))
}

/** What a claim takes, at its own turn or before, of the units that another gets. */
function takingsOf(sheet: Sheet, poolOf: ReturnType<typeof poolsOn>, { turn, clique, candidate, claim }: Claimant, mine: Claimant, wanted: Pool): Taking[] {
  const taking = (pool: Pool, units: number, isBehind: boolean): Taking[] =>
    overlap(pool, wanted) ? [{ turn, clique, units, end: isBehind && covers(pool, wanted) ? "back" : "front" }] : []
  switch (claim.takes) {
    case "share":
      return []
    case "sets": {
      const pools = claim.portions.map((portion) => poolOf(candidate, portion, claim.pick))
      const sets = Math.min(claim.times, ...pools.map(({ units }, k) => Math.floor(units / claim.portions[k]!.quantity)))
      return pools.flatMap((pool, k) => taking(pool, sets * claim.portions[k]!.quantity, claim.pick === "dearest"))
    }
    case "rounds": {
      const buys = poolOf(candidate, claim.buy, "dearest")
      const gets = poolOf(candidate, claim.get, claim.pick)
      const rounds = roundsThatFit(sheet, claim, buys, gets)
      // Of what it could get too it buys no more than its rounds leave over, so it may pass by the dearest.
      const isWhole = !overlap(gets, wanted) || covers(gets, wanted)
      return [
        ...taking(buys, rounds * claim.buy.quantity, isWhole),
        ...(turn === mine.turn ? [] : taking(gets, rounds * claim.get.quantity, claim.pick === "dearest")),
      ]
    }
  }
}

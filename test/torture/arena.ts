/**
 * Arenas: small budgets and single coupons that all clients fight over, so that their histories can be judged as linearizable.
 *
 * An arena has one budget with room for a few holds, one campaign that spends it, a coupon of it for each client, and one coupon that is
 * everybody's. Its models are the plainest there are: a number, and a word.
 */
import { type Act, noOf, yesOf } from "./history.ts"
import { linearizable, type Timed, type Verdict } from "./linear.ts"

/** What each hold of an arena takes. */
export const AMOUNT_MINOR = 100
/** So many holds fit into an arena's budget at first: fewer than there are clients. */
export const HOLDS = 2
/** A refusal for a budget may be as old as this (the promise's own number). */
const EXHAUSTED_MS_MAX = 250
/** An arena is left for a new one after so many acts on its budget and on its coupon. */
export const ACTS_WANTED = 520

export interface Arena {
  readonly no: number
  readonly budget_id: string
  readonly campaign_id: string
  /** The coupon that all reserve, and whose it is. */
  readonly shared: { readonly coupon_id: string; readonly user_id: string }
  /** One coupon of each client, by the client's name. */
  readonly own: ReadonlyMap<string, { readonly coupon_id: string; readonly user_id: string }>
  /** Acts begun so far on the budget and on the shared coupon. */
  readonly begun: { budget: number; coupon: number }
}

/** Where an act's history counts: as what it does to the budget, or to the coupon that is everybody's. */
const isOfCoupon = (act: Act, arena: Arena, redemptions: ReadonlyMap<string, Act>): boolean => {
  const reserve = act.kind === "reserve" ? act : redemptions.get(act.path.split("/")[3] ?? "")
  return (reserve?.body["coupons"] as readonly string[] | undefined)?.[0] === arena.shared.coupon_id
}

/** An act that happened, that did not, or of which nothing is known that a model could use. */
type Ending = "yes" | "no" | "absent"
const endingOf = (act: Act, isThere: (act: Act) => boolean): Ending => {
  if (act.heard === "unknown") return isThere(act) ? "yes" : "absent"
  return act.heard.status < 300 ? "yes" : "no"
}

/** A yes may have been given at its first try; a no only at its last. */
const timed = <S>(act: Act, ending: Ending, step: (state: S) => S | undefined): Timed<S> => ({
  call_ms: ending === "yes" ? act.first_ms : act.last_ms, return_ms: act.heard === "unknown" ? Infinity : act.heard_ms, step,
})

/** What the acts of an arena did to its budget: `available`, which never falls below zero. */
const budgetActs = (acts: readonly Act[], arena: Arena, isThere: (act: Act) => boolean): Timed<number>[] =>
  acts.flatMap((act): Timed<number>[] => {
    const ending = endingOf(act, isThere)
    if (ending === "absent") return []
    const give = (amount: number) => [timed(act, ending, (available: number) => available + amount)]
    const take = (amount: number) => [timed(act, ending, (available: number) => available >= amount ? available - amount : undefined)]
    const short = (amount: number): Timed<number>[] => {
      const one = timed(act, ending, (available: number) => available < amount ? available : undefined)
      return [{ ...one, call_ms: one.call_ms - EXHAUSTED_MS_MAX }]
    }
    if (act.kind === "fund") {
      const amount = act.body["amount_minor"] as number
      if (ending === "yes") return amount >= 0 ? give(amount) : take(-amount)
      return noOf(act) === "budget_in_use" ? short(-amount) : []
    }
    if (act.kind === "reserve") return ending === "yes" ? take(AMOUNT_MINOR) : noOf(act) === "budget_exhausted" ? short(AMOUNT_MINOR) : []
    return (act.kind === "cancel" || act.kind === "refund") && ending === "yes" ? give(AMOUNT_MINOR) : []
  })

/** What they did to the coupon that is everybody's: free, or held by one order, or used by it. */
const couponActs = (acts: readonly Act[], orderOf: (act: Act) => string, isThere: (act: Act) => boolean): Timed<string>[] =>
  acts.flatMap((act): Timed<string>[] => {
    const ending = endingOf(act, isThere)
    if (ending === "absent") return []
    const order = orderOf(act)
    const goes = (from: string, to: string) => [timed(act, ending, (state: string) => state === from ? to : undefined)]
    const stays = (fits: (state: string) => boolean) => [timed(act, ending, (state: string) => fits(state) ? state : undefined)]
    if (act.kind === "reserve") {
      if (ending === "yes") return goes("free", `held ${order}`)
      const word = noOf(act)
      return word === "coupon_reserved" ? stays((state) => state.startsWith("held ")) : word === "coupon_redeemed" ? stays((state) => state.startsWith("used ")) : []
    }
    if (ending === "no") return []
    if (act.kind === "confirm") return goes(`held ${order}`, `used ${order}`)
    if (act.kind === "cancel") return goes(`held ${order}`, "free")
    return act.kind === "refund" ? goes(`used ${order}`, "free") : []
  })

export interface Judged { readonly arena: number; readonly of: "budget" | "coupon"; readonly acts: number; readonly verdict: Verdict }

/** Judge both histories of an arena. `isThere` knows which of the acts that nobody heard the end of are in the tables. */
export const judgeArena = (arena: Arena, all: readonly Act[], isThere: (act: Act) => boolean): Judged[] => {
  const acts = all.filter((act) => act.arena === arena.no)
  const redemptions = new Map(acts.flatMap((act): [string, Act][] => {
    const id = act.kind === "reserve" ? yesOf(act)?.["redemption_id"] as string | undefined : undefined
    return id === undefined ? [] : [[id, act]]
  }))
  const orderOf = (act: Act): string => (act.kind === "reserve" ? act : redemptions.get(act.path.split("/")[3] ?? ""))?.body["order_id"] as string
  // The shared coupon spends a budget of its own campaign, so an act is in one history only.
  const ofBudget = budgetActs(acts.filter((act) => !isOfCoupon(act, arena, redemptions)), arena, isThere)
  const ofCoupon = couponActs(acts.filter((act) => isOfCoupon(act, arena, redemptions)), orderOf, isThere)
  return [
    { arena: arena.no, of: "budget", acts: ofBudget.length, verdict: linearizable(ofBudget, { initial: HOLDS * AMOUNT_MINOR, name: String }) },
    { arena: arena.no, of: "coupon", acts: ofCoupon.length, verdict: linearizable(ofCoupon, { initial: "free", name: (state) => state }) },
  ]
}

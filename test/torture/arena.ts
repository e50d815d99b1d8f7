/**
 * Arenas: small budgets and single coupons that all clients fight over, so that their histories can be judged as linearizable.
 *
 * An arena has one budget with room for a few holds, one campaign that spends it, a coupon of it for each client, and one coupon that is
 * everybody's. Its models are the plainest there are: a number, and a word.
 */
import { type Act, isUncertain, noOf, yesOf } from "./history.ts"
import type { Window } from "./made.ts"
import { linearizable, type Model, type Timed, type Verdict } from "./linear.ts"

/** What each hold of an arena takes. */
export const AMOUNT_MINOR = 100
/** So many holds fit into an arena's budget at first: fewer than there are clients. */
export const HOLDS = 2
/** A refusal for a budget may be as old as this (the promise's own number). */
const EXHAUSTED_MS_MAX = 250
/** A history counts when it has so many acts; an arena is left for a new one after a few more, because of some nothing is known that counts. */
export const ACTS_MIN = 500
export const ACTS_WANTED = 540

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

/** Tells of an act that is in the journals when it was made. */
type MadeOf = (act: Act) => Window | undefined

/** An act that happened, that did not, or of which nothing is known that a model could use. */
type Ending = "yes" | "no" | "absent"
const endingOf = (act: Act, madeOf: MadeOf): Ending => {
  if (isUncertain(act) && madeOf(act)) return "yes"
  if (act.heard === "unknown") return "absent"
  return act.heard.status < 300 ? "yes" : "no"
}

/** A yes may have been given at its first try; a no only at its last. One that nobody heard happened when the journal says. */
const timed = <S>(act: Act, ending: Ending, madeOf: MadeOf, step: (state: S) => S | undefined): Timed<S> => {
  const made = ending === "yes" && isUncertain(act) ? madeOf(act) : undefined
  if (!made) return { call_ms: ending === "yes" ? act.first_ms : act.last_ms, return_ms: act.heard_ms, step }
  // An empty window is a fault of its own; the search takes none.
  return { call_ms: Math.min(made.from_ms, made.to_ms), return_ms: made.to_ms, step }
}

/** An act on a budget, with what it adds to it. */
interface BudgetAct extends Timed<number> { readonly adds: number }
const taking = (available: number, amount: number): number | undefined => available >= amount ? available - amount : undefined
const lacking = (available: number, amount: number): number | undefined => available < amount ? available : undefined

/** What the acts of an arena did to its budget: `available`, which never falls below zero. */
const budgetActs = (acts: readonly Act[], arena: Arena, madeOf: MadeOf): BudgetAct[] =>
  acts.flatMap((act): BudgetAct[] => {
    const ending = endingOf(act, madeOf)
    if (ending === "absent") return []
    const give = (amount: number) => [{ ...timed(act, ending, madeOf, (available: number) => available + amount), adds: amount }]
    const take = (amount: number) => [{ ...timed(act, ending, madeOf, (available: number) => taking(available, amount)), adds: -amount }]
    const short = (amount: number) => {
      const one = timed(act, ending, madeOf, (available: number) => lacking(available, amount))
      return [{ ...one, call_ms: one.call_ms - EXHAUSTED_MS_MAX, adds: 0 }]
    }
    if (act.kind === "fund") {
      const amount = act.body["amount_minor"] as number
      if (ending === "yes") return amount >= 0 ? give(amount) : take(-amount)
      return noOf(act) === "budget_in_use" ? short(-amount) : []
    }
    if (act.kind === "reserve") return ending === "yes" ? take(AMOUNT_MINOR) : noOf(act) === "budget_exhausted" ? short(AMOUNT_MINOR) : []
    return (act.kind === "cancel" || act.kind === "refund") && ending === "yes" ? give(AMOUNT_MINOR) : []
  })

/** An act on a coupon, by whose order, and what it does to it. */
interface CouponAct extends Timed<string> { readonly order: string; readonly does: "takes" | "moves" | "stays" }

/** What they did to the coupon that is everybody's: free, or held by one order, or used by it. */
const couponActs = (acts: readonly Act[], orderOf: (act: Act) => string, madeOf: MadeOf): CouponAct[] =>
  acts.flatMap((act): CouponAct[] => {
    const ending = endingOf(act, madeOf)
    if (ending === "absent") return []
    const order = orderOf(act)
    const goes = (from: string, to: string) => [{ ...timed(act, ending, madeOf, (state: string) => state === from ? to : undefined), order, does: from === "free" ? "takes" as const : "moves" as const }]
    const stays = (fits: (state: string) => boolean) => [{ ...timed(act, ending, madeOf, (state: string) => fits(state) ? state : undefined), order, does: "stays" as const }]
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

// --- lies: acts that nothing explains, one of which is told to each history that was found good, so that the search shows that it sees

/** A take of one minor unit more than can have been there at an instant. */
const oneOver = (acts: readonly BudgetAct[], at_ms: number): Timed<number> => {
  const most = acts.reduce((sum, { adds, call_ms, return_ms }) => adds > 0 ? call_ms <= at_ms ? sum + adds : sum : return_ms < at_ms ? sum + adds : sum, HOLDS * AMOUNT_MINOR)
  return { call_ms: at_ms, return_ms: at_ms, step: (available) => taking(available, most + 1) }
}

/** A "sold out" at the end of a time in which all of it was there without a break; nothing where nothing was. */
const falselySoldOut = (acts: readonly BudgetAct[], at_ms: number): Timed<number> | undefined => {
  const from_ms = at_ms - EXHAUSTED_MS_MAX
  const least = acts.reduce((sum, { adds, call_ms, return_ms }) => adds > 0 ? return_ms < from_ms ? sum + adds : sum : call_ms <= at_ms ? sum + adds : sum, HOLDS * AMOUNT_MINOR)
  return least > 0 ? { call_ms: from_ms, return_ms: at_ms, step: (available) => lacking(available, least) } : undefined
}

/** A second order that is given the coupon while a first one has it: between its yes and the next that is done for it. */
const heldTwice = (acts: readonly CouponAct[], from: number): Timed<string> | undefined => {
  for (const { order, does, return_ms } of [...acts.slice(from), ...acts.slice(0, from)]) {
    if (does !== "takes") continue
    const next_ms = acts.reduce((next, act) => act.does === "moves" && act.order === order && act.call_ms > return_ms ? Math.min(next, act.call_ms) : next, Infinity)
    if (next_ms === Infinity) continue
    const at_ms = (return_ms + next_ms) / 2
    return { call_ms: at_ms, return_ms: at_ms, step: (state) => state === "free" ? "held by another" : undefined }
  }
  return undefined
}

export interface Judged {
  readonly arena: number
  readonly of: "budget" | "coupon"
  readonly acts: number
  /** Its acts began and ended within it. */
  readonly lasted: Window
  readonly verdict: Verdict
  /** Lies that were told to it, and how many of them the search saw. */
  readonly lies: number
  readonly lies_seen: number
}

const NEVER: Window = { from_ms: Infinity, to_ms: -Infinity }
const judge = <S>(acts: readonly Timed<S>[], model: Model<S>, lies: readonly (Timed<S> | undefined)[]) => {
  const verdict = linearizable(acts, model)
  const told = verdict === "linearizable" ? lies.filter((lie) => lie !== undefined) : []
  const lies_seen = told.filter((lie) => linearizable([...acts, lie], model) === "not_linearizable").length
  const lasted = acts.reduce((all, { call_ms, return_ms }) => ({ from_ms: Math.min(all.from_ms, call_ms), to_ms: return_ms === Infinity ? all.to_ms : Math.max(all.to_ms, return_ms) }), NEVER)
  return { acts: acts.length, lasted, verdict, lies: told.length, lies_seen }
}

/** Judge both histories of an arena, and tell lies to each. `madeOf` knows which of the acts that nobody heard the end of are in the tables. */
export const judgeArena = (arena: Arena, all: readonly Act[], madeOf: MadeOf): Judged[] => {
  const acts = all.filter((act) => act.arena === arena.no)
  const redemptions = new Map(acts.flatMap((act): [string, Act][] => {
    const id = act.kind === "reserve" ? yesOf(act)?.["redemption_id"] as string | undefined : undefined
    return id === undefined ? [] : [[id, act]]
  }))
  const orderOf = (act: Act): string => (act.kind === "reserve" ? act : redemptions.get(act.path.split("/")[3] ?? ""))?.body["order_id"] as string
  // The shared coupon spends a budget of its own campaign, so an act is in one history only.
  const ofBudget = budgetActs(acts.filter((act) => !isOfCoupon(act, arena, redemptions)), arena, madeOf)
  const ofCoupon = couponActs(acts.filter((act) => isOfCoupon(act, arena, redemptions)), orderOf, madeOf)
  const ends = ofBudget.map(({ return_ms }) => return_ms).filter((at_ms) => at_ms !== Infinity)
  const middle_ms = ends[Math.floor(ends.length / 2)] ?? 0, end_ms = Math.max(0, ...ends)
  return [
    { arena: arena.no, of: "budget", ...judge(ofBudget, { initial: HOLDS * AMOUNT_MINOR, name: String }, [oneOver(ofBudget, middle_ms), falselySoldOut(ofBudget, end_ms + EXHAUSTED_MS_MAX + 1)]) },
    { arena: arena.no, of: "coupon", ...judge(ofCoupon, { initial: "free", name: (state) => state }, [heldTwice(ofCoupon, Math.floor(ofCoupon.length / 2))]) },
  ]
}

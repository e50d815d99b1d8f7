// What would make a no a yes: one change that the shopper can make, all its keys together.
//
// What must stay true: what is named here is enough, because the changed order has been priced with it. Where several single changes
// would do, the first in the order payment_method, without, spend_more_minor, quantity_more, from_at is named; two together only where
// none does alone. Where nothing the shopper does would help, or the steps are used up before something was found, nothing is named.

import { candidatesOf, sceneOf, type Candidate } from "./candidate.ts"
import { sheetOf } from "./cart.ts"
import { CONDITIONS, firstLack, type Lack } from "./conditions.ts"
import { grown, type Spending } from "./grown.ts"
import { kindOrderOf } from "./policy.ts"
import { inOrder } from "./stacking.ts"
import { aloneOf, isTurn } from "./turn.ts"
import type { More, Needs, Setting, Sheet } from "./types.ts"
import { meet, stepsOfAll, walk, type Taken } from "./walk.ts"

/** The steps that one quote may spend on saying what would help, some 6 ms; beyond them `needs` is left out. */
export const NEEDS_STEPS_MAX = 40_000
/** How often an amount or a count that is not enough is taken more of, and by how much: up to 2^24 times what is missing. */
const GROWTHS_MAX = 8
const GROWTH = 8

/** Steps left, shared by all refusals of a quote. */
export type Purse = { steps: number }

/**
 * The order and the coupons beside which a refused one was looked at, in their order of application, itself included; and all that a change
 * of the order may bring to stand beside it.
 */
export type Table = { readonly sheet: Sheet; readonly ranked: readonly Candidate[]; readonly comers: readonly Candidate[]; readonly setting: Setting }

/** A table with the refused coupon as it stands there. */
type Seat = { readonly table: Table; readonly target: Candidate; readonly purse: Purse }

type Change = { readonly payment_method?: string; readonly from_at?: string }

export function needsOf(refused: Candidate, given: Table, whole: Purse): Needs | undefined {
  // A long search leaves steps for the other refusals.
  const purse: Purse = { steps: Math.ceil(whole.steps / 2) }
  whole.steps -= purse.steps
  const needs = whatWouldHelp(refused, given, purse)
  whole.steps += purse.steps
  return needs
}

function whatWouldHelp(refused: Candidate, given: Table, purse: Purse): Needs | undefined {
  const change = changeOfOrder(lacksOf(refused, given.sheet))
  const seat = change ? changed({ table: given, target: refused, purse }, change) : { table: given, target: refused, purse }
  const { table: { sheet }, target } = seat
  const lacks = lacksOf(target, sheet)
  // Beyond the shopper's help: a currency, a channel, a badge, a budget that cannot pay it even alone.
  if (lacks.some((lack) => !lack.needs)) return undefined
  const alone = lacks.length > 0 ? undefined : aloneOf(target, sheet)
  if (alone && !isTurn(alone) && alone.code !== "terms_not_met") return undefined

  const needs = alone && isTurn(alone) ? byLeaving(seat, change !== undefined) : byMore(seat, lacks)
  return needs && settled({ ...change, ...needs })
}

// --- its own conditions hold: others are in its way, or have left too little

function byLeaving(seat: Seat, isChanged: boolean): Needs | undefined {
  const forced = clear(seat, [])
  if (!forced) return undefined
  if (forced.stands) return named(isChanged || forced.left.length > 0 ? forced.left : pushedBy(seat))
  // Who takes most first. What leaves gives back no more than it took, so fewer than make up for what is missing are not tried.
  const others = forced.taken.toSorted((a, b) => b.effect.totalMinor - a.effect.totalMinor)
  const { table: { sheet, ranked }, target } = seat
  const { missing } = meet(sheet, ranked.filter((one) => !forced.left.includes(one)), target)
  for (const { candidate, effect } of others) {
    if (effect.totalMinor < missing) break
    const without = clear(seat, [...forced.left, candidate])
    if (!without) return undefined
    if (without.stands) return named(without.left)
  }
  const without = fewest(seat, others, forced.left, missing)
  if (without) return named(without)
  const unseen = target.terms.kind.phase === "finance" ? byUnseen(seat, forced) : undefined
  return unseen ? named(unseen) : byMore(seat, [])
}

/**
 * Who left a finance right nothing may itself be refused where that right is gone, because one that had to give way to it stands then. The
 * search ends with the first whose leaving is enough, and with the first that uses up the steps: after that nobody else could be tried.
 */
function byUnseen(seat: Seat, { left, taken }: Cleared): readonly Candidate[] | undefined {
  for (const one of seat.table.ranked) {
    if (one === seat.target || left.includes(one) || taken.some(({ candidate }) => candidate === one)) continue
    const without = clear(seat, [...left, one])
    if (!without || without.stands) return without?.left
  }
  return undefined
}

/** All that may have to leave, and of them none that could as well stay. */
function fewest(seat: Seat, others: readonly Taken[], forced: readonly Candidate[], missing: number): readonly Candidate[] | undefined {
  let left: readonly Candidate[] = forced
  let stands = false
  let backMinor = 0
  for (const { candidate, effect } of others) {
    left = left.includes(candidate) ? left : [...left, candidate]
    backMinor += effect.totalMinor
    if (backMinor < missing) continue
    const tried = clear(seat, left)
    if (!tried) return undefined
    left = tried.left
    stands = tried.stands
    if (stands) break
  }
  if (!stands) return undefined
  for (const one of left) {
    const tried = clear(seat, left.filter((other) => other !== one))
    if (tried?.stands && tried.left.length < left.length) left = tried.left
  }
  return left
}

/** Of "best": it stands and pushes chosen ones aside, so they are in its way. */
const pushedBy = ({ table: { sheet, ranked }, target }: Seat): Candidate[] => [...walk(sheet, ranked).refused.keys()].filter((candidate) => candidate !== target)

type Cleared = { readonly stands: boolean; readonly left: readonly Candidate[]; readonly taken: readonly Taken[] }

/** Walks without some; whoever is in the coupon's way leaves too, one by one. Undefined where the steps are used up. */
function clear({ table: { sheet, ranked }, target, purse }: Seat, leaving: readonly Candidate[]): Cleared | undefined {
  const left = leaving.slice()
  for (;;) {
    if (purse.steps <= 0) return undefined
    const stay = ranked.filter((candidate) => !left.includes(candidate))
    purse.steps -= stepsOfAll(sheet, stay)
    const { taken, refused } = walk(sheet, stay)
    const refusal = refused.get(target)
    if (refusal?.code !== "not_stackable") return { stands: !refusal, left, taken }
    // Each turn one more leaves, so there are no more turns than coupons.
    left.push(refusal.other)
  }
}

// --- more of the order

function byMore(seat: Seat, lacks: readonly Lack[]): Needs | undefined {
  const { table: { sheet, ranked }, target, purse } = seat
  const left: Candidate[] = []
  // First with those who can stay, then, where no amount is enough beside them, with nobody before it.
  for (;;) {
    if (purse.steps <= 0) return undefined
    purse.steps -= stepsOfAll(sheet, ranked)
    const { other, missing, before } = meet(sheet, ranked.filter((candidate) => !left.includes(candidate)), target)
    if (other) {
      left.push(other)
      continue
    }
    const found = enoughBeside(seat, left, lacks, missing)
    if (found || before.length === 0) return found
    left.push(...before)
  }
}

/** What more of the order is enough without some, where the threshold lacks so much at its turn. */
function enoughBeside(seat: Seat, left: readonly Candidate[], lacks: readonly Lack[], missing: number): Needs | undefined {
  const { table: { sheet }, target } = seat
  const quantity = Math.max(0, ...lacks.map((lack) => lack.needs?.quantity_more ?? 0))
  // Of lines that the order has none of, how much or how many is the kind's to say, not what one unit is imagined to cost.
  const hasThem = target.lines.length > 0
  const wanted = hasThem && (missing > 0 || quantity > 0) ? undefined : target.terms.lacks(sceneOf(target, sheet.untouched, sheet.untouched, target.terms.maxMinor))
  if (wanted === "beyond_help" || hasNoShipping(target, sheet)) return undefined
  const own = quantity > 0 && (wanted === undefined || target.terms.thresholdQuantity > 0) ? { units: [{ quantity }] } : missing > 0 ? {} : wanted ?? {}
  const spend_more_minor = Math.max(0, missing, own.spend_more_minor ?? 0)
  const money = { ...(spend_more_minor > 0 && { spend_more_minor }) }
  if (own.units) return withUnits(seat, left, { ...money, units: own.units })
  return withMoney(seat, left, Math.max(1, spend_more_minor), missing)
    ?? (wanted?.units && withUnits(seat, left, { ...money, units: wanted.units }))
    ?? withUnits(seat, left, { units: [{ quantity: 1 }] })
}

/** It takes from a shipping that costs nothing, whatever else is in the order. */
const hasNoShipping = ({ targets }: Candidate, { shipping, amounts }: Sheet): boolean => targets.length === 1 && targets[0] === shipping && amounts[shipping] === 0

/** The least money that is found to be enough, from so much on: however it is spent, or else spent on one thing that can be discounted. */
function withMoney(seat: Seat, left: readonly Candidate[], from: number, missing: number): Needs | undefined {
  const tried = (ways: readonly Spending[]) => (spend_more_minor: number) => triedMore(seat, left, { spend_more_minor }, ways)
  const onOne = least(tried(["one_unit"]), from, missing > 0 ? (spent) => inProportion(seat, left, spent, missing) : undefined)
  return onOne && (least(tried(["same_units", "one_unit"]), onOne.spend_more_minor!) ?? onOne)
}

/** What has to be spent where a part of it is taken off before: so much more as what was spent has left too little. */
function inProportion(seat: Seat, left: readonly Candidate[], spent: number, missing: number): number | undefined {
  const order = grown(seat.table.sheet, seat.target, { spend_more_minor: spent }, "one_unit")
  if (!order) return undefined
  const { table: { sheet, ranked }, target } = laid(seat, { order })
  const stay = ranked.filter(({ coupon }) => !left.some((one) => one.coupon === coupon))
  seat.purse.steps -= stepsOfAll(sheet, stay)
  const gained = missing - meet(sheet, stay, target).missing
  return gained > 0 ? Math.ceil((spent * missing) / gained) : undefined
}

/** The fewest units: those that are asked for, then one more of each part in turn. */
const withUnits = (seat: Seat, left: readonly Candidate[], { units, ...money }: More & { units: NonNullable<More["units"]> }): Needs | undefined => {
  const asked = units.reduce((sum, { quantity }) => sum + quantity, 0)
  const spread = (all: number): More => {
    const extra = all - asked
    return { ...money, units: units.map((part, i) => ({ ...part, quantity: part.quantity + Math.floor((extra + units.length - 1 - i) / units.length) })) }
  }
  return least((all) => triedMore(seat, left, spread(all), ["one_unit"]), Math.max(1, asked))
}

/** The smallest number from one on that does, where more of it does too; else one that does. `guess` says where to go on from one that does not. */
function least(tried: (count: number) => Needs | undefined | "spent", from: number, guess?: (low: number) => number | undefined): Needs | undefined {
  let low = from - 1
  let high = from
  let found = tried(high)
  const guessed = found ? undefined : guess?.(high)
  let step = guessed === undefined ? high * (GROWTH - 1) : Math.max(1, guessed - high)
  for (let turn = 0; !found && turn < GROWTHS_MAX; turn++) {
    low = high
    high += step
    found = tried(high)
    step = guessed === undefined ? high * (GROWTH - 1) : GROWTH ** turn
  }
  if (!found || found === "spent") return undefined
  // What was guessed is mostly exact, so down by 1, 2, 4 and so on first, never by more than half: at most 106 turns.
  for (let drop = 1; high - low > 1; drop *= 2) {
    const middle = Math.max(high - drop, low + Math.floor((high - low) / 2))
    const less = tried(middle)
    if (less === "spent") return found
    if (less) {
      found = less
      high = middle
    } else {
      low = middle
      drop = Number.MAX_SAFE_INTEGER
    }
  }
  return found
}

/** Whether the coupon stands where there is more of the order; the change with all that has to leave, if it does. */
function triedMore(seat: Seat, left: readonly Candidate[], more: More, ways: readonly Spending[]): Needs | undefined | "spent" {
  let without = left
  for (const spending of ways) {
    const order = grown(seat.table.sheet, seat.target, more, spending)
    if (!order) return undefined
    const there = laid(seat, { order })
    if (firstLack(there.target, there.table.sheet, there.table.sheet.untouched)) return undefined
    const cleared = clear(there, there.table.ranked.filter(({ coupon }) => without.some((one) => one.coupon === coupon)))
    if (!cleared) return "spent"
    if (!cleared.stands) return undefined
    without = cleared.left
  }
  const quantity_more = more.units?.reduce((sum, { quantity }) => sum + quantity, 0) ?? 0
  const { spend_more_minor = 0 } = more
  return { ...named(without), ...(spend_more_minor > 0 && { spend_more_minor }), ...(quantity_more > 0 && { quantity_more }) }
}

// --- the changed order

/** Every condition that fails on the untouched order, not the first alone: all of them must be helped. */
function lacksOf(target: Candidate, sheet: Sheet): Lack[] {
  const cart = sheet.untouched
  const lacks: Lack[] = []
  for (const { judge } of CONDITIONS) {
    const lack = judge(target, sheet, cart)
    if (lack) lacks.push(lack)
  }
  return lacks
}

function changeOfOrder(lacks: readonly Lack[]): Change | undefined {
  let change: Change | undefined
  for (const { needs } of lacks) {
    if (needs?.payment_method !== undefined) change = { ...change, payment_method: needs.payment_method }
    if (needs?.from_at !== undefined) change = { ...change, from_at: needs.from_at }
  }
  return change
}

const changed = (seat: Seat, { payment_method, from_at }: Change): Seat => {
  const { order } = seat.table.sheet
  return laid(seat, { order: payment_method === undefined ? order : { ...order, payment_method }, ...(from_at !== undefined && { nowMs: Date.parse(from_at) }) })
}

/** The same coupons laid against a changed order: those beside it may come and go by the change. */
function laid({ table: { sheet, comers, setting }, target, purse }: Seat, to: Partial<Pick<Sheet, "order" | "nowMs">>): Seat {
  const { order, nowMs, funds } = { ...sheet, ...to }
  const there = sheetOf(order, nowMs, funds)
  const byPlace = comers.toSorted((a, b) => a.place - b.place)
  purse.steps -= stepsOfAll(there, byPlace)
  const candidates = candidatesOf(there, byPlace.map(({ coupon }) => coupon), setting.profile)
  const usable = candidates.filter((candidate) => candidate.coupon === target.coupon || !firstLack(candidate, there, there.untouched))
  return {
    table: { sheet: there, ranked: inOrder(usable, kindOrderOf(setting.profile)), comers: candidates, setting },
    target: candidates.find(({ coupon }) => coupon === target.coupon)!,
    purse,
  }
}

const named = (without: readonly Candidate[]): Needs =>
  without.length === 0 ? {} : { without: without.map(({ coupon }) => coupon.coupon_id) }

const settled = (needs: Needs): Needs | undefined => (Object.keys(needs).length === 0 ? undefined : needs)

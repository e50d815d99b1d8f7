// What would make a no a yes: one change that the shopper can make, all its keys together.
//
// What must stay true: what is named here is enough. So conflicts and running thresholds are not guessed but walked
// again, with the change made. Where several single changes would do, the first in the order payment_method, without,
// spend_more_minor, quantity_more, from_at is named. Where nothing the shopper does would help, nothing is named.

import { candidatesOf, sceneOf, type Candidate } from "./candidate.ts"
import { sheetOf } from "./cart.ts"
import { CONDITIONS, firstLack, type Lack } from "./conditions.ts"
import { kindOrderOf } from "./policy.ts"
import { inOrder } from "./stacking.ts"
import { aloneOf, isTurn, NOTHING_TO_DISCOUNT } from "./turn.ts"
import type { Needs, Setting, Sheet } from "./types.ts"
import { meet, stepsOfAll, walk } from "./walk.ts"

/** The steps that one quote may spend on saying what would help, some 6 ms; beyond them `needs` is left out. */
export const NEEDS_STEPS_MAX = 40_000

/** Steps left, shared by all refusals of a quote. */
export type Purse = { steps: number }

/**
 * The order and the coupons beside which a refused one was looked at, in their order of application, itself included; and all that a change
 * of the order may bring to stand beside it.
 */
export type Table = { readonly sheet: Sheet; readonly ranked: readonly Candidate[]; readonly comers: readonly Candidate[]; readonly setting: Setting }

export function needsOf(refused: Candidate, given: Table, purse: Purse): Needs | undefined {
  const change = changeOfOrder(lacksOf(refused, given.sheet))
  const table = change ? changedTable(given, change, refused) : given
  const target = table.ranked.find(({ coupon }) => coupon === refused.coupon)!
  const lacks = lacksOf(target, table.sheet)
  const needs: Needs = { ...change }
  // Beyond the shopper's help: a currency, a channel, a badge.
  if (lacks.some((lack) => !lack.needs)) return undefined

  // Each look walks through all of them, so a long list of refusals is explained only as far as the steps last.
  if (purse.steps <= 0) return undefined
  purse.steps -= stepsOfAll(table.sheet, table.ranked)
  // Those in its way leave one by one, until it stands.
  const without: Candidate[] = []
  const ranked = (): Candidate[] => table.ranked.filter((candidate) => !without.includes(candidate))
  let meeting = meet(table.sheet, ranked(), target)
  while (meeting.other) {
    without.push(meeting.other)
    purse.steps -= stepsOfAll(table.sheet, table.ranked)
    if (purse.steps < 0) return undefined
    meeting = meet(table.sheet, ranked(), target)
  }

  if (lacks.length > 0) {
    const quantity_more = Math.max(...lacks.map((lack) => lack.needs?.quantity_more ?? 0))
    return settled({
      ...needs,
      ...named(without),
      ...(meeting.missing > 0 ? { spend_more_minor: meeting.missing } : {}),
      ...(quantity_more > 0 ? { quantity_more } : {}),
    })
  }
  // Its own conditions hold, so alone it either stands or has nothing to do, whatever leaves.
  const alone = aloneOf(target, table.sheet)
  if (!isTurn(alone)) {
    const more = alone === NOTHING_TO_DISCOUNT ? moreFor(target, table.sheet) : undefined
    return more && { ...needs, ...named(without), ...more }
  }

  const stands = (others: readonly Candidate[]): boolean => {
    purse.steps -= stepsOfAll(table.sheet, others)
    return walk(table.sheet, others).taken.some(({ candidate }) => candidate === target)
  }
  if (stands(ranked())) {
    // Of "best": it stands and pushes chosen ones aside, so they are in its way.
    const isFree = change !== undefined || without.length > 0
    return settled({ ...needs, ...named(isFree ? without : pushedBy(target, table)) })
  }
  for (const one of meeting.before) {
    if (purse.steps < 0) return undefined
    if (stands(ranked().filter((candidate) => candidate !== one))) return settled({ ...needs, ...named([...without, one]) })
  }
  if (meeting.missing > 0) return settled({ ...needs, ...named(without), spend_more_minor: meeting.missing })
  for (const one of meeting.before.toReversed()) {
    if (purse.steps < 0) return undefined
    without.push(one)
    if (stands(ranked())) {
    // Of "best": it stands and pushes chosen ones aside, so they are in its way.
    const isFree = change !== undefined || without.length > 0
    return settled({ ...needs, ...named(isFree ? without : pushedBy(target, table)) })
  }
  }
  return undefined
}

/** Those that do not stand because one does. */
const pushedBy = (target: Candidate, { sheet, ranked }: Table): Candidate[] =>
  [...walk(sheet, ranked).refused].flatMap(([candidate, refusal]) => refusal.code === "not_stackable" && refusal.other === target ? [candidate] : [])

/** What its kind would need more of. */
function moreFor(target: Candidate, sheet: Sheet): Needs | undefined {
  const cart = sheet.untouched
  return target.terms.lacks(sceneOf(target, cart, cart, target.terms.maxMinor))
}

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

type Change = { readonly payment_method?: string; readonly from_at?: string }

function changeOfOrder(lacks: readonly Lack[]): Change | undefined {
  let change: Change | undefined
  for (const { needs } of lacks) {
    if (needs?.payment_method !== undefined) change = { ...change, payment_method: needs.payment_method }
    if (needs?.from_at !== undefined) change = { ...change, from_at: needs.from_at }
  }
  return change
}

/** The same coupons laid against the changed order: those beside it may come and go by the change. */
function changedTable({ sheet, comers, setting }: Table, change: Change, target: Candidate): Table {
  const order = change.payment_method === undefined ? sheet.order : { ...sheet.order, payment_method: change.payment_method }
  const changed = sheetOf(order, change.from_at === undefined ? sheet.nowMs : Date.parse(change.from_at), sheet.funds)
  const byPlace = comers.toSorted((a, b) => a.place - b.place)
  const candidates = candidatesOf(changed, byPlace.map(({ coupon }) => coupon), setting.profile)
  const cart = changed.untouched
  return {
    sheet: changed,
    ranked: inOrder(
      candidates.filter((candidate) => candidate.coupon === target.coupon || !firstLack(candidate, changed, cart)),
      kindOrderOf(setting.profile),
    ),
    comers,
    setting,
  }
}

const named = (without: readonly Candidate[]): Needs =>
  without.length === 0 ? {} : { without: without.map(({ coupon }) => coupon.coupon_id) }

const settled = (needs: Needs): Needs | undefined => (Object.keys(needs).length === 0 ? undefined : needs)

// Which coupons may stand beside each other, and in which order they are applied.
//
// What must stay true: the order of application never depends on which coupons are chosen; a rule looks at one coupon
// and those already taken, and answers with the one that is in its way.

import type { Candidate } from "./candidate.ts"
import { LEVELS, type RuleName } from "./types.ts"

/** A coupon that is in the way, and by which rule. */
export type Conflict = { readonly rule: RuleName; readonly other: Candidate; readonly detail: string }

type Rule = {
  readonly name: RuleName
  readonly detail: string
  readonly inTheWay: (candidate: Candidate, taken: readonly Candidate[]) => Candidate | undefined
}

/** Also said where the exclusive coupon is chosen before the others are looked at. */
export const EXCLUSIVE_DETAIL = "One of the two coupons stands alone."

const exclusive: Rule = {
  name: "exclusive",
  detail: EXCLUSIVE_DETAIL,
  inTheWay: (candidate, taken) =>
    candidate.terms.exclusive ? taken[0] : taken.find((other) => other.terms.exclusive),
}

/** The smallest `group_max` of the members holds, the newcomer's included. */
const group: Rule = {
  name: "group",
  detail: "The group of the coupon is full.",
  inTheWay: (candidate, taken) => {
    const { group: name, groupMax } = candidate.terms
    if (name === undefined) return undefined
    let first: Candidate | undefined
    let members = 0
    let most = groupMax
    for (const other of taken) {
      if (other.terms.group !== name) continue
      first ??= other
      members += 1
      most = Math.min(most, other.terms.groupMax)
    }
    return members >= most ? first : undefined
  },
}

/** A pair needs the yes of both. */
const withGroups: Rule = {
  name: "with_groups",
  detail: "One of the two coupons may not stand beside the group of the other.",
  inTheWay: (candidate, taken) =>
    taken.find((other) => !allows(candidate, other) || !allows(other, candidate)),
}

const allows = ({ terms }: Candidate, other: Candidate): boolean =>
  !terms.withGroups || (other.terms.group !== undefined && terms.withGroups.has(other.terms.group))

const perOrder: Rule = {
  name: "per_order",
  detail: "The order already carries as many coupons of this campaign as it may.",
  inTheWay: (candidate, taken) => {
    let first: Candidate | undefined
    let same = 0
    // Two versions of a campaign may say different numbers; the smaller holds, as in a group.
    let most = candidate.terms.perOrder
    for (const other of taken) {
      if (other.terms.campaign_id !== candidate.terms.campaign_id) continue
      first ??= other
      same += 1
      most = Math.min(most, other.terms.perOrder)
    }
    return same >= most ? first : undefined
  },
}

export const RULES: readonly Rule[] = [exclusive, group, withGroups, perOrder]

/** The first rule that keeps a coupon from standing beside those taken. */
export function conflictOf(candidate: Candidate, taken: readonly Candidate[]): Conflict | undefined {
  if (taken.length === 0) return undefined
  for (let i = 0; i < RULES.length; i++) {
    const other = RULES[i]!.inTheWay(candidate, taken)
    if (other) return { rule: RULES[i]!.name, other, detail: RULES[i]!.detail }
  }
  return undefined
}

/** Coupons of one stretch see the same original amounts: a level, and the levels once more for the shipping at the end. */
export const stretchOf = ({ terms }: Candidate): number => (terms.target === "shipping" ? LEVELS.length : 0) + terms.level

/** Candidates in their order of application. */
export function inOrder(candidates: readonly Candidate[], kindOrder: "priority" | "percent_first"): Candidate[] {
  const rest = ({ terms }: Candidate): number => (kindOrder === "percent_first" && !terms.kind.percent ? 1 : 0)
  return candidates
    .slice()
    .sort(
      (a, b) =>
        stretchOf(a) - stretchOf(b) || rest(a) - rest(b) || b.terms.priority - a.terms.priority || a.place - b.place,
    )
}

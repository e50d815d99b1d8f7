// A set of coupons that was priced, and which of two is the better one.
//
// What must stay true: a tie falls to what costs the spared budgets least, then to the fewest coupons, then to those that
// end first, then to the smallest coupon_ids.

import type { Candidate } from "./candidate.ts"
import { mulDivHalfUp } from "./money.ts"
import type { Effect } from "./types.ts"

/** A set with what it gives and what it costs the budgets that are to be spared. */
export type Found = { readonly gives: number; readonly costs: number; readonly chosen: readonly Candidate[] }

export const NOTHING: Found = { gives: 0, costs: 0, chosen: [] }

export function foundOf(
  taken: readonly { readonly candidate: Candidate; readonly effect: Effect }[],
  spare: ReadonlySet<string> | undefined,
): Found {
  let gives = 0
  let costs = 0
  for (const { candidate, effect } of taken) {
    gives += effect.totalMinor + effect.benefitMinor
    costs += costOf(candidate, effect, spare)
  }
  return { gives, costs, chosen: taken.map(({ candidate }) => candidate) }
}

/** What a coupon costs the budgets that are to be spared. */
function costOf({ terms }: Candidate, effect: Effect, spare: ReadonlySet<string> | undefined): number {
  if (!spare) return 0
  let share_bp = 0
  for (const part of terms.funding) if (spare.has(part.budget_id)) share_bp += part.share_bp
  return share_bp === 0 ? 0 : mulDivHalfUp(effect.costMinor, share_bp, 10000)
}

export function isBetter(found: Found, best: Found): boolean {
  if (found.gives !== best.gives) return found.gives > best.gives
  if (found.costs !== best.costs) return found.costs < best.costs
  if (found.chosen.length !== best.chosen.length) return found.chosen.length < best.chosen.length
  const byEnd = compareLists(endsOf(found), endsOf(best))
  return (byEnd || compareLists(idsOf(found), idsOf(best))) < 0
}

const endsOf = ({ chosen }: Found): number[] => chosen.map(({ coupon }) => coupon.ends_at_ms).sort((a, b) => a - b)

const idsOf = ({ chosen }: Found): string[] => chosen.map(({ coupon }) => coupon.coupon_id).sort()

function compareLists<Value extends number | string>(a: readonly Value[], b: readonly Value[]): number {
  for (let i = 0; i < a.length; i++) {
    if (a[i]! < b[i]!) return -1
    if (a[i]! > b[i]!) return 1
  }
  return 0
}

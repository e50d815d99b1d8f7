// A good set before the search begins: the better the set in hand, the sooner a branch is left.
//
// From a set on, coupons are added, left and exchanged on the sketch as long as that gives more. It is a guess: where
// the sketch does not know what a coupon gives, it takes it for the most that it can give.
// It rests after each coupon that it tries to change.
// What must stay true: what comes out is only ever offered, priced exactly, as any other set is.

import type { Candidate } from "./candidate.ts"
import { gainOf, type Sketch } from "./sketch.ts"

/** Rounds through all changes: of the bench's instances hardly one still gets better in the third (2026-11-22). */
const ROUNDS = 3

/** So many coupons are told in a step: 7 ns each (100 coupons on 9 classes, 2026-11-22). */
const TOLD_IN_A_STEP = 32

/** A set that seems better than the given one; undefined where none does, or none before the purse is empty. */
export function* leadOn({ forms, classes, cliques }: Sketch, whole: Float64Array, from: ReadonlySet<Candidate>, purse: { steps: number }): Generator<void, Candidate[] | undefined, void> {
  const count = forms.length
  const isIn = Uint8Array.from(forms, ({ candidate }) => (from.has(candidate) ? 1 : 0))
  const most = forms.map(({ candidate: { terms } }) => (terms.group !== undefined ? terms.groupMax : terms.perOrder))
  const members = new Int32Array(cliques)
  for (let i = 0; i < count; i++) members[forms[i]!.clique]! += isIn[i]!
  // By turn: what is left before it, and what was given, of the set in hand; a change is told from its first turn on.
  const before = new Float64Array((count + 1) * classes)
  before.set(whole)
  const given = new Float64Array(count + 1)
  const left = new Float64Array(classes)

  /** What the set gives on the sketch, told anew from a turn on; -1 where it does not stand. */
  const tell = (first: number, until = count): number => {
    for (let c = 0; c < classes; c++) left[c] = before[first * classes + c]!
    purse.steps -= (until - first) / TOLD_IN_A_STEP
    let all = given[first]!
    for (let i = first; i < until; i++) {
      if (isIn[i] === 0) continue
      const form = forms[i]!
      const { targets, thresholdMinor, outline, mostMinor, loose } = form
      if (members[form.clique]! > most[i]!) return -1
      if (form.rate !== undefined || form.candidate.terms.kind.takes_nothing) {
        all += mostMinor
        continue
      }
      if (thresholdMinor > 0 && sumAt(left, form.counts) < thresholdMinor) return -1
      const there = sumAt(left, targets)
      const gain = outline ? gainOf(form, there, form.reaches ? sumAt(left, form.reaches) : form.reachedMinor, 0) ?? 0 : Math.min(there, loose ? loose.capMinor : mostMinor)
      if (gain <= 0) return -1
      const stays = 1 - gain / there
      for (let k = 0; k < targets.length; k++) left[targets[k]!]! *= stays
      all += gain
    }
    return all
  }
  /** Writes the set in hand down, from a turn on. */
  const settle = (first: number): void => {
    for (let i = first; i < count; i++) {
      given[i + 1] = tell(i, i + 1)
      before.set(left, (i + 1) * classes)
    }
  }
  const turnOver = (i: number): void => {
    isIn[i] = 1 - isIn[i]!
    members[forms[i]!.clique]! += isIn[i] === 1 ? 1 : -1
  }

  let best = tell(0)
  settle(0)
  let isBetter = false
  /** Keeps what was turned over if that gives more; else turns it back. */
  const keeps = (i: number, j: number): boolean => {
    const now = tell(Math.min(i, j))
    if (now > best) {
      best = now
      settle(Math.min(i, j))
      return (isBetter = true)
    }
    turnOver(i)
    if (j !== i) turnOver(j)
    return false
  }
  for (let round = 0, moved = true; moved && round < ROUNDS; round++) {
    moved = false
    for (let i = 0; i < count && purse.steps > 0; i++) {
      yield
      const { clique } = forms[i]!
      // Into a full group it only comes in another's place.
      const isFull = isIn[i] === 0 && members[clique]! >= most[i]!
      if (!isFull) {
        turnOver(i)
        if (keeps(i, i)) {
          moved = true
          continue
        }
      }
      if (isIn[i] === 1) continue
      for (let j = 0; j < count; j++) {
        if (isIn[j] === 0 || (isFull && forms[j]!.clique !== clique)) continue
        turnOver(i)
        turnOver(j)
        if (!keeps(i, j)) continue
        moved = true
        break
      }
    }
  }
  return isBetter ? forms.filter((_, i) => isIn[i] === 1).map(({ candidate }) => candidate) : undefined
}

function sumAt(left: Float64Array, classes: readonly number[]): number {
  let all = 0
  for (let k = 0; k < classes.length; k++) all += left[classes[k]!]!
  return all
}

// A good set before the search begins: the better the set in hand, the sooner a branch is left.
//
// From a set on, coupons are added, left and exchanged on the sketch as long as that gives more. It is a guess: where
// the sketch does not know what a coupon gives, it takes it for the most that it can give.
// What must stay true: what comes out is only ever offered, priced exactly, as any other set is.

import type { Candidate } from "./candidate.ts"
import { gainOf, type Sketch } from "./sketch.ts"

/** Rounds through all changes: of the bench's instances hardly one still gets better in the third (2026-11-22). */
const ROUNDS = 3

/** A set that seems better than the given one; undefined where none does. */
export function leadOn({ forms, classes, cliques }: Sketch, whole: Float64Array, from: ReadonlySet<Candidate>): Candidate[] | undefined {
  const isIn = Uint8Array.from(forms, ({ candidate }) => (from.has(candidate) ? 1 : 0))
  const left = new Float64Array(classes)
  const members = new Float64Array(cliques)

  /** What the set gives on the sketch; -1 where it does not stand. */
  const gives = (): number => {
    left.set(whole)
    members.fill(0)
    let given = 0
    for (let i = 0; i < forms.length; i++) {
      if (isIn[i] === 0) continue
      const form = forms[i]!
      const { candidate: { terms }, clique, targets, counts, thresholdMinor, outline, mostMinor, loose } = form
      if (++members[clique]! > (terms.group !== undefined ? terms.groupMax : terms.perOrder)) return -1
      if (form.rate !== undefined || terms.kind.takes_nothing) {
        given += mostMinor
        continue
      }
      if (thresholdMinor > 0 && sumAt(left, counts) < thresholdMinor) return -1
      const there = sumAt(left, targets)
      const gain = outline ? gainOf(form, there, form.reaches ? sumAt(left, form.reaches) : form.reachedMinor, 0) ?? 0 : Math.min(there, loose ? loose.capMinor : mostMinor)
      if (gain <= 0) return -1
      const stays = 1 - gain / there
      for (let k = 0; k < targets.length; k++) left[targets[k]!]! *= stays
      given += gain
    }
    return given
  }

  let most = gives()
  let isBetter = false
  const keepsIf = (undo: () => void): boolean => {
    const now = gives()
    if (now <= most) {
      undo()
      return false
    }
    most = now
    return (isBetter = true)
  }
  for (let round = 0, moved = true; moved && round < ROUNDS; round++) {
    moved = false
    for (let i = 0; i < forms.length; i++) {
      isIn[i] = 1 - isIn[i]!
      if (keepsIf(() => (isIn[i] = 1 - isIn[i]!))) {
        moved = true
        continue
      }
      for (let j = 0; j < forms.length; j++) {
        if (isIn[j] === isIn[i]) continue
        isIn[i] = 1 - isIn[i]!
        isIn[j] = 1 - isIn[j]!
        const isKept = keepsIf(() => {
          isIn[i] = 1 - isIn[i]!
          isIn[j] = 1 - isIn[j]!
        })
        if (!isKept) continue
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

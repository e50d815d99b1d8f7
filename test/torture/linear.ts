/**
 * Is a history linearizable? The search of Wing and Gong with the memory of Lowe.
 *
 * An act takes effect at one instant between its call and its return. The history is linearizable when some order of those instants
 * makes every answer the one that a plain sequential model gives. The search tries the acts that may come next, goes back when none fits,
 * and remembers each set of done acts with the state it led to, so that no dead end is walked twice. An act that changes nothing is done as
 * soon as it fits: whatever order works without that works with it too. For the same reason a dead end is remembered by the changes that led
 * to it, and one that has done the same changes, and of the rest nothing more, is a dead end too: a history with many refusals that may be
 * old has as many sets of those as it has orders, and is judged as quickly with it.
 *
 * Source: G. Lowe, "Testing for linearizability", Concurrency and Computation 29 (2017), section 4.
 */

/** One act of a history: when it was called and returned, and what it does to the state. */
export interface Timed<S> {
  readonly call_ms: number
  /** Infinity for an act that happened and whose end nobody heard. */
  readonly return_ms: number
  /** The state after it, or nothing when the model would not have answered so. */
  step(state: S): S | undefined
}

export interface Model<S> {
  readonly initial: S
  /** A name that two states have in common only if they are the same. */
  name(state: S): string
}

export type Verdict = "linearizable" | "not_linearizable" | "undecided"

/** A search that has taken so many steps is given up, and said to be undecided. */
const STEPS_MAX = 3_000_000

interface Event { readonly act: number; readonly isCall: boolean; previous: Event | undefined; next: Event | undefined; match: Event | undefined }

/** The events of a history in their order, as a list with a head; at one instant calls come first, which allows more orders, never fewer. */
const listOf = <S>(acts: readonly Timed<S>[]): Event => {
  const timed = acts.flatMap((act, no) => [{ at_ms: act.call_ms, isCall: true, act: no }, { at_ms: act.return_ms, isCall: false, act: no }])
    .sort((a, b) => a.at_ms === b.at_ms ? Number(b.isCall) - Number(a.isCall) : a.at_ms - b.at_ms)
  const head: Event = { act: -1, isCall: false, previous: undefined, next: undefined, match: undefined }
  const calls = new Map<number, Event>()
  let last = head
  for (const { isCall, act } of timed) {
    const event: Event = { act, isCall, previous: last, next: undefined, match: undefined }
    last.next = event
    if (isCall) calls.set(act, event)
    else calls.get(act)!.match = event
    last = event
  }
  return head
}

const lift = ({ previous, next }: Event): void => {
  previous!.next = next
  if (next) next.previous = previous
}
const unlift = (event: Event): void => {
  event.previous!.next = event
  if (event.next) event.next.previous = event
}

/** Two random numbers for each act: a set of changes is named by the XOR of theirs. */
const markOf = (act: number): readonly [number, number] => {
  const hash = BigInt(Bun.hash(String(act)))
  return [Number(hash & 0xffffffffn), Number(hash >> 32n)]
}

/** Judge a history against a model. */
export const linearizable = <S>(acts: readonly Timed<S>[], model: Model<S>): Verdict => {
  const head = listOf(acts)
  const marks = acts.map((_, no) => markOf(no))
  /** By the changes done and their state, each set of other acts that was done beside them and is no part of another one there. */
  const seen = new Map<string, bigint[]>()
  const isNew = (name: string, others: bigint): boolean => {
    const sets = seen.get(name) ?? []
    if (sets.some((set) => (set & others) === others)) return false
    seen.set(name, [...sets.filter((set) => (set & others) !== set), others])
    return true
  }
  const done: { event: Event; state: S; isChange: boolean }[] = []
  let state = model.initial, low = 0, high = 0, others = 0n, steps = 0
  const mark = (act: number) => { low ^= marks[act]![0]; high ^= marks[act]![1] }
  let event = head.next
  // Bounded by STEPS_MAX: each turn is one step of the search.
  while (head.next !== undefined) {
    if (++steps > STEPS_MAX) return "undecided"
    if (event?.isCall) {
      const after = acts[event.act]!.step(state)
      if (after !== undefined) {
        const name = model.name(after), isChange = name !== model.name(state)
        if (isChange) mark(event.act)
        if (!isChange || isNew(`${low}.${high}.${name}`, others)) {
          if (!isChange) others |= 1n << BigInt(event.act)
          done.push({ event, state, isChange })
          state = after
          lift(event)
          lift(event.match!)
          event = head.next
          continue
        }
        mark(event.act)
      }
      event = event.next
    } else {
      // A return whose act is not done yet: nothing that may come next fits, so the last one was wrong.
      let undone: (typeof done)[number] | undefined
      do {
        undone = done.pop()
        if (!undone) return "not_linearizable"
        state = undone.state
        if (undone.isChange) mark(undone.event.act)
        else others &= ~(1n << BigInt(undone.event.act))
        unlift(undone.event.match!)
        unlift(undone.event)
      } while (!undone.isChange)
      event = undone.event.next
    }
  }
  return "linearizable"
}

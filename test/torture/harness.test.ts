/** The harness itself: its search, its choices, its command line, and the guards that it can take out. */
import { describe, expect, test } from "bun:test"
import { resolve } from "node:path"
import { chanceFrom } from "./chance.ts"
import { GUARDS, timesFound } from "./guards.ts"
import { linearizable, type Timed } from "./linear.ts"
import { readOptions } from "./options.ts"

const TREE = resolve(import.meta.dir, "..", "..")

describe("the search", () => {
  const counter = { initial: 1, name: String }
  const take = (call_ms: number, return_ms: number): Timed<number> => ({ call_ms, return_ms, step: (left) => left >= 1 ? left - 1 : undefined })
  const give = (call_ms: number, return_ms: number): Timed<number> => ({ call_ms, return_ms, step: (left) => left + 1 })
  const short = (call_ms: number, return_ms: number): Timed<number> => ({ call_ms, return_ms, step: (left) => left < 1 ? left : undefined })

  test("takes a history that a counter could have had, in whatever order its acts overlap", () => {
    expect(linearizable([], counter)).toBe("linearizable")
    expect(linearizable([take(0, 10), take(5, 20), give(8, 15)], counter)).toBe("linearizable")
    expect(linearizable([take(0, 1), short(2, 3), give(4, 5), take(6, 7)], counter)).toBe("linearizable")
  })

  test("refuses one more take than there is, a refusal while there is enough, and a take before what made room for it", () => {
    expect(linearizable([take(0, 1), take(2, 3)], counter)).toBe("not_linearizable")
    expect(linearizable([short(0, 1), take(2, 3)], counter)).toBe("not_linearizable")
    expect(linearizable([take(0, 1), take(2, 3), give(4, 5)], counter)).toBe("not_linearizable")
  })

  test("lets an act whose end nobody heard happen at any later time", () => {
    expect(linearizable([take(0, Infinity), short(5, 6)], counter)).toBe("linearizable")
    expect(linearizable([take(0, Infinity), take(5, 6), give(7, 8)], counter)).toBe("linearizable")
    expect(linearizable([take(0, Infinity), take(5, 6)], counter)).toBe("not_linearizable")
  })

  test("finds one wrong answer among a thousand, and judges as quickly", () => {
    const chance = chanceFrom(7)
    const acts: Timed<number>[] = []
    for (let i = 0, left = 1; i < 1_000; i++) {
      const from = i * 2 + chance(), to = i * 2 + 1 + chance.below(6)
      const isTake = left > 0 && chance.happens(0.5)
      acts.push(isTake ? take(from, to) : give(from, to))
      left += isTake ? -1 : 1
    }
    expect(linearizable(acts, counter)).toBe("linearizable")
    expect(linearizable([...acts, short(2_100, 2_101), take(2_102, 2_103)], counter)).toBe("not_linearizable")
  })
})

test("the same seed chooses the same, and an actor's choices are his own", () => {
  const drawn = (seed: number) => { const chance = chanceFrom(seed).fork("one"); return [chance(), chance.below(100), chance.pick(["a", "b", "c"])] }
  expect(drawn(5)).toEqual(drawn(5))
  expect(drawn(5)).not.toEqual(drawn(6))
  const parent = chanceFrom(5), before = parent.fork("one")()
  parent()
  expect(parent.fork("one")()).toBe(before)
})

test("every guard that can be taken out is found once in the source", () => {
  expect(GUARDS.map((guard) => `${guard.name} ${timesFound(TREE, guard)}`)).toEqual(GUARDS.map(({ name }) => `${name} 1`))
})

test("the command line: every mistake is named", () => {
  expect(readOptions(["--seed", "7", "--minutes=0.5", "--only", "kill_redis,freeze"], 1)).toMatchObject({ options: { seed: 7, minutes: 0.5, only: ["kill_redis", "freeze"], guards: [] } })
  expect(readOptions([], 9)).toMatchObject({ options: { seed: 9, minutes: 5 } })
  expect(readOptions(["--break", "all"], 9)).toMatchObject({ options: { guards: GUARDS.map(({ name }) => name) } })
  const { mistakes } = readOptions(["--seed", "x", "--only", "nobody", "--what", "--break"], 1) as { mistakes: string[] }
  expect(mistakes.length).toBe(4)
})

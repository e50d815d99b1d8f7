/** Lines of bulk calls give way to acts that wait, and to nobody else. */
import { expect, test } from "bun:test"
import { LINES_MAX, LINES_MIN, makeGiveWay } from "../../engine/http/give_way.ts"

const SHORT_MS = 5, BETWEEN_MS = 20, LONG_MS = 60

/** Lines of so many at a time, each as long; answers how many there are after so many of them. */
const playing = (acts: () => number) => {
  const giveWay = makeGiveWay(acts)
  let now_ms = 0
  return (took_ms: number, turns: number): number => {
    for (let turn = 0; turn < turns; turn += 1) {
      const began_ms = now_ms, lines = giveWay.lines()
      now_ms += took_ms
      for (let line = 0; line < lines; line += 1) giveWay.note(began_ms, now_ms)
    }
    return giveWay.lines()
  }
}

test("lines that are short become as many as there may be, at most one more with each turn", () => {
  const play = playing(() => 10)
  const counts = Array.from({ length: 100 }, () => play(SHORT_MS, 1))
  expect(counts.every((lines, turn) => turn === 0 || lines - counts[turn - 1]! <= 1)).toBe(true)
  expect(counts.at(-1)).toBe(LINES_MAX)
})

test("lines that are long are halved once a turn while acts are under way, down to the fewest, and come back", () => {
  const play = playing(() => 10)
  play(SHORT_MS, 100)
  expect([play(LONG_MS, 1), play(LONG_MS, 1)]).toEqual([LINES_MAX / 2, LINES_MAX / 4])
  expect(play(LONG_MS, 10)).toBe(LINES_MIN)
  expect(play(BETWEEN_MS, 10)).toBe(LINES_MIN)
  expect(play(SHORT_MS, 100)).toBe(LINES_MAX)
})

test("lines that were sent before it was halved do not halve it again", () => {
  const giveWay = makeGiveWay(() => 10)
  const lines = giveWay.lines()
  for (let line = 0; line < lines; line += 1) giveWay.note(line, LONG_MS + line)
  expect(giveWay.lines()).toBe(Math.floor(lines / 2))
})

test("where no act is under way, a slow machine takes as many as a fast one", () => {
  expect(playing(() => 0)(LONG_MS, 100)).toBe(LINES_MAX)
})

/** How many lines of bulk calls may be under way while others wait. */
import { expect, test } from "bun:test"
import { GIVE_WAY_MS, LINES_LEAST, makeGivingWay } from "../../engine/http/give_way.ts"

test("lines give way while acts wait, never below the least, and come back when they do not", () => {
  let wait_ms = 0, now_ms = 0
  const most = makeGivingWay(64, () => wait_ms)
  const after = (ms: number): number => { for (const until_ms = now_ms + ms; now_ms < until_ms; now_ms += 1) most(now_ms); return most(now_ms) }
  expect(after(100)).toBe(64)
  wait_ms = GIVE_WAY_MS
  expect(after(1_000)).toBe(64)
  wait_ms = GIVE_WAY_MS + 1
  expect(after(50)).toBeLessThan(30)
  expect(after(1_000)).toBe(LINES_LEAST)
  wait_ms = 0
  expect(after(50)).toBeLessThan(24)
  expect(after(300)).toBe(64)
})

test("calls that have fewer lines than the least keep them", () => {
  const most = makeGivingWay(4, () => 1_000)
  expect([most(0), most(10), most(20)]).toEqual([4, 4, 4])
})

// A closed month's controls as the ground of the next one's.

import { expect, test } from "bun:test"
import { type ClosedMonth, type Control, lastSeen, onClosed } from "../../analytics/books/closed.ts"

const control = (budget_id: string, more: Partial<Control>): Control =>
  ({ budget_id, opening_minor: 0, added_minor: 0, transferred_minor: 0, held_minor: 0, spent_minor: 0, released_minor: 0, closing_minor: 0, ...more })
const month = (period: string, controls: readonly Control[], more: Partial<ClosedMonth> = {}): ClosedMonth => ({ period, outputs: [], controls, seen: `${period} first`, adjusted: [], ...more })
const holds = ({ opening_minor, added_minor, transferred_minor, held_minor, spent_minor, released_minor, closing_minor }: Control) =>
  opening_minor + added_minor + transferred_minor - held_minor - spent_minor + released_minor === closing_minor

test("an entry of the ledger that came after the close is a flow of the next month, whose opening is what was closed with", async () => {
  const may = month("2026-05", [control("a", { added_minor: 100, closing_minor: 100 })])
  const june = month("2026-06", [control("a", { opening_minor: 100, spent_minor: 30, closing_minor: 70 })])
  // Since then the ledger says: 10 more were spent in June, and a budget `b` had 5 in May.
  const now: Record<string, Control[]> = {
    "2026-06": [control("a", { opening_minor: 100, spent_minor: 40, closing_minor: 60 }), control("b", { opening_minor: 5, closing_minor: 5 })],
    "2026-05": [control("a", { added_minor: 100, closing_minor: 100 }), control("b", { added_minor: 5, closing_minor: 5 })],
  }
  const own = [control("a", { opening_minor: 60, spent_minor: 1, closing_minor: 59 }), control("b", { opening_minor: 5, closing_minor: 5 })]
  const controls = await onClosed(own, [june, may], async (period) => now[period]!)
  expect(controls).toEqual([control("a", { opening_minor: 70, spent_minor: 11, closing_minor: 59 }), control("b", { added_minor: 5, closing_minor: 5 })])
  expect(controls.every(holds)).toBe(true)
})

test("where every opening is what was closed with, nothing is asked", async () => {
  const own = [control("a", { opening_minor: 70, closing_minor: 70 })]
  const asked = async (): Promise<never> => { throw new Error("nobody should ask") }
  expect(await onClosed(own, [month("2026-06", [control("a", { added_minor: 70, closing_minor: 70 })])], asked)).toBe(own)
  expect(await onClosed(own, [], asked)).toBe(own)
})

test("a closed month was seen last by itself, or by the closed month since that adjusted it", () => {
  const months = [month("2026-07", []), month("2026-06", [], { adjusted: [{ period: "2026-05", seen: "2026-05 again" }] }), month("2026-05", [])]
  expect(["2026-07", "2026-06", "2026-05", "2026-04"].map((period) => lastSeen(months, period))).toEqual(["2026-07 first", "2026-06 first", "2026-05 again", undefined])
})

// The worked examples, in process: each row priced by the same function that a checkout prices with.

import { expect, test } from "bun:test"
import { draftCoupon } from "../../engine/pricing/drafts.ts"
import { price } from "../../engine/pricing/price.ts"
import { differences, ELSEWHERE, EXAMPLES } from "./examples.ts"
import { NOON } from "./shop.ts"

for (const example of EXAMPLES) {
  const { id, source, says, profile, order, drafts, wish, funds } = example
  test(`worked example ${id} (${source}): ${says}`, () => {
    const answered = price(order, drafts.map(draftCoupon), wish ?? "named", { now_ms: NOON, profile, funds: funds && new Map(Object.entries(funds)) })
    expect(differences(example, answered)).toEqual([])
  })
}

test("worked examples: a row that expects nothing would hold always, and every refusal to run one has its reason", () => {
  expect(EXAMPLES.filter(({ expect: expected }) => Object.keys(expected).length === 0)).toEqual([])
  expect(ELSEWHERE.filter(({ because }) => because.length < 10)).toEqual([])
})

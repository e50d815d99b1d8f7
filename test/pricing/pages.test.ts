// The pages of pricing are those that docs/write.ts makes, and every number on them comes out of pricing.

import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { KIND_WORDS } from "../../docs/kinds.ts"
import { pages, termsOf, verdictOf, type Schema } from "../../docs/write.ts"
import { termsFaults } from "../../engine/pricing/compile.ts"
import { draftCoupon } from "../../engine/pricing/drafts.ts"
import { KINDS } from "../../engine/pricing/kinds/index.ts"
import { quote } from "../../build/package.ts"
import { price } from "../../engine/pricing/price.ts"
import { EXAMPLES } from "./examples.ts"
import { byLine, NOON } from "./shop.ts"

const HOUSE = join(import.meta.dir, "..", "..")

test("the pages are current: npm run docs:pricing writes them", () => {
  for (const [path, text] of pages()) expect([path, readFileSync(join(HOUSE, path), "utf8")]).toEqual([path, text])
})

test("every kind has a page, and each of its terms a meaning there and nothing else has", () => {
  expect(Object.keys(KIND_WORDS).sort()).toEqual(KINDS.map(({ name }) => name).sort())
  for (const { name, terms } of KINDS)
    expect([name, Object.keys(KIND_WORDS[name]!.terms).sort()]).toEqual([name, termsOf(terms as unknown as Schema).map(({ path }) => path).sort()])
})

for (const [name, { example }] of Object.entries(KIND_WORDS)) {
  test(`the example of ${name} comes out as its page says`, () => {
    expect(termsFaults(example.campaign)).toEqual([])
    const answered = price(example.order, [draftCoupon({ campaign_id: "a", ...example.campaign })], "named", { now_ms: NOON })
    expect(byLine(example.order, answered)).toEqual([...example.lines])
    expect([answered.discount_minor, answered.benefit_minor, answered.total_minor]).toEqual([example.discount_minor, example.benefit_minor ?? 0, example.total_minor])
  })
}

test("the worked examples all hold", () => {
  expect(EXAMPLES.filter((example) => verdictOf(example) !== "holds").map(({ id }) => id)).toEqual([])
})

test("the package's example prices as its page says", () => {
  const order = { currency: "CNY", lines: [{ line_id: "1", sku: "kettle", unit_price_minor: 25000, quantity: 1 }] }
  expect(quote({ order, campaigns: [{ campaign_id: "welcome", kind: "amount_off", terms: { amount_minor: 3000 }, threshold_minor: 20000 }] }).total_minor).toBe(22000)
})

test("links on the pages lead somewhere", () => {
  const broken = [...pages()].flatMap(([path, text]) => [...text.matchAll(/\]\((\.[^)#]+)\)/g)].map(([, to]) => [path, to!]).filter(([, to]) => !existsSync(join(HOUSE, dirname(path), to!))))
  expect(broken).toEqual([])
})

// The page of the acts is the one that the declarations make.

import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { docs } from "../../lua/docs.ts"
import { SCRIPTS } from "../../lua/index.ts"

test("lua/README.md is current: npm run docs:lua writes it", () => {
  expect(readFileSync(new URL("../../lua/README.md", import.meta.url), "utf8")).toBe(docs())
})

test("every act, key, argument, outcome and field is on the page", () => {
  for (const { name, keys, args, outcomes } of SCRIPTS) {
    const page = docs().split(`\n## ${name}\n`)[1]?.split("\n## ")[0] ?? ""
    const words = [...keys, ...Object.keys(args), ...Object.entries(outcomes).flatMap(([word, fields]) => [word, ...Object.keys(fields)])]
    expect([name, words.filter((word) => !page.includes(`\`${word}\``))]).toEqual([name, []])
  }
})

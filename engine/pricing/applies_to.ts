// Which lines a campaign speaks of, made into one test per campaign version.
//
// What must stay true: inside one list any name does, between lists all must hold, and any `not_` wins. A line that
// lacks a field (no category, say) is in no list of that field, and so in no `not_` list either.

import type { AppliesTo, LineTest, OrderLine } from "./types.ts"

const FIELDS = [
  ["skus", "not_skus", (line: OrderLine) => line.sku],
  ["categories", "not_categories", (line: OrderLine) => line.category],
  ["merchants", "not_merchants", (line: OrderLine) => line.merchant_id],
  ["brands", "not_brands", (line: OrderLine) => line.brand],
] as const

/** The test of `applies_to`; undefined where every line is meant. */
export function lineTest(appliesTo: AppliesTo | undefined): LineTest | undefined {
  if (!appliesTo) return undefined
  const tests: LineTest[] = []
  for (const [yes, no, read] of FIELDS) {
    const wanted = setOf(appliesTo[yes])
    const unwanted = setOf(appliesTo[no])
    if (wanted) tests.push((line) => has(wanted, read(line)))
    if (unwanted) tests.push((line) => !has(unwanted, read(line)))
  }
  if (tests.length === 0) return undefined
  if (tests.length === 1) return tests[0]
  return (line) => tests.every((test) => test(line))
}

/** A list as a set; a missing list stays missing. */
export const setOf = <Name>(names: readonly Name[] | undefined): ReadonlySet<Name> | undefined =>
  names && new Set(names)

const has = (names: ReadonlySet<string>, name: string | undefined): boolean => name !== undefined && names.has(name)

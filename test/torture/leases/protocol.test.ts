// Every state of the lease protocol for two cells and one bank, as it is and without one of its steps at a time.

import { describe, expect, test } from "bun:test"
import { type Bounds, searchAll, type Step, STEPS } from "./protocol.ts"

const SEARCH_MS_MAX = 60_000
const calm: Bounds = { total: 1, counter_max: 2, restarts: 0, banks_lost: 0, cells_lost: 0, reopened: 0, rolled_back: 0 }
const WORLDS: Readonly<Record<string, Partial<Bounds>>> = {
  "messages alone are lost, repeated and reordered": { total: 3, counter_max: 4 },
  "the bank is restarted, and a cell too": { restarts: 1, reopened: 1 },
  "the bank is written anew": { total: 2, counter_max: 3, banks_lost: 1 },
  "the bank is written anew, twice": { banks_lost: 2 },
  "a cell is written anew, and the bank is restarted": { restarts: 1, cells_lost: 1 },
  "a cell is written anew, twice": { total: 2, counter_max: 3, cells_lost: 2 },
  "the bank and a cell come back with anything older": { rolled_back: 1 },
}

describe("nothing is used twice, and nothing is stranded, when", () => {
  for (const [name, bounds] of Object.entries(WORLDS)) {
    test(name, () => {
      const { states, violation } = searchAll({ ...calm, ...bounds })
      console.log(`leases: ${name}: ${states} states`)
      expect(violation).toBeUndefined()
      expect(states).toBeGreaterThan(100)
    }, SEARCH_MS_MAX)
  }
})

/** The world in which each step is needed. */
const NEEDED: Readonly<Record<Step, Partial<Bounds>>> = {
  giver_first: {}, absolute_grants: {}, absolute_returns: {}, all_told_first: { banks_lost: 1 }, refuse_older_grants: { banks_lost: 1 },
  refuse_other_returns: { rolled_back: 1 }, refuse_other_tellings: { banks_lost: 2 }, refuse_before_telling: { banks_lost: 1 },
  rebuilt_returns_all: { cells_lost: 1 }, opened_returns_all: { rolled_back: 1 }, granted_what_it_uses: { rolled_back: 1 },
}

describe("the search finds how it goes wrong without", () => {
  for (const step of STEPS) test(step, () => expect(searchAll({ ...calm, ...NEEDED[step] }, step).violation?.wrong).toBeString(), SEARCH_MS_MAX)
})

test("beyond it: the bank is written anew, and then a cell whose return is on its way all that time", () => {
  const { violation } = searchAll({ ...calm, banks_lost: 1, cells_lost: 1 })
  expect(violation?.steps.at(-1)).toMatch(/^return/)
}, SEARCH_MS_MAX)

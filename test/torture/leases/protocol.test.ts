// Every state of the lease protocol for two cells and one bank, as it is and without one of its steps at a time.

import { describe, expect, test } from "bun:test"
import { type Bounds, CALM, searchAll, searchWithout, STEPS } from "./protocol.ts"

const SEARCH_MS_MAX = 60_000
const WORLDS: Readonly<Record<string, Partial<Bounds>>> = {
  "messages alone are lost, repeated and reordered": { total: 3, counter_max: 4 },
  "the bank is restarted, and a cell too": { restarts: 1, reopened: 1 },
  "the bank is written anew": { total: 2, counter_max: 3, banks_lost: 1 },
  "the bank is written anew, twice": { banks_lost: 2 },
  "a cell is written anew, and the bank is restarted": { restarts: 1, cells_lost: 1 },
  "a cell is written anew, twice": { total: 2, counter_max: 3, cells_lost: 2 },
  "the bank and a cell come back with anything older": { rolled_back: 1 },
  "the bank and a cell are written anew, one after the other": { banks_lost: 1, cells_lost: 1 },
  "the bank is written anew, and a cell twice": { banks_lost: 1, cells_lost: 2 },
  "the bank is written anew twice, and a cell": { banks_lost: 2, cells_lost: 1 },
  "the bank and a cell come back with anything older, and a cell is written anew": { rolled_back: 1, cells_lost: 1 },
  "the bank and a cell come back with anything older, and the bank is written anew": { rolled_back: 1, banks_lost: 1 },
}

describe("nothing is used twice, and nothing is stranded, when", () => {
  for (const [name, bounds] of Object.entries(WORLDS)) {
    test(name, () => {
      const { states, violation } = searchAll({ ...CALM, ...bounds })
      console.log(`leases: ${name}: ${states} states`)
      expect(violation).toBeUndefined()
      expect(states).toBeGreaterThan(100)
    }, SEARCH_MS_MAX)
  }
})

describe("the search finds how it goes wrong without", () => {
  for (const step of STEPS) test(step, () => expect(searchWithout(step).violation?.wrong).toBeString(), SEARCH_MS_MAX)
})

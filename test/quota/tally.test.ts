/** Counts of leases, told from one process to another. */
import { expect, test } from "bun:test"
import { addTally, newLeaseTally, takeTally } from "../../engine/quota/tally.ts"

test("what is taken is forgotten where it was counted and added where it is told", () => {
  const there = newLeaseTally(), here = newLeaseTally()
  Object.assign(there, { recalls: 2, returns_idle: 3 })
  there.waits.granted = 1
  here.recalls = 5
  addTally(here, takeTally(there))
  expect(there).toEqual(newLeaseTally())
  there.recalls = 1
  addTally(here, takeTally(there))
  expect(here).toEqual({ ...newLeaseTally(), recalls: 8, returns_idle: 3, waits: { granted: 1, exhausted: 0, busy: 0 } })
})

import { script } from "./declare.ts"

/** A grant is at most one part of so many for each cell, so that early cells do not take everything. */
export const SHARES_PER_CELL = 2
/** A grant lasts so long at the pace at which the cell has used its last one: an early refill at its half still has seconds. */
export const LENT_FOR_MS = 5_000
/** A grant is at most so many times the one before, and at least this many acts of the size that is asked for, while there is plenty. */
export const GROWTH_MAX = 4
export const ACTS_MIN = 16

export const grant = script("grant", {
  says: "Lend a cell more of a quota from its bank. The reply is absolute, so a repeat or a loss changes nothing.",
  nature: "take",
  keys: ["quota"],
  args: { now_ms: "int", name: "text", cell: "int", cells: "int", want: "int", least: "int", is_early: "int" },
  outcomes: {
    gate_closed: {},
    bank_unknown: {},
    bank_asking: {},
    not_enough: { free: "int", is_cutting: "int" },
    granted: { granted_total: "int", epoch: "int", opens_ms: "int", closes_ms: "int", lent: "int" },
  },
})

import { script } from "./declare.ts"

export const take_leases = script("take_leases", {
  says: "Tell a shut cell, before it opens, what every bank says of its leases.",
  nature: "give",
  keys: ["quota"],
  args: { leases: "json", homes: "json" },
  outcomes: { open: {}, taken: {} },
})

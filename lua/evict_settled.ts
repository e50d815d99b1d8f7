import { script } from "./declare.ts"

export const evict_settled = script("evict_settled", {
  says: "Let the settled redemptions of one hour leave Redis, all at once.",
  nature: "give",
  keys: ["quota", "journal", "settled"],
  args: { now_ms: "int", hour: "int", flushed_ms: "int", age_ms: "int" },
  outcomes: { gate_closed: {}, not_due: {}, evicted: {} },
})

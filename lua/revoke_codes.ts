import { script } from "./declare.ts"

export const revoke_codes = script("revoke_codes", {
  says: "Take a whole batch of codes out of use in a cell. What was claimed stays.",
  nature: "give",
  keys: ["quota", "journal"],
  args: { now_ms: "int", batch: "text", campaign: "int", limit: "int", line: "text", payload: "text" },
  outcomes: { gate_closed: {}, replayed: {}, revoked: {} },
})

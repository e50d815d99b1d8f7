import { script } from "./declare.ts"

export const revoke_code = script("revoke_code", {
  says: "Take one free code out of use.",
  nature: "give",
  keys: ["quota", "journal", "tickets"],
  args: { now_ms: "int", campaign: "int", code: "text", bucket: "int", payload: "text" },
  outcomes: { gate_closed: {}, code_unknown: {}, replayed: {}, code_spent: {}, revoked: {} },
})

import { script } from "./declare.ts"

export const settle_claim = script("settle_claim", {
  says: "End a claim as the user's cell has decided it: the code is spent, or free again.",
  nature: "give",
  keys: ["quota", "journal", "due", "tickets", "claims", "pending"],
  args: { now_ms: "int", code: "text", bucket: "int", claim: "text", claim_bucket: "int", nonce: "text", is_granted: "int", payload: "text" },
  outcomes: { gate_closed: {}, replayed: {}, settled: {} },
})

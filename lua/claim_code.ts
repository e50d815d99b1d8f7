import { script } from "./declare.ts"

export const claim_code = script("claim_code", {
  says: "Take a code for one user, before his cell is asked for the coupon. Whatever is wrong with a code, the answer and the work are the same.",
  nature: "take",
  keys: ["quota", "journal", "due", "tickets", "claims", "pending", "misses"],
  args: {
    now_ms: "int", code: "text", bucket: "int", claim: "text", claim_bucket: "int", nonce: "text", user: "text", lines: "json",
    missed_as: "text", missed_by: "json", misses_max: "json", forget_ms: "int", due_ms: "int", grant: "text", payload: "text",
  },
  outcomes: {
    gate_closed: {},
    replayed: { campaign: "int" },
    pending: { held: "text" },
    code_misses_exceeded: { which: "int" },
    journal_full: {},
    code_invalid: {},
    claimed: { campaign: "int" },
  },
})

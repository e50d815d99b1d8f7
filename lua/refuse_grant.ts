import { script } from "./declare.ts"

export const refuse_grant = script("refuse_grant", {
  says: "Say in the user's cell that a claim brings no coupon any more, unless it has; only then may its code be free again.",
  nature: "give",
  keys: ["quota", "journal", "due", "wallet"],
  args: { now_ms: "int", user: "text", field: "text", fingerprint: "text", nonce: "text", is_new: "int", remember_ms: "int", payload: "text" },
  outcomes: { gate_closed: {}, granted: {}, aged: {}, refused: {} },
})

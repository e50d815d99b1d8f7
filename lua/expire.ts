import { script } from "./declare.ts"

export const expire = script("expire", {
  says: "End a hold that ran out: exactly what it took comes back.",
  nature: "give",
  keys: ["quota", "journal", "open", "due", "wallet", "settled"],
  args: { now_ms: "int", user: "text", redemption: "text", hour: "text" },
  outcomes: {
    gate_closed: {},
    not_open: {},
    not_due: { expires_at_ms: "int" },
    expired: {},
  },
})

import { script } from "./declare.ts"

export const cancel = script("cancel", {
  says: "Give back an open hold: its coupons and its money are free again.",
  nature: "give",
  keys: ["quota", "journal", "open", "due", "wallet", "settled"],
  args: { now_ms: "int", user: "text", redemption: "text", hour: "text" },
  outcomes: {
    gate_closed: {},
    not_open: {},
    redemption_expired: { expired_at_ms: "int" },
    cancelled: { cancelled_at_ms: "int", body: "text" },
  },
})

import { script } from "./declare.ts"

export const confirm = script("confirm", {
  says: "Turn what an open redemption holds into spent money and redeemed coupons.",
  nature: "give",
  keys: ["quota", "journal", "open", "due", "wallet", "settled"],
  args: { now_ms: "int", user: "text", redemption: "text", late: "int", hour: "text" },
  outcomes: {
    gate_closed: {},
    not_open: {},
    redemption_expired: { expired_at_ms: "int" },
    confirmed: { confirmed_at_ms: "int", body: "text" },
  },
})

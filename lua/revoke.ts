import { script } from "./declare.ts"

export const revoke = script("revoke", {
  says: "Take an unused coupon away: its stock and the money held for it come back, the user's count does not.",
  nature: "give",
  keys: ["quota", "journal", "wallet"],
  args: { now_ms: "int", user: "text", field: "text", campaign: "int", payload: "text" },
  outcomes: {
    gate_closed: {},
    coupon_unknown: {},
    replayed: {},
    coupon_reserved: {},
    coupon_redeemed: {},
    coupon_ended: { ended_at_ms: "int" },
    revoked: {},
  },
})

import { script } from "./declare.ts"

export const reserve = script("reserve", {
  says: "Hold coupons and their money for an order, all or nothing; an older hold of the same order gives way in the same call.",
  nature: "take",
  keys: ["quota", "journal", "open", "due", "wallet", "settled"],
  args: {
    now_ms: "int", user: "text", order: "text", redemption: "text", fingerprint: "text", hold_ms: "int", remember_ms: "int", hour: "text",
    coupons: "rows", is_new: "int", signed_ms: "int", body: "text", payload: "text",
  },
  outcomes: {
    gate_closed: {},
    repeated: {},
    journal_full: {},
    redemption_confirmed: {},
    coupon_unknown: { field: "text" },
    coupon_reserved: { field: "text" },
    coupon_redeemed: { field: "text" },
    coupon_revoked: { field: "text" },
    coupon_ended: { field: "text", ended_at_ms: "int" },
    campaign_stopped: { field: "text" },
    campaign_paused: { field: "text" },
    campaign_changed: { field: "text", version_now: "int" },
    budget_not_open: { field: "text", budget: "int" },
    budget_exhausted: { field: "text", budget: "int", missing_minor: "int", left_minor: "int" },
    reserved: { reserved_at_ms: "int", expires_at_ms: "int" },
  },
})

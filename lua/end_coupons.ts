import { script } from "./declare.ts"

/** How many coupons of one wallet a call ends or evicts at most, so that no call is long. */
export const SWEPT_FIELDS_MAX = 64

export const end_coupons = script("end_coupons", {
  says: "End unused coupons of one user whose time has passed and give back the money held for them at issue.",
  nature: "give",
  keys: ["quota", "journal", "wallet"],
  args: { now_ms: "int", user: "text", fields: "json" },
  outcomes: {
    gate_closed: {},
    ended: { count: "int" },
  },
})

import { script } from "./declare.ts"

export const confirm_late = script("confirm_late", {
  says: "Confirm an expired redemption whose payment was taken, at its price, if its coupons are free and its budgets have the money.",
  nature: "take",
  keys: ["quota", "journal", "wallet", "from", "settled"],
  args: { now_ms: "int", user: "text", redemption: "text", hour: "text", aged: "json" },
  outcomes: {
    gate_closed: {},
    moved: {},
    journal_full: {},
    order_taken: {},
    coupon_aged: {},
    coupon_taken: { field: "text" },
    budget_exhausted: { field: "text", budget: "int", missing_minor: "int", left_minor: "int" },
    confirmed: { confirmed_at_ms: "int", body: "text" },
  },
})

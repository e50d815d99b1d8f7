import { script } from "./declare.ts"

export const refund = script("refund", {
  says: "Give back part or all of a confirmed redemption to the budgets that paid for it.",
  nature: "give",
  keys: ["quota", "journal", "wallet", "from", "settled"],
  args: {
    now_ms: "int", user: "text", redemption: "text", hour: "text", revision: "int", refund_id: "text", fingerprint: "text",
    full: "int", backs: "json", aged: "json", body: "text", answer: "text", payload: "text",
  },
  outcomes: {
    gate_closed: {},
    moved: {},
    request_conflict: {},
    replayed: { answer_then: "text" },
    wrong_state: { state: "int" },
    coupon_aged: {},
    refunded: {},
  },
})

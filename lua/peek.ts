import { script } from "./declare.ts"

export const peek = script("peek", {
  says: "Read coupons of a wallet, whether a redemption of it is known, and the last redemption of an order.",
  nature: "read",
  keys: ["quota", "wallet"],
  args: { now_ms: "int", redemption: "text", order: "text", fields: "json" },
  outcomes: {
    gate_closed: {},
    peeked: { is_known: "int", current: "text", at_ms: "int", coupons: "bytes" },
  },
})

import { script } from "./declare.ts"

export const peek = script("peek", {
  says: "Read coupons of a wallet, and whether a redemption of it is known.",
  nature: "read",
  keys: ["quota", "wallet"],
  args: { now_ms: "int", redemption: "text", fields: "json" },
  outcomes: {
    gate_closed: {},
    peeked: { is_known: "int", at_ms: "int", coupons: "bytes" },
  },
})

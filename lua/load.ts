import { script } from "./declare.ts"

export const load = script("load", {
  says: "Bring an aged redemption and its coupons back from Postgres, only where there is none.",
  nature: "give",
  keys: ["quota", "due", "wallet", "settled"],
  args: {
    now_ms: "int", user: "text", redemption: "text", hour: "text", mark_then: "text", cursor_epoch: "int", cursor_n: "int",
    head: "json", body: "text", coupons: "json", age_ms: "int",
  },
  outcomes: { gate_closed: {}, behind: {}, there: {}, loaded: {} },
})

import { script } from "./declare.ts"

export const evict = script("evict", {
  says: "Let aged coupons and forgotten marks of one wallet leave Redis; what must outlive them stays as a mark.",
  nature: "give",
  keys: ["quota", "journal", "due", "wallet"],
  args: {
    now_ms: "int", user: "text", coupons: "json", marks: "json", flushed_ms: "int", age_ms: "int", remember_ms: "int", next_ms: "int", fields_then: "int",
  },
  outcomes: { gate_closed: {}, evicted: { count: "int" } },
})

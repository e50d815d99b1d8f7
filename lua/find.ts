import { script } from "./declare.ts"

export const find = script("find", {
  says: "Find a redemption's record: open, settled in an hour, aged, or unknown here.",
  nature: "read",
  tells: true,
  keys: ["quota", "open", "wallet", "settled"],
  args: { now_ms: "int", redemption: "text", hour: "text" },
  outcomes: {
    gate_closed: {},
    redemption_unknown: {},
    look_in: { hour_then: "text" },
    aged: { mark: "text" },
    found: { kept: "bytes", at_ms: "int" },
  },
})

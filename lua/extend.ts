import { script } from "./declare.ts"

export const extend = script("extend", {
  says: "Move the end of a hold forward, within the longest hold there is.",
  nature: "take",
  keys: ["quota", "journal", "open", "due"],
  args: { now_ms: "int", user: "text", redemption: "text", expires_ms: "int", longest_ms: "int" },
  outcomes: {
    gate_closed: {},
    not_open: {},
    redemption_expired: {},
    replayed: { kept: "bytes" },
    expires_too_early: { expires_at_ms: "int" },
    expires_too_late: { latest_ms: "int" },
    journal_full: {},
    extended: { kept: "bytes" },
  },
})

import { script } from "./declare.ts"

export const set_aside = script("set_aside", {
  says: "Set aside what a budget's bank has free for a cut, which keeps it until it is whole or put back.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", budget: "int", addition: "text", fingerprint: "text", amount_minor: "int", cells: "int", payload: "text" },
  outcomes: {
    gate_closed: {},
    bank_unknown: {},
    request_conflict: {},
    replayed: { limit_minor: "int" },
    bank_asking: {},
    cut_pending: {},
    set_aside: { missing_minor: "int" },
  },
})

import { script } from "./declare.ts"

export const grant = script("grant", {
  says: "Lend a cell more of a quota from its bank. The reply is absolute, so a repeat or a loss changes nothing.",
  nature: "take",
  keys: ["quota"],
  args: { now_ms: "int", name: "text", cell: "int", want: "int", shares: "int" },
  outcomes: {
    gate_closed: {},
    bank_unknown: {},
    not_enough: { free: "int" },
    granted: { granted_total: "int" },
  },
})

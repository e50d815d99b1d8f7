import { script } from "./declare.ts"

export const fund = script("fund", {
  says: "Raise or cut a budget's limit, once per addition.",
  nature: "give",
  keys: ["quota", "journal"],
  args: {
    now_ms: "int", budget: "int", addition: "text", fingerprint: "text", amount_minor: "int", is_cut: "int",
    opens_ms: "int", closes_ms: "int", is_alone: "int", payload: "text",
  },
  outcomes: {
    gate_closed: {},
    request_conflict: {},
    replayed: { limit_minor: "int" },
    limit_too_large: {},
    budget_in_use: { free_minor: "int" },
    funded: { limit_minor: "int" },
  },
})

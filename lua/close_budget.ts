import { script } from "./declare.ts"

export const close_budget = script("close_budget", {
  says: "Close a month's budget: its limit becomes what is held and spent, and nothing new is held.",
  nature: "give",
  keys: ["quota", "journal"],
  args: { now_ms: "int", budget: "int", cells: "int", is_again: "int", payload: "text" },
  outcomes: {
    gate_closed: {},
    budget_unknown: {},
    bank_asking: {},
    cut_pending: {},
    closed: { limit_minor: "int", released_minor: "int" },
  },
})

import { script } from "./declare.ts"

export const shut_budget = script("shut_budget", {
  says: "Shut a month's budget in one cell of many, before its bank is closed: nothing new is held there.",
  nature: "give",
  keys: ["quota", "journal"],
  args: { now_ms: "int", budget: "int", opens_ms: "int", closes_ms: "int", payload: "text" },
  outcomes: { gate_closed: {}, replayed: {}, shut: {} },
})

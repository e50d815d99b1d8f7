import { script } from "./declare.ts"

export const put_back = script("put_back", {
  says: "Put back what was set aside for a cut that cannot be whole; its addition is as if it had never come.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", budget: "int", addition: "text" },
  outcomes: { gate_closed: {}, bank_unknown: {}, put_back: { free_minor: "int" } },
})

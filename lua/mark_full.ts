import { script } from "./declare.ts"

export const mark_full = script("mark_full", {
  says: "Refuse what spends while a cell's unflushed journal is over its limit, or allow it again.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", full: "int" },
  outcomes: { gate_closed: {}, marked: {} },
})

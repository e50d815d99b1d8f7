import { script } from "./declare.ts"

export const tick = script("tick", {
  says: "Journal that this cell has reached an instant, so that a period can be closed.",
  nature: "give",
  keys: ["quota", "journal"],
  args: { now_ms: "int" },
  outcomes: { gate_closed: {}, ticked: { at_ms: "int" } },
})

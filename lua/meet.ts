import { script } from "./declare.ts"

export const meet = script("meet", {
  says: "Tell a cell in which epochs others are open, so that it refuses what they sent before.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", cells: "json" },
  outcomes: { gate_closed: {}, met: {} },
})

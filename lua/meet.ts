import { script } from "./declare.ts"

export const meet = script("meet", {
  says: "Tell a cell in which epochs banks are open, so that it refuses what they sent before.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", homes: "json" },
  outcomes: { gate_closed: {}, met: {} },
})

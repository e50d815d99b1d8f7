import { script } from "./declare.ts"

export const take_grant = script("take_grant", {
  says: "Tell a cell what its bank has lent it in all.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", name: "text", granted_total: "int", opens_ms: "int", closes_ms: "int" },
  outcomes: { gate_closed: {}, campaign_unknown: {}, taken: {} },
})

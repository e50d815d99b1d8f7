import { script } from "./declare.ts"

export const take_grant = script("take_grant", {
  says: "Tell a cell what its bank has lent it in all.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", name: "text", home: "int", epoch: "int", granted_total: "int", opens_ms: "int", closes_ms: "int" },
  outcomes: { gate_closed: {}, older_epoch: { epoch_now: "int" }, campaign_unknown: {}, taken: { left: "int" } },
})

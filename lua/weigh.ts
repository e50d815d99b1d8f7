import { script } from "./declare.ts"

export const weigh = script("weigh", {
  says: "What a quota's bank has lent to whom.",
  nature: "read",
  keys: ["quota"],
  args: { now_ms: "int", name: "text" },
  outcomes: { gate_closed: {}, bank_unknown: {}, weighed: { bank: "bytes", free: "int", epoch: "int", opens_ms: "int", closes_ms: "int" } },
})

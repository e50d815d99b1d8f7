import { script } from "./declare.ts"

export const see_code = script("see_code", {
  says: "Look at a code as a user would who types it, without taking it: free, used up, or (after the same work) not one at all.",
  nature: "give",
  keys: ["quota", "tickets", "misses"],
  args: { now_ms: "int", code: "text", bucket: "int", lines: "json", missed_as: "text", missed_by: "json", misses_max: "json", forget_ms: "int" },
  outcomes: {
    gate_closed: {},
    code_misses_exceeded: { which: "int" },
    code_spent: { campaign: "int" },
    code_free: { campaign: "int" },
    code_invalid: {},
  },
})

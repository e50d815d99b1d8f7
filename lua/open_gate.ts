import { script } from "./declare.ts"

export const open_gate = script("open_gate", {
  says: "Open a cell in a new epoch, from exactly the tail that was compared with Postgres; or join the running one.",
  nature: "give",
  keys: ["quota", "journal"],
  args: { now_ms: "int", epoch: "int", tail: "text", is_joining: "int" },
  outcomes: { rebuilding: {}, joined: {}, tail_moved: { tail_now: "text" }, opened: {} },
})

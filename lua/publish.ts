import { script } from "./declare.ts"

export const publish = script("publish", {
  says: "Give a cell a campaign's newer version: live, paused or stopped. A cell takes only a higher one.",
  nature: "give",
  keys: ["quota", "journal"],
  args: {
    now_ms: "int", campaign: "int", version: "int", state: "int", starts_ms: "int", ends_ms: "int", per_user: "int",
    stock: "int", is_home: "int", is_alone: "int", payload: "text",
  },
  outcomes: {
    gate_closed: {},
    replayed: { version_now: "int" },
    published: {},
  },
})

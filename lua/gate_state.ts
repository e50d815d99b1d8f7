import { script } from "./declare.ts"

export const gate_state = script("gate_state", {
  says: "Whether this library holds a cell open, the cell's record, and the journal's tail.",
  nature: "read",
  keys: ["quota", "journal"],
  args: {},
  outcomes: { known: { epoch_open: "int", cell: "bytes", tail: "text" } },
})

import { script } from "./declare.ts"

export const give_back = script("give_back", {
  says: "Take from a cell what its lease does not use, to be told to the bank.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", name: "text", home: "int", keep: "int" },
  outcomes: {
    gate_closed: {},
    quota_unknown: {},
    given_back: { granted_total: "int", returned_total: "int", used: "int", epoch: "int", cell_epoch: "int" },
  },
})

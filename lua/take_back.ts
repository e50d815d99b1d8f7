import { script } from "./declare.ts"

export const take_back = script("take_back", {
  says: "Tell a bank what a cell has returned in all.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", name: "text", cell: "int", epoch: "int", cell_epoch: "int", returned_total: "int" },
  outcomes: { gate_closed: {}, bank_unknown: {}, older_epoch: { epoch_now: "int" }, taken: { free: "int" } },
})

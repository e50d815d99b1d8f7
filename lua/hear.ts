import { script } from "./declare.ts"

/** So many leases are told in one call. */
export const TOLD_MAX = 1_000

export const hear = script("hear", {
  says: "Tell the banks of a cell what another cell was granted and has returned, in the epochs in which both are open.",
  nature: "give",
  keys: ["quota"],
  args: { now_ms: "int", epoch: "int", cell: "int", cell_epoch: "int", leases: "json", is_all: "int" },
  outcomes: { gate_closed: {}, older_epoch: { epoch_now: "int" }, heard: {} },
})

import { script } from "./declare.ts"

export const drop_codes = script("drop_codes", {
  says: "Let the codes and claims of batches whose campaign is over leave Redis, some buckets at a time; with none, the batches themselves.",
  nature: "give",
  keys: ["quota", "tickets", "claims"],
  args: { now_ms: "int", batches: "json", buckets: "json", claim_buckets: "json", age_ms: "int" },
  outcomes: { gate_closed: {}, dropped: { dropped: "int", kept: "int" } },
})

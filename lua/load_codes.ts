import { script } from "./declare.ts"

export const load_codes = script("load_codes", {
  says: "Make codes of a batch known to their cell; of each it says \"n\" new, \"s\" this batch's already, \"t\" taken by another batch.",
  nature: "take",
  keys: ["quota", "journal", "tickets"],
  args: { now_ms: "int", batch: "text", campaign: "int", limit: "int", line: "text", codes: "json", payload: "text" },
  outcomes: {
    gate_closed: {},
    journal_full: {},
    campaign_ended: {},
    batch_revoked: {},
    loaded: { found: "text" },
  },
})

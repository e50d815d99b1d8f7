import { script } from "./declare.ts"

export const issue = script("issue", {
  says: "Give one user one coupon of a campaign, or say exactly why not.",
  nature: "take",
  keys: ["quota", "journal", "due", "wallet"],
  args: {
    now_ms: "int", user: "text", field: "text", campaign: "int", version: "int", fingerprint: "text",
    valid_ms: "int", holds: "json", is_unfunded: "int", held_out: "int", is_new: "int", age_ms: "int",
    claim: "text", payload: "text",
  },
  outcomes: {
    gate_closed: {},
    request_conflict: {},
    replayed: { ends_at_ms: "int" },
    aged: {},
    claim_refused: {},
    journal_full: {},
    campaign_unknown: {},
    campaign_not_live: { state: "int" },
    campaign_changed: { version_now: "int" },
    campaign_not_started: { starts_at_ms: "int" },
    campaign_ended: { ended_at_ms: "int" },
    user_limit_reached: { per_user: "int" },
    stock_exhausted: {},
    budget_not_open: { budget: "int" },
    budget_exhausted: { budget: "int", missing_minor: "int", left_minor: "int" },
    held_out: {},
    issued: { ends_at_ms: "int" },
  },
})

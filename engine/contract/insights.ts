/**
 * What the jobs over the warehouse come to: their runs, and the month's books.
 */
import { Type, type Static } from "typebox"
import { closed, Count, Id, InstantOut, instantMs, Month, MoneyChange, PAGE, PAGE_DEFAULT, PAGE_MAX } from "./basics.ts"
import type { RequestFault } from "./check.ts"
import { type AskOf, operation } from "./operation.ts"

/** The jobs: of which periods each is, and whether a named set may be asked for. */
export const JOB_ASKS = {
  extract: { period: "month or day", has_sets: false }, badges: { period: "month", has_sets: false }, badge_compensation: { period: "month", has_sets: false },
  reconciliation: { period: "month", has_sets: true }, risk: { period: "day", has_sets: false }, reports: { period: "month or day", has_sets: true },
} as const
const JOB_NAMES = Object.keys(JOB_ASKS) as (keyof typeof JOB_ASKS)[]

const PERIOD = "^[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?$"
/** A day is one that exists. */
const Period = Type.Refine(
  Type.String({ pattern: PERIOD, description: "a month as YYYY-MM, or a day as YYYY-MM-DD" }),
  (text) => text.length === "YYYY-MM".length || instantMs(`${text}T00:00:00Z`) !== undefined,
)
const SetName = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description: "a named set of a foreign feed; our own unless told" })

const RunPath = Type.Object({ run_id: Id }, closed)
const OutputOut = Type.Object({ name: Type.String(), uri: Type.String(), rows: Count, sha256: Type.String() }, closed)
const RunOut = Type.Object({
  run_id: Id, job: Type.String(), period: Type.String(), set: Type.Optional(Type.String()), dry_run: Type.Boolean(),
  revision: Type.Union([Type.Integer(), Type.Null()]),
  state: Type.Enum(["requested", "running", "ready", "held", "published", "superseded", "failed", "already_published"]),
  reason: Type.Optional(Type.String({ description: "why it is held or has failed, in one word" })),
  detail: Type.Optional(Type.String()),
  report: Type.Optional(Type.String({ description: "one sentence with the number that matters" })),
  same_as: Type.Optional(Type.String({ description: "the run that was there already" })),
  code_sha256: Type.Optional(Type.String()), rules_sha256: Type.Optional(Type.String()), inputs_sha256: Type.Optional(Type.String()),
  outputs: Type.Array(OutputOut),
  checks: Type.Array(Type.Object({ name: Type.String(), left: Type.String(), right: Type.String() }, closed)),
  answer: Type.Optional(Type.Unknown()),
  requested_at: InstantOut, started_at: Type.Optional(InstantOut), finished_at: Type.Optional(InstantOut), published_at: Type.Optional(InstantOut),
}, closed)
export type RunAnswer = Static<typeof RunOut>

const RunDiff = Type.Object({
  run_id: Id, against: Type.Union([Id, Type.Null()]),
  outputs: Type.Array(Type.Object({
    name: Type.String(), rows: Count, rows_against: Count,
    added: Type.Optional(Count), removed: Type.Optional(Count), changed: Type.Optional(Count), is_same: Type.Boolean(),
  }, closed)),
  answer: Type.Optional(Type.Unknown()), answer_against: Type.Optional(Type.Unknown()),
}, closed)

/** A job's periods are of its kind, and only books have sets. */
const runFault = ({ job, period, set }: { job: keyof typeof JOB_ASKS; period: string; set?: string }): RequestFault | undefined => {
  const { period: wanted, has_sets } = JOB_ASKS[job]
  const kind = period.length === "YYYY-MM".length ? "month" : "day"
  if (!wanted.includes(kind)) return { field: "period", detail: `period must be a ${wanted} for ${job}, as in ${kind === "day" ? "2026-10" : "2026-10-31"}.` }
  return set !== undefined && !has_sets ? { field: "set", detail: `set must not be given for ${job}: it has none.` } : undefined
}

export const createRun = operation({
  name: "create_run", method: "POST", path: "/v1/runs", family: "insights", scopes: ["operate"], every_line: true,
  says: "Ask for a run of a job. The jobs process carries it out; look at the run for how it went.",
  body: Type.Object({ job: Type.Enum([...JOB_NAMES]), period: Period, set: Type.Optional(SetName), dry_run: Type.Optional(Type.Boolean()), first: Type.Optional(Type.Boolean()) }, closed),
  rule: runFault,
  yes: { accepted: Type.Object({ run_id: Id }, closed) }, no: [],
})

export const getRun = operation({
  name: "get_run", method: "GET", path: "/v1/runs/{run_id}", family: "insights", scopes: ["operate", "read"], every_line: true,
  says: "A run: how far it is or how it ended, what it was computed from, and what it has written.",
  params: RunPath, yes: { found: RunOut }, no: ["run_unknown"],
})

export const listRuns = operation({
  name: "list_runs", method: "GET", path: "/v1/runs", family: "insights", scopes: ["operate", "read"], every_line: true,
  says: "Runs, the latest first.",
  query: Type.Object({ job: Type.Optional(Type.Enum([...JOB_NAMES])), period: Type.Optional(Period), set: Type.Optional(SetName), ...PAGE }, closed),
  yes: { found: Type.Object({ items: Type.Array(RunOut), next: Type.Union([Type.String(), Type.Null()]) }, closed) }, no: [],
})

export const publishRun = operation({
  name: "publish_run", method: "POST", path: "/v1/runs/{run_id}/publish", family: "insights", scopes: ["operate", "approve"], every_line: true,
  says: "Publish a run that is held for sign-off (needs `approve`), or one that was published before.",
  params: RunPath, body: Type.Object({}, closed), body_optional: true,
  yes: { changed: RunOut }, no: ["run_unknown", "run_not_publishable", "period_closed"],
})

export const rollbackRun = operation({
  name: "rollback_run", method: "POST", path: "/v1/runs/{run_id}/rollback", family: "insights", scopes: ["operate", "approve"], every_line: true,
  says: "Go back from a published run to the one that was published before it, which is answered.",
  params: RunPath, body: Type.Object({}, closed), body_optional: true,
  yes: { changed: RunOut }, no: ["run_unknown", "run_not_published", "run_without_earlier", "run_not_publishable", "period_closed"],
})

export const diffRun = operation({
  name: "diff_run", method: "GET", path: "/v1/runs/{run_id}/diff", family: "insights", scopes: ["operate", "read"], every_line: true,
  says: "What differs between two runs; against the one that was published when this one was finished unless told.",
  params: RunPath, query: Type.Object({ against: Type.Optional(Id) }, closed),
  yes: { found: RunDiff }, no: ["run_unknown"],
})

const ControlOut = Type.Object({
  budget_id: Id, opening_minor: MoneyChange, added_minor: MoneyChange, transferred_minor: MoneyChange, held_minor: MoneyChange,
  spent_minor: MoneyChange, released_minor: MoneyChange, closing_minor: MoneyChange,
}, closed)

export const CLASSES = [
  "timing", "reversed_but_order_kept", "duplicate_redemption", "orphan_order_discount", "budget_only", "missing_in_orders", "missing_in_budget", "amount_mismatch", "matched",
] as const

const ReconciliationOut = Type.Object({
  run_id: Id, revision: Type.Integer(),
  totals: Type.Object({ budget_minor: MoneyChange, redeemed_minor: MoneyChange, ordered_minor: MoneyChange, breaks: Count, break_minor: MoneyChange, carried_minor: MoneyChange }, closed),
  classes: Type.Array(Type.Object({ class: Type.Enum([...CLASSES]), keys: Count, break_minor: MoneyChange }, closed)),
  controls: Type.Array(ControlOut),
  allocation: Type.Optional(Type.Array(Type.Object({ dimension: Type.String(), key: Type.String(), amount_minor: MoneyChange }, closed))),
  adjustments: Type.Optional(Type.Array(Type.Object({
    period: Month, class: Type.Enum([...CLASSES]), keys: Count, budget_minor: MoneyChange, redeemed_minor: MoneyChange, ordered_minor: MoneyChange,
    break_minor: MoneyChange, resolved_minor: MoneyChange, carried_minor: MoneyChange,
  }, closed), { description: "what has changed in months that were closed before, part of the totals and classes: `class` says what the keys are now, `break_minor` what they break by beyond what was booked, `resolved_minor` what of it there is no more" })),
  time_zone: Type.Optional(Type.String()),
  closed: Type.Optional(Type.Boolean({ description: "whether the month is closed and locked" })),
}, closed)
export type ReconciliationAnswer = Static<typeof ReconciliationOut>

const MonthPath = Type.Object({ period: Month }, closed)

export const getReconciliation = operation({
  name: "get_reconciliation", method: "GET", path: "/v1/reconciliation/{period}", family: "insights", scopes: ["operate", "read"], every_line: true,
  says: "The month's books as they are published: what budgets were debited, what was redeemed, what the order feed says, and where they differ.",
  params: MonthPath, query: Type.Object({ set: Type.Optional(SetName) }, closed),
  yes: { found: ReconciliationOut }, no: ["run_unknown"],
})

const Name = Type.Union([Type.String(), Type.Null()])
const KeyOut = Type.Object({
  order_id: Type.String(), coupon_id: Name, budget_id: Name, class: Type.Enum([...CLASSES]), side: Type.Optional(Type.Enum(["budget", "redemption", "order", "all"])),
  budget_minor: MoneyChange, redeemed_minor: MoneyChange, ordered_minor: MoneyChange, break_minor: MoneyChange, carried_minor: MoneyChange,
  age_days: Type.Integer(), party: Name,
  of_period: Type.Optional(Type.String({ description: "an adjustment: the closed month, as YYYY-MM, that the key belongs to; amounts are changes" })),
  resolved_minor: Type.Optional(Type.Integer({ description: "of an adjustment: what of the booked break there is no more" })),
}, closed)

export const listReconciliationKeys = operation({
  name: "list_reconciliation_keys", method: "GET", path: "/v1/reconciliation/{period}/keys", family: "insights", scopes: ["operate", "read"], every_line: true,
  says: "The keys of a month's books, by order, coupon and budget. `next` is the cursor of the page that follows.",
  params: MonthPath,
  query: Type.Object({
    set: Type.Optional(SetName), class: Type.Optional(Type.Enum([...CLASSES])), cursor: PAGE.after,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT })),
  }, closed),
  yes: { found: Type.Object({ keys: Type.Array(KeyOut), next: Name }, closed) }, no: ["run_unknown"],
})

export const closeReconciliation = operation({
  name: "close_reconciliation", method: "POST", path: "/v1/reconciliation/{period}/close", family: "insights", scopes: ["approve"], every_line: true,
  says: "Close a month whose books are published: they are locked, and what comes later is an adjustment in the next month.",
  params: MonthPath, body: Type.Object({}, closed), body_optional: true,
  yes: { changed: Type.Object({ period: Month, run_id: Id, closed_at: InstantOut }, closed) }, no: ["run_unknown", "period_open"],
})

export type CreateRunAsk = AskOf<typeof createRun>
export type RunAsk = AskOf<typeof getRun>
export type ListRunsAsk = AskOf<typeof listRuns>
export type DiffRunAsk = AskOf<typeof diffRun>
export type ReconciliationAsk = AskOf<typeof getReconciliation>
export type ReconciliationKeysAsk = AskOf<typeof listReconciliationKeys>
export type CloseReconciliationAsk = AskOf<typeof closeReconciliation>

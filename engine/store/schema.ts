/**
 * The tables of Postgres: what Scrip remembers.
 *
 * The flusher writes most of them, thousands of rows a second, so what must stay true is that each has the indexes it
 * cannot do without and no more. Ids begin with their user's hash and are sorted by their bytes (`collate "C"`), so the
 * primary key of `coupons` and of `redemptions` also lists what one user has. All instants are milliseconds, all money is
 * minor units. What a flush writes as JSON stays text (`json`): taking each payload apart (`jsonb`) was a quarter of Postgres's
 * work in a flush. `users` is the only table with a user's id: when its row is emptied, the person is forgotten.
 *
 * States are numbers as they are packed, from 1 (`COUPON_STATES`, `REDEMPTION_STATES` and `CAMPAIGN_STATES` in
 * lua/records.ts); a campaign's own state is a word, because a draft has no number.
 */
import {
  bigint, boolean, customType, index, integer, json, jsonb, pgTable, primaryKey, smallint, text, uniqueIndex,
} from "drizzle-orm/pg-core"
import { sql } from "drizzle-orm"

/** Text that is sorted and compared by its bytes: ids and hashes. */
const idText = customType<{ data: string; driverData: string }>({ dataType: () => `text collate "C"` })
const bytes = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => "bytea" })
const whole = () => bigint({ mode: "number" })

/** What an installation is: `installation`, `cells`, `format`, its keys. */
export const settings = pgTable("settings", {
  key: text().primaryKey(),
  value: text().notNull(),
})

// ── What an operator makes ───────────────────────────────────────────────────────────────────────────────────────

export const apiKeys = pgTable("api_keys", {
  key_id: idText().primaryKey(),
  /** A hash of the secret; the secret itself is shown once and kept nowhere. */
  hash: text().notNull(),
  name: text().notNull(),
  scopes: text().array().notNull(),
  lines: text().array().notNull(),
  created_ms: whole().notNull(),
  revoked_ms: whole(),
})

export const budgets = pgTable("budgets", {
  budget_no: integer().primaryKey().generatedAlwaysAsIdentity(),
  budget_id: idText().notNull().unique(),
  line: text().notNull(),
  /** YYYY-MM; money is first held in [opens_ms, closes_ms). */
  month: text().notNull(),
  currency: text().notNull(),
  party: text().notNull(),
  opens_ms: whole().notNull(),
  closes_ms: whole().notNull(),
  /** As it was created; what it is now is the sum of its ledger. */
  limit_minor: whole().notNull(),
  fingerprint: text().notNull(),
  created_ms: whole().notNull(),
  closed_ms: whole(),
  /** The budget of the month after that takes what is unspent at the close; null: it is released. */
  carry_to: idText(),
})

export const campaigns = pgTable("campaigns", {
  campaign_no: integer().primaryKey().generatedAlwaysAsIdentity(),
  campaign_id: idText().notNull().unique(),
  line: text().notNull(),
  currency: text().notNull(),
  state: text().notNull().$type<"draft" | "live" | "paused" | "stopped">(),
  version: integer().notNull(),
  /** The campaign as it was sent, without what stands in columns of its own here. */
  body: jsonb().notNull(),
  starts_ms: whole().notNull(),
  ends_ms: whole().notNull(),
  per_user: whole().notNull(),
  stock: whole().notNull(),
  fingerprint: text().notNull(),
  created_ms: whole().notNull(),
  /** When its last version was made: the catalogues of the processes look for what is newer. */
  changed_ms: whole().notNull(),
  /** The lines of the key that made it live: only their budgets may pay for it. */
  funding_lines: text().array().notNull().default([]),
  /** The version that every cell is known to have; the worker pushes what is behind. */
  pushed_version: integer().notNull().default(0),
}, (table) => [
  index("campaigns_changed_ms").on(table.changed_ms),
  index("campaigns_unpushed").on(table.campaign_no).where(sql`${table.pushed_version} < ${table.version} and ${table.state} <> 'draft'`),
])

/** Each change of a campaign, with what a cell has to know of it: a cell is rebuilt with the version that it had. */
export const campaignVersions = pgTable("campaign_versions", {
  campaign_no: integer().notNull().references(() => campaigns.campaign_no),
  version: integer().notNull(),
  state: text().notNull().$type<"draft" | "live" | "paused" | "stopped">(),
  body: jsonb().notNull(),
  starts_ms: whole().notNull(),
  ends_ms: whole().notNull(),
  per_user: whole().notNull(),
  stock: whole().notNull(),
  at_ms: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.campaign_no, table.version] })])

export const badges = pgTable("badges", {
  badge_no: integer().primaryKey().generatedAlwaysAsIdentity(),
  badge_id: idText().notNull().unique(),
  created_ms: whole().notNull(),
})

/** Each version of a badge's rules. Of those that are active and effective in a month, the one that was activated last judges it. */
export const badgeVersions = pgTable("badge_versions", {
  badge_no: integer().notNull().references(() => badges.badge_no),
  version: integer().notNull(),
  line: text().notNull(),
  effective_month: text().notNull(),
  /** The rules as they were sent. */
  body: jsonb().notNull(),
  fingerprint: text().notNull(),
  created_ms: whole().notNull(),
  /** Null: a draft. */
  activated_ms: whole(),
}, (table) => [primaryKey({ columns: [table.badge_no, table.version] })])

// ── What the jobs publish for the hot path ───────────────────────────────────────────────────────────────────────

/**
 * A run's levels of all users. The one that counts is that of the latest month with a published run, so it becomes visible, and is rolled back,
 * with the run's pointer.
 */
export const levelGenerations = pgTable("level_generations", {
  generation: integer().primaryKey().generatedAlwaysAsIdentity(),
  run_id: text().notNull().unique(),
  /** YYYY-MM */
  period: text().notNull(),
  /** [[badge_no, version]…]: a level names its badge by its place here. */
  rules: json().notNull(),
  users: whole().notNull(),
  blocks: integer().notNull(),
})

/** The levels of the users whose hash lies in one of `blocks` equal ranges, packed as engine/badges/packed.ts says, sorted by hash. */
export const levelBlocks = pgTable("level_blocks", {
  generation: integer().notNull(),
  block: integer().notNull(),
  users: integer().notNull(),
  body: bytes().notNull(),
}, (table) => [primaryKey({ columns: [table.generation, table.block] })])

/** How far the rights of a published run have been issued, file by file. */
export const badgeRights = pgTable("badge_rights", {
  run_id: text().notNull(),
  output: text().notNull(),
  /** Rows of the output, in its order, that have been asked for. */
  done: whole().notNull(),
  issued: whole().notNull(),
  repeated: whole().notNull(),
  refused: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.run_id, table.output] })])

/** Rights that could not be issued, until they are. */
export const badgeRefusals = pgTable("badge_refusals", {
  period: text().notNull(),
  badge_id: idText().notNull(),
  level: integer().notNull(),
  campaign_id: idText().notNull(),
  user_id: idText().notNull(),
  run_id: text().notNull(),
  /** The outcome that the issue was answered. */
  code: text().notNull(),
  tries: integer().notNull(),
  settled: boolean().notNull(),
}, (table) => [primaryKey({ columns: [table.period, table.badge_id, table.level, table.campaign_id, table.user_id] })])

/** The keys of a day that lead by any measure, as a run of `risk` has found them. A user is his number; `z` and `support` are by measure. */
export const riskRows = pgTable("risk_rows", {
  run_id: idText().notNull(),
  dimension: text().notNull(),
  key: idText().notNull(),
  user_no: integer(),
  amount_minor: whole().notNull(),
  count: whole().notNull(),
  users: whole().notNull(),
  refund_rate_bp: whole().notNull(),
  first_day_users_bp: whole(),
  velocity_max: whole().notNull(),
  depth_bp: whole().notNull(),
  /** In ten-thousandths, null where there is no support. */
  z: json().notNull(),
  support: json().notNull(),
}, (table) => [primaryKey({ columns: [table.run_id, table.dimension, table.key] })])

/** How concentrated a day is in each dimension. */
export const riskTotals = pgTable("risk_totals", {
  run_id: idText().notNull(),
  dimension: text().notNull(),
  share_top1_bp: whole().notNull(),
  share_top10_bp: whole().notNull(),
  hhi_bp: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.run_id, table.dimension] })])

// ── What the journal says ────────────────────────────────────────────────────────────────────────────────────────

/** The cursor of each cell: the entry up to which all is here. Whoever moves it holds its row. */
export const cells = pgTable("cells", {
  cell: integer().primaryKey(),
  epoch: integer().notNull(),
  n: whole().notNull(),
  /** The instant of the cursor's entry: the cell has nothing earlier to say. */
  at_ms: whole().notNull(),
})

/**
 * Every epoch that was allotted, with the last entry of the one before. Kept one by one and not as the newest alone: of
 * two engines that were each allotted one, the first to open wins, and it may be the older.
 */
export const epochs = pgTable("epochs", {
  cell: integer().notNull(),
  epoch: integer().notNull(),
  tail: text().notNull(),
  at_ms: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.cell, table.epoch] })])

export const users = pgTable("users", {
  user_no: integer().primaryKey().generatedAlwaysAsIdentity(),
  user_hash: idText().notNull().unique(),
  /** Null until an entry has named it, and again when the person is forgotten. */
  user_id: text(),
})

/** Every entry, as it was flushed. `payload` never holds a user's id. */
export const events = pgTable("events", {
  cell: integer().notNull(),
  epoch: integer().notNull(),
  n: whole().notNull(),
  act: text().notNull(),
  at_ms: whole().notNull(),
  user_no: integer(),
  /** [["b7", limit, held, spent] | ["k12", stock, issued, revoked, reserved, redeemed] | ["i12", budget, held]…], null for none. */
  moves: json(),
  payload: json(),
  /** The redemption_id, coupon_id, addition_id or campaign_id that it is about. */
  ref: text(),
}, (table) => [
  primaryKey({ columns: [table.cell, table.epoch, table.n] }),
  // A range of instants is what the nightly jobs read; entries arrive in their order, so a block range index is enough.
  index("events_at_ms").using("brin", table.at_ms),
  // The few acts on limits, which a rebuild and a check read all of.
  index("events_limits").on(table.at_ms).where(sql`${table.act} in ('funded', 'closed')`),
  // One an hour and cell: a period is closed when each cell has one at or after its end.
  index("events_ticks").on(table.cell, table.at_ms).where(sql`${table.act} = 'tick'`),
])

/** The ledger: what each entry did to each budget. Sorted by time within a budget; the sum of all is the budget. */
export const budgetEntries = pgTable("budget_entries", {
  budget_no: integer().notNull(),
  at_ms: whole().notNull(),
  cell: integer().notNull(),
  epoch: integer().notNull(),
  n: whole().notNull(),
  act: text().notNull(),
  limit_minor: whole().notNull(),
  held_minor: whole().notNull(),
  spent_minor: whole().notNull(),
  /** The redemption_id, coupon_id or addition_id that moved it. */
  ref: text(),
}, (table) => [primaryKey({ columns: [table.budget_no, table.at_ms, table.cell, table.epoch, table.n] })])

/** The running sums of each cell's moves: what its counters are, at the cursor. */
export const cellBudgets = pgTable("cell_budgets", {
  cell: integer().notNull(),
  budget_no: integer().notNull(),
  limit_minor: whole().notNull(),
  held_minor: whole().notNull(),
  spent_minor: whole().notNull(),
  /** When the month's budget was closed in this cell. */
  closed_ms: whole(),
}, (table) => [primaryKey({ columns: [table.cell, table.budget_no] })])

export const cellCampaigns = pgTable("cell_campaigns", {
  cell: integer().notNull(),
  campaign_no: integer().notNull(),
  /** The version that the cell has taken, and its state as it is packed. */
  version: integer().notNull(),
  state: smallint().notNull(),
  stock: whole().notNull(),
  issued: whole().notNull(),
  revoked: whole().notNull(),
  reserved: whole().notNull(),
  redeemed: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.cell, table.campaign_no] })])

/** Money held at issue for coupons that nobody has reserved. */
export const cellIdle = pgTable("cell_idle", {
  cell: integer().notNull(),
  campaign_no: integer().notNull(),
  budget_no: integer().notNull(),
  held_minor: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.cell, table.campaign_no, table.budget_no] })])

/**
 * Coupons as their last entry left them. One that holds no money and was not used ends by its instant alone, without an
 * entry: `ends_at_ms` in the past or a stopped campaign says so, not `state`.
 * What only its issue says (`version` to `issued_ms`) is null for a coupon whose issue lies in quarantine.
 */
export const coupons = pgTable("coupons", {
  coupon_id: idText().primaryKey(),
  user_no: integer().notNull(),
  campaign_no: integer().notNull(),
  cell: integer().notNull(),
  state: smallint().notNull(),
  ends_at_ms: whole().notNull(),
  fingerprint: text().notNull(),
  /** The hash of the redemption it is or was used in: the redemption_id without the user's hash. */
  redemption: text(),
  since_ms: whole(),
  /** [[budget_no, held_minor]…] */
  holds: json(),
  version: integer(),
  request_id: text(),
  channel: text(),
  device: text(),
  issued_ms: whole(),
  epoch: integer().notNull(),
  n: whole().notNull(),
})

/** Redemptions as their last entry left them. `head` is the packed record's array of places, `body` the allocation. */
export const redemptions = pgTable("redemptions", {
  redemption_id: idText().primaryKey(),
  user_no: integer().notNull(),
  cell: integer().notNull(),
  order_id: text(),
  request_id: text(),
  state: smallint().notNull(),
  head: json().notNull(),
  body: text().notNull(),
  reserved_ms: whole().notNull(),
  since_ms: whole().notNull(),
  epoch: integer().notNull(),
  n: whole().notNull(),
})

export const refunds = pgTable("refunds", {
  redemption_id: idText().notNull(),
  refund_id: text().notNull(),
  at_ms: whole().notNull(),
  discount_minor: whole().notNull(),
  payload: json().notNull(),
}, (table) => [primaryKey({ columns: [table.redemption_id, table.refund_id] })])

/** How many coupons of a campaign a user was issued, or the hold-out's mark in place of a count. */
export const walletCounts = pgTable("wallet_counts", {
  user_no: integer().notNull(),
  campaign_no: integer().notNull(),
  cell: integer().notNull(),
  count: text().notNull(),
}, (table) => [primaryKey({ columns: [table.user_no, table.campaign_no] })])

/** Acts that were answered with a yes and are in no journal any more: their master was lost with them. */
export const lostActs = pgTable("lost_acts", {
  cell: integer().notNull(),
  epoch: integer().notNull(),
  n: whole().notNull(),
  act: text().notNull(),
  /** What it was about, as its caller knows it: coupon_id, redemption_id, request_id, order_id, refund_id, addition_id. */
  names: jsonb().notNull(),
  process_id: text().notNull(),
  found_ms: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.cell, table.epoch, table.n] })])

/** The processes that answer: what one that died without a word had answered, nobody can list. */
export const apiProcesses = pgTable("api_processes", {
  process_id: text().primaryKey(),
  pid: integer().notNull(),
  started_ms: whole().notNull(),
  seen_ms: whole().notNull(),
  /** When it left with everything it had answered in Postgres. */
  left_ms: whole(),
  /** Acts that it had to forget before Postgres had them. */
  forgotten: whole().notNull().default(0),
})

/** Entries that could not be read. Their cell is not rebuilt until a person has settled each: how, who it was, and why. */
export const quarantine = pgTable("quarantine", {
  cell: integer().notNull(),
  epoch: integer().notNull(),
  n: whole().notNull(),
  raw: bytes().notNull(),
  reason: text().notNull(),
  at_ms: whole().notNull(),
  settled_ms: whole(),
  settled_as: text(),
  settled_by: text(),
  settled_why: text(),
}, (table) => [primaryKey({ columns: [table.cell, table.epoch, table.n] })])

// ── What the jobs come to ────────────────────────────────────────────────────────────────────────────────────────

/**
 * Runs of jobs over the warehouse. A run is known by job, period, set, and the hashes of its code, rules and inputs; `identity` is the
 * hash of them all. `state` is `requested`, `running`, `ready` (outputs and rows are there), `held`, `published`, `superseded`, `failed`,
 * or `already_published` (`same_as` says by which run).
 */
export const runs = pgTable("runs", {
  run_id: idText().primaryKey(),
  job: text().notNull(),
  period: idText().notNull(),
  /** A named foreign set; "" for our own. */
  set_name: text().notNull().default(""),
  state: text().notNull(),
  is_dry: boolean().notNull().default(false),
  is_first: boolean().notNull().default(false),
  options: json().notNull().default({}),
  /** One word why it is held or has failed, and a sentence. */
  reason: text(),
  detail: text(),
  revision: integer(),
  identity: text(),
  code_sha256: text(),
  rules_sha256: text(),
  inputs_sha256: text(),
  inputs: json(),
  rules: json(),
  outputs: json(),
  checks: json(),
  answer: json(),
  report: text(),
  /** Against the run that was published when this one was finished. */
  diff: json(),
  same_as: text(),
  /** The run that was published before this one; a rollback publishes it. */
  replaced: text(),
  /** The key that asked for it over HTTP; null: the command or the schedule did. */
  requested_by: text(),
  requested_ms: whole().notNull(),
  started_ms: whole(),
  finished_ms: whole(),
  published_ms: whole(),
  /** When what follows from publishing had been done; null while it is owed. */
  after_ms: whole(),
}, (table) => [
  index("runs_job_period").on(table.job, table.period, table.set_name),
  index("runs_open").on(table.state).where(sql`${table.state} in ('requested', 'running')`),
  index("runs_owed").on(table.run_id).where(sql`${table.state} = 'published' and ${table.after_ms} is null`),
])

/** Which run is published for a period, and who is at it: one row a job, period and set. */
export const runPeriods = pgTable("run_periods", {
  job: text().notNull(),
  period: idText().notNull(),
  set_name: text().notNull(),
  run_id: text(),
  /** Whoever runs it holds this until the instant passes, and pushes the instant on while he lives. */
  lease_owner: text(),
  lease_until_ms: whole(),
  /** A closed period is never published anew: what comes later belongs to the next. */
  closed_ms: whole(),
  /** When the inputs were last looked at by a run that came to its end: what lands later makes the period due again. */
  looked_ms: whole(),
}, (table) => [primaryKey({ columns: [table.job, table.period, table.set_name] })])

/** The parts of the lake that the schedule has seen, with the business days that they have rows of: a new one marks its days. */
export const lakeParts = pgTable("lake_parts", {
  dataset: idText().notNull(),
  part: idText().notNull(),
  /** Of the manifest: a part that was written anew is another. */
  sha256: text().notNull(),
  days: text().array().notNull(),
  landed_ms: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.dataset, table.part] })])

// ── Codes ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Batches of codes, as operators asked for them. A public code is a batch of its own with a limit. */
export const codeBatches = pgTable("code_batches", {
  batch_no: integer().primaryKey().generatedAlwaysAsIdentity(),
  campaign_no: integer().notNull().references(() => campaigns.campaign_no),
  batch_id: idText().notNull(),
  kind: text().notNull().$type<"generated" | "imported" | "public">(),
  /** How many codes were asked for; null where they come in a stream. */
  asked: whole(),
  /** How often a public code may be claimed; 0 for unique codes. */
  limit: whole().notNull(),
  /** What generated codes are derived from, so that a stream that was cut can be asked for again; null once the batch was revoked. */
  secret: bytes(),
  created_ms: whole().notNull(),
  revoked_ms: whole(),
  /** Whether every cell has heard of the revocation; the worker tells those that have not. */
  is_told: boolean().notNull().default(true),
}, (table) => [
  uniqueIndex("code_batches_id").on(table.campaign_no, table.batch_id),
  index("code_batches_untold").on(table.batch_no).where(sql`not ${table.is_told}`),
])

/** Codes as their last entry left them, by keyed hash alone: 20 hexadecimal digits, so that a page is a range of buckets. State: 1 free, 2 pending, 3 spent, 4 revoked. */
export const codes = pgTable("codes", {
  code_hash: idText().primaryKey(),
  batch_no: integer().notNull(),
  state: smallint().notNull(),
})

/** Claims as their last entry left them. State: 1 pending, 2 granted, 3 freed. What only the claim's entry says is null where that lies in quarantine. */
export const codeClaims = pgTable("code_claims", {
  claim_hash: idText().primaryKey(),
  code_hash: idText().notNull(),
  batch_no: integer().notNull(),
  state: smallint().notNull(),
  /** Names the attempt. */
  nonce: text().notNull(),
  user_no: integer(),
  /** The coupon's place in the user's wallet, without its campaign. */
  coupon: text(),
  fingerprint: text(),
  claimed_ms: whole(),
  since_ms: whole().notNull(),
}, (table) => [
  // Whose a code is, when a checkout shows it.
  index("code_claims_code").on(table.code_hash),
])

/** The claims that a user's cell will bring no coupon for any more. */
export const refusedGrants = pgTable("refused_grants", {
  user_no: integer().notNull(),
  nonce: text().notNull(),
  at_ms: whole().notNull(),
}, (table) => [primaryKey({ columns: [table.user_no, table.nonce] })])


/** The pages of a `reports` run: one for each job that had published its period. */
export const reports = pgTable("reports", {
  run_id: idText().notNull(),
  /** The job that the page tells of. */
  job: text().notNull(),
  period: idText().notNull(),
  set_name: text().notNull(),
  title: text().notNull(),
  sentence: text().notNull(),
  html: text().notNull(),
}, (table) => [primaryKey({ columns: [table.run_id, table.job] })])

/**
 * The keys of a reconciliation, as its run found them; a missing coupon or budget is "". A key with `of_period` is an adjustment: what has
 * changed in the books of that closed month.
 */
export const reconciliationKeys = pgTable("reconciliation_keys", {
  run_id: idText().notNull(),
  order_id: idText().notNull(),
  coupon_id: idText().notNull(),
  budget_id: idText().notNull(),
  class: text().notNull(),
  side: text(),
  budget_minor: whole().notNull(),
  redeemed_minor: whole().notNull(),
  ordered_minor: whole().notNull(),
  break_minor: whole().notNull(),
  carried_minor: whole().notNull(),
  age_days: integer().notNull(),
  party: text(),
  of_period: text().notNull().default(""),
  /** Of an adjustment: how much of the closed month's break there is no more. */
  resolved_minor: whole().notNull().default(0),
}, (table) => [
  primaryKey({ name: "reconciliation_keys_pk", columns: [table.run_id, table.order_id, table.coupon_id, table.budget_id, table.of_period] }),
  index("reconciliation_keys_class").on(table.run_id, table.class, table.order_id, table.coupon_id, table.budget_id, table.of_period),
])

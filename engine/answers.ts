/**
 * What every outcome means to the world: the one table between a word and an HTTP answer.
 *
 * A word is spelled the same in Lua, TypeScript, JSON, SQL and the docs. `retry` true means that the same request might succeed
 * later. `say` is the sentence that a reader of a log understands without this table. The compiler refuses a missing line.
 */

export interface Answer { readonly status: 200 | 201 | 202 | 400 | 401 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503; readonly retry: boolean; readonly say: string }

const yes = (status: 200 | 201 | 202, say: string): Answer => ({ status, retry: false, say })
const no = (status: Answer["status"], say: string): Answer => ({ status, retry: false, say })
const later = (status: Answer["status"], say: string): Answer => ({ status, retry: true, say })

export const ANSWERS = {
  // what was asked for has happened
  created: yes(201, "Made."),
  accepted: yes(202, "Asked for; it is carried out later."),
  found: yes(200, "Here it is."),
  changed: yes(200, "Changed."),
  issued: yes(201, "The coupon is the user's."),
  quoted: yes(200, "Priced; nothing was changed."),
  reserved: yes(201, "The coupons and their money are held for the order."),
  extended: yes(200, "The hold ends later."),
  confirmed: yes(200, "The coupons are redeemed and the money is spent."),
  cancelled: yes(200, "The coupons and their money are free again."),
  refunded: yes(201, "The money went back to the budgets that paid it."),
  revoked: yes(200, "The coupon or the codes are taken away."),

  // the request itself
  request_invalid: no(400, "The request is not what the contract asks for."),
  request_too_large: no(413, "The request's body, or this line of it, is larger than it may be."),
  request_conflict: no(422, "The same ids were used before with other content."),
  key_missing: no(401, "No key was sent."),
  key_unknown: no(401, "The key is unknown or revoked."),
  scope_missing: no(403, "The key may not do this."),
  not_found: no(404, "There is no such address."),
  key_id_unknown: no(404, "There is no such key."),

  // campaigns and budgets
  campaign_unknown: no(404, "There is no such campaign."),
  campaign_live: no(409, "The campaign is live: only its name, a later end, and more stock or more per user may be set."),
  campaign_draft: no(409, "The campaign is a draft: it has not been activated."),
  campaign_stopped: no(409, "The campaign was stopped, which is final."),
  budget_unknown: no(404, "There is no such budget."),
  budget_in_use: later(409, "The cut would go below what is held and spent."),
  budget_closed: no(409, "The budget's month is closed."),
  limit_too_large: no(409, "The limit would be larger than 2^53-1."),

  // runs of jobs
  run_unknown: no(404, "There is no such run, or none is published."),
  run_not_publishable: no(409, "The run cannot be published: it is a dry one, has failed, or has not ended."),
  run_not_published: no(409, "The run is not the one that is published."),
  run_without_earlier: no(409, "No run was published before this one."),
  period_closed: no(409, "The period is closed: what comes later belongs to the next."),
  period_open: later(409, "The period has not ended in every cell yet."),

  // coupons
  campaign_not_live: later(409, "The campaign is not live."),
  campaign_not_started: later(409, "The campaign has not started."),
  campaign_ended: no(409, "The campaign has ended."),
  user_limit_reached: no(409, "The user has had as many coupons of this campaign as one user may have."),
  stock_exhausted: later(409, "All coupons of the campaign have been issued."),
  budget_exhausted: later(409, "The budget does not have the money."),
  budget_not_open: later(409, "No budget of this month can hold the money."),
  held_out: no(409, "The user is in the campaign's hold-out group."),

  // badges
  badge_unknown: no(404, "There is no such badge, or no such version of it."),
  report_unknown: no(404, "There is no published report of this job and period."),
  badge_cycle: no(409, "The badge would look at itself by way of others."),
  badge_not_held: no(409, "The user has no level of this badge."),

  // codes
  code_invalid: no(404, "This code cannot be claimed."),
  code_misses_exceeded: later(429, "Too many wrong codes were tried."),
  code_unknown: no(404, "The campaign has no such code."),
  code_spent: no(409, "The code has been claimed."),
  code_taken: no(409, "The code belongs to another batch."),
  batch_unknown: no(404, "The campaign has no such batch of codes."),
  batch_revoked: no(409, "The batch of codes was revoked."),

  // checkout
  coupon_unknown: no(404, "The user has no such coupon."),
  coupon_reserved: later(409, "The coupon is held for an order."),
  coupon_redeemed: no(409, "The coupon has been redeemed."),
  coupon_ended: no(409, "The coupon has ended."),
  coupon_revoked: no(409, "The coupon was revoked."),
  campaign_paused: later(409, "The campaign is paused."),
  terms_not_met: no(409, "The order does not meet the coupon's terms."),
  not_stackable: no(409, "The coupon cannot stand beside another one of this order."),
  quote_mismatch: no(409, "The quote was signed for another user or order."),
  quote_ended: no(409, "The quote's price was held no longer."),
  quote_unsigned: no(403, "No valid key has signed this quote."),
  redemption_unknown: no(404, "There is no such redemption."),
  redemption_reserved: later(409, "The redemption is reserved: it has not been confirmed."),
  redemption_confirmed: no(409, "The redemption has been confirmed."),
  redemption_cancelled: no(409, "The redemption was cancelled."),
  redemption_expired: no(409, "The hold has run out."),
  redemption_refunded: no(409, "The redemption has been refunded."),
  redemption_partly_refunded: no(409, "The redemption has been refunded in part."),
  refund_exceeds: no(409, "More would be refunded than is left."),
  expires_too_early: no(409, "A hold's end moves only forward."),
  expires_too_late: no(409, "A hold lasts at most 7 days after the reserve."),

  // not now
  outcome_unknown: later(503, "It is not known whether this has happened; the same request again tells."),
  overloaded: later(503, "The engine cannot take this now."),
  quota_busy: later(503, "The quota is being moved between cells."),
  journal_full: later(503, "What has been decided is not in Postgres yet, and no more fits; what gives back still works."),
  not_ready: later(503, "A part that this needs is away."),
  fault: no(500, "The engine failed; the log says how. The same request again is safe."),
} as const satisfies Record<string, Answer>

export type Outcome = keyof typeof ANSWERS

/** A yes with the body it answers; `hit` when it repeats what an earlier identical request was answered. */
export interface Yes { readonly outcome: Outcome; readonly body: object; readonly hit?: boolean }
/** A no with the fields that explain it. */
export type No = { readonly outcome: Outcome } & Readonly<Record<string, unknown>> & { readonly body?: undefined }
/** What a use case returns; a breakage is thrown. */
export type Answered = Yes | No

/** A list was asked to go on after what no page of it has ended with. */
export const AFTER_INVALID: No = { outcome: "request_invalid", field: "after", detail: "after must be the `next` of a page of this list." }

/** Who asks, and when. */
export interface Caller {
  readonly now_ms: number
  readonly key_id: string
  readonly scopes: readonly Scope[]
  /** The business lines the key may touch; "*" is all. */
  readonly lines: readonly string[]
  /** He hears of an act once Postgres has committed it. */
  readonly durability?: "ledger"
}
export const SCOPES = ["checkout", "issue", "operate", "approve", "read"] as const
export type Scope = (typeof SCOPES)[number]

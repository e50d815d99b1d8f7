/**
 * The use cases as HTTP calls them: what is asked, by whom, and one answer.
 *
 * What must stay true: an ask has passed its contract (engine/contract) before it comes here, so a use case checks only what needs
 * a store. A no is a returned value; what is thrown becomes a 503 (NotExecuted: overloaded, OutcomeUnknown: outcome_unknown,
 * RedisFull: journal_full, PostgresAway: not_ready, anything else: fault). The lines of the caller's key are checked in the use case.
 *
 * A repeat answers the same outcome with `hit: true`, and so has the same status, except where a PUT is meant: its first yes is
 * `created` (201), a change `changed` (200), the same content again `found` with `hit: true` (200).
 */
import type { Answered, Caller, No } from "./answers.ts"
import type { ActivateBadgeAsk, BadgeAsk, ClaimBadgeAsk, PutBadgeAsk, UserBadgesAsk } from "./contract/badges.ts"
import type { AddToBudgetAsk, BudgetAsk, ListBudgetEntriesAsk, PutBudgetAsk } from "./contract/budgets.ts"
import type { CampaignAsk, PutCampaignAsk } from "./contract/campaigns.ts"
import type { CodeStream, Importing } from "./codes/batches.ts"
import type { CancelAsk, ConfirmAsk, ExtendAsk, ListRedemptionsAsk, QuoteAsk, RedemptionAsk, RefundAsk, ReserveAsk } from "./contract/checkout.ts"
import type { ClaimAsk, GenerateCodesAsk, ImportCodesAsk, ListCodesAsk, PutPublicCodeAsk, RevokeCodesAsk } from "./contract/codes.ts"
import type { IssueAsk, ListCouponsAsk, RevokeAsk } from "./contract/coupons.ts"
import type { ListEventsAsk } from "./contract/events.ts"
import type { ListReportsAsk, ReportAsk } from "./contract/reports.ts"
import type { CheckoutDiscountsAsk } from "./contract/ucp.ts"
import type { CloseReconciliationAsk, CreateRunAsk, DiffRunAsk, ListRunsAsk, ReconciliationAsk, ReconciliationKeysAsk, RunAsk } from "./contract/insights.ts"
import type { TopRiskAsk } from "./contract/risk.ts"
import type { CreateKeyAsk, RevokeKeyAsk } from "./contract/keys.ts"

/** One use case. */
export type Use<Ask> = (ask: Ask, caller: Caller) => Promise<Answered>

export interface Uses {
  readonly coupons: {
    /** issued */
    readonly issue: Use<IssueAsk>
    /** revoked */
    readonly revoke: Use<RevokeAsk>
    /** found, with {items, next} */
    readonly list: Use<ListCouponsAsk>
  }
  readonly codes: {
    /** issued */
    readonly claim: Use<ClaimAsk>
    /** A stream of codes, or why there is none. */
    readonly generate: (ask: GenerateCodesAsk, caller: Caller) => Promise<CodeStream | No>
    /** What takes each line of an import, or why there is no import. */
    readonly import: (ask: ImportCodesAsk, caller: Caller) => Promise<Importing | No>
    /** created, changed, or found with hit on a repeat */
    readonly putPublic: Use<PutPublicCodeAsk>
    /** found, with {items, next} */
    readonly list: Use<ListCodesAsk>
    /** revoked */
    readonly revoke: Use<RevokeCodesAsk>
  }
  readonly checkout: {
    /** quoted */
    readonly quote: Use<QuoteAsk>
    /** quoted */
    readonly discounts: Use<CheckoutDiscountsAsk>
    /** reserved */
    readonly reserve: Use<ReserveAsk>
    /** confirmed */
    readonly confirm: Use<ConfirmAsk>
    /** extended */
    readonly extend: Use<ExtendAsk>
    /** cancelled */
    readonly cancel: Use<CancelAsk>
    /** refunded */
    readonly refund: Use<RefundAsk>
    /** found */
    readonly get: Use<RedemptionAsk>
    /** found, with {items, next} */
    readonly list: Use<ListRedemptionsAsk>
  }
  readonly budgets: {
    /** created, or found with hit on a repeat */
    readonly put: Use<PutBudgetAsk>
    /** created, also on a repeat */
    readonly add: Use<AddToBudgetAsk>
    /** changed */
    readonly close: Use<BudgetAsk>
    /** found */
    readonly get: Use<BudgetAsk>
    /** found, with {items, next} */
    readonly entries: Use<ListBudgetEntriesAsk>
  }
  readonly campaigns: {
    /** created, changed, or found with hit on a repeat */
    readonly put: Use<PutCampaignAsk>
    /** changed */
    readonly activate: Use<CampaignAsk>
    /** changed */
    readonly pause: Use<CampaignAsk>
    /** changed */
    readonly stop: Use<CampaignAsk>
    /** found */
    readonly get: Use<CampaignAsk>
  }
  readonly reports: {
    /** found, with {items, next} */
    readonly list: Use<ListReportsAsk>
    /** found */
    readonly get: Use<ReportAsk>
  }
  readonly events: {
    /** found, with {items, next} */
    readonly list: Use<ListEventsAsk>
  }
  readonly badges: {
    /** created, also on a repeat */
    readonly put: Use<PutBadgeAsk>
    /** changed */
    readonly activate: Use<ActivateBadgeAsk>
    /** found */
    readonly get: Use<BadgeAsk>
    /** found, with {badges} */
    readonly list: Use<UserBadgesAsk>
    /** changed */
    readonly claim: Use<ClaimBadgeAsk>
  }
  readonly insights: {
    /** accepted */
    readonly create_run: Use<CreateRunAsk>
    /** found */
    readonly get_run: Use<RunAsk>
    /** found, with {items, next} */
    readonly list_runs: Use<ListRunsAsk>
    /** changed */
    readonly publish_run: Use<RunAsk>
    /** changed */
    readonly rollback_run: Use<RunAsk>
    /** found */
    readonly diff_run: Use<DiffRunAsk>
    /** found */
    readonly reconciliation: Use<ReconciliationAsk>
    /** found, with {keys, next} */
    readonly reconciliation_keys: Use<ReconciliationKeysAsk>
    /** changed */
    readonly close_reconciliation: Use<CloseReconciliationAsk>
  }
  readonly risk: {
    /** found, with {rows} */
    readonly top: Use<TopRiskAsk>
  }
  readonly keys: {
    /** created */
    readonly create: Use<CreateKeyAsk>
    /** changed, with {key_id, state: "revoked"} */
    readonly revoke: Use<RevokeKeyAsk>
  }
}

/**
 * Every operation of the contract, by hand, in the order in which the docs tell them.
 */
import { activateBadge, claimBadge, getBadge, listUserBadges, putBadge } from "./badges.ts"
import { addToBudget, closeBudget, getBudget, listBudgetEntries, putBudget } from "./budgets.ts"
import { activateCampaign, getCampaign, pauseCampaign, putCampaign, stopCampaign } from "./campaigns.ts"
import {
  cancelRedemption, confirmRedemption, extendRedemption, getRedemption, listRedemptions, quoteOrder, refundRedemption, reserveOrder,
} from "./checkout.ts"
import { claimCode, generateCodes, importCodes, listCodes, putPublicCode, revokeCodes } from "./codes.ts"
import { issueCoupon, issueCoupons, listCoupons, revokeCoupon } from "./coupons.ts"
import { listEvents } from "./events.ts"
import {
  closeReconciliation, createRun, diffRun, getReconciliation, getRun, listReconciliationKeys, listRuns, publishRun, rollbackRun,
} from "./insights.ts"
import { createKey, revokeKey } from "./keys.ts"
import { checkoutDiscounts } from "./ucp.ts"
import type { Operation } from "./operation.ts"
import { getReport, listReports } from "./reports.ts"
import { topRisk } from "./risk.ts"

export const OPERATIONS: readonly Operation[] = [
  putBudget, addToBudget, closeBudget, getBudget, listBudgetEntries,
  putCampaign, activateCampaign, pauseCampaign, stopCampaign, getCampaign,
  issueCoupon, issueCoupons, listCoupons, revokeCoupon,
  claimCode, generateCodes, importCodes, putPublicCode, listCodes, revokeCodes,
  quoteOrder, reserveOrder, confirmRedemption, extendRedemption, cancelRedemption, refundRedemption, getRedemption, listRedemptions,
  checkoutDiscounts,
  listEvents,
  putBadge, activateBadge, getBadge, listUserBadges, claimBadge,
  listReports, getReport,
  createRun, listRuns, getRun, publishRun, rollbackRun, diffRun, getReconciliation, listReconciliationKeys, closeReconciliation,
  topRisk,
  createKey, revokeKey,
]

/** The reports, one a job, in the order of the index page. */
import { badgesReport } from "./badges.ts"
import { reconciliationReport } from "./reconciliation.ts"
import type { Report } from "./report.ts"
import { riskReport } from "./risk.ts"

export const REPORTS: readonly Report[] = [badgesReport, reconciliationReport, riskReport]

/** The reports, one a job, in the order of the index page. */
import { badgesReport } from "./badges.ts"
import type { Report } from "./report.ts"

export const REPORTS: readonly Report[] = [badgesReport]

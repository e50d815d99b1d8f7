/** The jobs of the house, in the order in which they are named in reports. */
import type { Job } from "../job.ts"
import { badge_compensation } from "./badge_compensation.ts"
import { badges } from "./badges.ts"
import { extract } from "./extract.ts"
import { reconciliation } from "./reconciliation.ts"
import { reports } from "./reports.ts"
import { risk } from "./risk.ts"

export const JOBS: readonly Job[] = [extract, badges, badge_compensation, reconciliation, risk, reports]

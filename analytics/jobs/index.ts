/** The jobs of the house, in the order in which they are named in reports. */
import type { Job } from "../job.ts"
import { badge_compensation } from "./badge_compensation.ts"
import { badges } from "./badges.ts"
import { reports } from "./reports.ts"

export const JOBS: readonly Job[] = [badges, badge_compensation, reports]

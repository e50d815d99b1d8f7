/**
 * The proof: the replay's own count beside Redis, Postgres and the API, number by number.
 */
import type { Count } from "./count.ts"
import { sum } from "./discounts.ts"
import type { Plan } from "./plan.ts"

/** One number that is not the same everywhere. */
export interface Mismatch { readonly what: string; readonly id: string; readonly field: string; readonly own: unknown; readonly said: unknown; readonly by: string }

/** What stands in one place and not in the other, or differs. Redis forgets settled redemptions with time, so there an absent one is no difference. */
export const mismatches = (own: Count, said: Count, by: "redis" | "postgres" | "api"): Mismatch[] => {
  const found: Mismatch[] = []
  const compare = <Record_ extends object>(what: string, ours: ReadonlyMap<string, Record_>, theirs: ReadonlyMap<string, Record_>, mayLack: boolean) => {
    for (const [id, record] of ours) {
      const other = theirs.get(id)
      if (other === undefined) {
        if (!mayLack) found.push({ what, id, field: "", own: "is there", said: "is not", by })
        continue
      }
      for (const field of Object.keys(record) as (keyof Record_ & string)[]) {
        if (record[field] !== other[field]) found.push({ what, id, field, own: record[field], said: other[field], by })
      }
    }
    for (const id of theirs.keys()) if (!ours.has(id)) found.push({ what, id, field: "", own: "is not", said: "is there", by })
  }
  compare("budget", own.budgets, said.budgets, false)
  compare("campaign", own.campaigns, said.campaigns, false)
  compare("redemption", own.redemptions, said.redemptions, by === "redis")
  return found
}

/** A row of a printed table: a name and its numbers. */
export interface Row { readonly name: string; readonly numbers: readonly (number | string)[] }

/** The budgets of a count: limit, held, spent, available. */
export const budgetRows = ({ budgets }: Count): Row[] =>
  [...budgets].map(([name, { limit_minor, held_minor, spent_minor }]) => ({ name, numbers: [limit_minor, held_minor, spent_minor, limit_minor - held_minor - spent_minor] }))

/** The campaigns of a count by mailing: how many, issued, reserved, redeemed. */
export const mailingRows = (plan: Plan, { campaigns }: Count): Row[] =>
  plan.launches.map(({ mailing, campaigns: ours }) => {
    const counts = ours.flatMap(({ campaign_id }) => campaigns.get(campaign_id) ?? [])
    return {
      name: `${mailing.campaign} (${mailing.type}) ${mailing.first_day} to ${mailing.last_day}`,
      numbers: [counts.length, sum(counts.map(({ issued }) => issued)), sum(counts.map(({ reserved }) => reserved)), sum(counts.map(({ redeemed }) => redeemed))],
    }
  })

/** The redemptions of a count by state: how many, discount, refunded. */
export const redemptionRows = ({ redemptions }: Count): Row[] =>
  [...Map.groupBy([...redemptions.values()], ({ state }) => state)].sort().map(([name, all]) => ({
    name, numbers: [all.length, sum(all.map(({ discount_minor }) => discount_minor)), sum(all.map(({ refunded_minor }) => refunded_minor))],
  }))

/** The last row of a table: the sum of each column. */
export const totalRow = (rows: readonly Row[]): Row =>
  ({ name: "all", numbers: (rows[0]?.numbers ?? []).map((_, i) => sum(rows.map(({ numbers }) => Number(numbers[i])))) })

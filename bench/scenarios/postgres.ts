/**
 * Postgres at its best: the same transactions with 1 to 64 connections, because a locked row is fastest with few who wait for it.
 */
import { allWere, drive, type Lap } from "../drive.ts"
import { confirmRequest, reserveRequest } from "../contestants.ts"
import { type Figure, rateOf, type Result, rowOf, type Row } from "../result.ts"
import { shopper } from "../shop.ts"
import type { Stack } from "../stack.ts"
import { givePostgresCoupons } from "./acts.ts"

const CONNECTIONS = [1, 2, 4, 8, 16, 32, 64]
const BEST_LEAST = 3

/** Sweep the connections, `acts` redemptions each; `redemptions_per_s` is what Scrip does at 64. */
export const playPostgres = async (floors: Stack, acts: number, redemptions_per_s: number | undefined, say: (text: string) => void): Promise<Result> => {
  const rows: Row[] = []
  let best = { connections: 0, per_s: 0 }
  for (const connections of CONNECTIONS) {
    say(`Postgres with ${connections} connections`)
    const shoppers = Array.from({ length: acts }, (_, i) => shopper(`sweep-${connections}`, i, 1))
    await givePostgresCoupons(floors, shoppers)
    const lap = async (status: number, requests: Buffer[]): Promise<Lap> => allWere(await drive({ stack: floors, connections }, requests), status, `Postgres with ${connections} connections`)
    const reserved = await lap(201, shoppers.map((each) => reserveRequest(floors, "/postgres", each)))
    const confirmed = await lap(200, shoppers.map((each) => confirmRequest(floors, "/postgres", { redemption_id: each.coupon_id.slice(0, 22) + each.order_id })))
    rows.push(rowOf("reserve", `Postgres, ${connections}`, [reserved]), rowOf("confirm", `Postgres, ${connections}`, [confirmed]))
    const per_s = 1 / (1 / rateOf(reserved) + 1 / rateOf(confirmed))
    if (per_s > best.per_s) best = { connections, per_s }
  }
  const figures: Figure[] = [{ name: `redemptions per second, Postgres at its best (${best.connections} connections)`, value: best.per_s, unit: "/s" }]
  if (redemptions_per_s !== undefined) {
    figures.push({ name: "reserve and confirm against Postgres at its best", value: redemptions_per_s / best.per_s, unit: "×", wanted: { at: "least", value: BEST_LEAST } })
  }
  const [budget] = await floors.sql<{ held: string; wrong: string }[]>`
    select held_minor as held, (select coalesce(sum(case state when 'reserved' then discount_minor end), 0) from bench.redemptions) as wrong from bench.budgets`
  return { scenario: "postgres", rows, figures, proofs: [{ name: "money held in Postgres, by its open redemptions", wanted: budget!.wrong, found: budget!.held }] }
}

/**
 * Risk: what took most on a day, against its own past.
 */
import { Type, type Static } from "typebox"
import { Bp, closed, Count, Money, PAGE } from "./basics.ts"
import type { RequestFault } from "./check.ts"
import { type AskOf, operation } from "./operation.ts"

export const RISK_DIMENSIONS = ["sku", "merchant", "region", "campaign", "user"] as const
export const RISK_MEASURES = ["amount", "count", "users", "refund_rate", "depth"] as const

const DAY = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
const Day = Type.String({ pattern: DAY, description: "a business day as YYYY-MM-DD" })
const Share = Type.Union([Bp, Type.Null()])

/** A day that there is: no 30th of February. */
export const dayFault = ({ day }: { day: string }): RequestFault | undefined =>
  new Date(`${day}T00:00:00Z`).getUTCDate() === Number(day.slice(8)) ? undefined : { field: "day", detail: "day must be a day that there is, as YYYY-MM-DD." }

const RowOut = Type.Object({
  key: Type.String({ description: "a user who was forgotten is his number behind a #" }),
  amount_minor: Money, count: Count, users: Count,
  refund_rate_bp: Type.Integer({ ...Count, description: "redemptions refunded on the day, of those confirmed on it; may pass 10000" }),
  first_day_users_bp: Share, velocity_max: Count,
  depth_bp: Type.Integer({ ...Count, description: "what was taken off, of the lines' price" }),
  z: Type.Union([Type.Number(), Type.Null()], { description: "of the measure it is ranked by, to 4 decimals" }),
  support: Type.Enum(["ok", "flat", "thin"], { description: "flat: its past does not vary; thin: too young or too rare to be compared" }),
}, closed)

const TopOut = Type.Object({
  day: Day, dimension: Type.Enum([...RISK_DIMENSIONS]), by: Type.Enum([...RISK_MEASURES]), rows: Type.Array(RowOut),
  share_top1_bp: Share, share_top10_bp: Share, hhi_bp: Share,
}, closed)
export type RiskTopAnswer = Static<typeof TopOut>

export const topRisk = operation({
  name: "top_risk", method: "GET", path: "/v1/risk/top", family: "risk", scopes: ["operate", "read"], every_line: true,
  says: "The keys of a day by a measure, each against its own eight weeks before, and how concentrated the day is.",
  query: Type.Object({
    dimension: Type.Enum([...RISK_DIMENSIONS]), day: Day, by: Type.Optional(Type.Enum([...RISK_MEASURES], { description: "amount unless told" })), limit: PAGE.limit,
  }, closed),
  yes: { found: TopOut }, no: ["run_unknown"],
})

export type TopRiskAsk = AskOf<typeof topRisk>

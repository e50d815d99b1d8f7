// rate_uplift: savings of the order's size earn a higher rate for some days; what that is worth is what it costs.

import { Type } from "typebox"
import { benefit } from "../benefit.ts"
import { sumAt } from "../cart.ts"
import { kind } from "../kind.ts"
import { mulDivHalfUp } from "../money.ts"
import { Amount, Days, PercentBp } from "./terms.ts"

/** Basis points of a year of 365 days. */
const YEAR_BP = 10000 * 365

export const rateUplift = kind({
  name: "rate_uplift",
  phase: "finance",
  items_only: true,
  takes_nothing: true,
  terms: Type.Object(
    {
      rate_bp: PercentBp,
      days: Type.Integer({ ...Days, description: "1 to 3650; rate_bp times days is at most 3650000, a year at 100 %: no uplift earns more than the amount itself" }),
      principal_cap_minor: Amount,
    },
    { additionalProperties: false },
  ),
  faults: ({ rate_bp, days }) => (rate_bp * days > YEAR_BP ? [{ field: "days", says: "at this rate earn more than the amount itself" }] : []),
  rate: ({ rate_bp, days }) => ({ share: (rate_bp * days) / YEAR_BP, oddMinor: 1 }),
  boundMinor: ({ rate_bp, days, principal_cap_minor }) => mulDivHalfUp(principal_cap_minor, rate_bp * days, YEAR_BP),
  act:
    ({ rate_bp, days, principal_cap_minor }) =>
    ({ cart, lines }) =>
      benefit(cart, mulDivHalfUp(Math.min(sumAt(cart.left, lines), principal_cap_minor), rate_bp * days, YEAR_BP)),
})

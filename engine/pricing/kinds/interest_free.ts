// interest_free: the order is paid in instalments and the house bears the interest.
//
// What must stay true: the principal parts sum to what the eligible lines cost after all discounts; the schedule is
// what the customer would have paid interest on, and its interest is what the budgets bear.

import { Type } from "typebox"
import { benefit } from "../benefit.ts"
import { sumAt } from "../cart.ts"
import { kind } from "../kind.ts"
import { MONEY_MAX, mulDivHalfUp } from "../money.ts"
import type { Instalment } from "../types.ts"
import { PercentBp } from "./terms.ts"

/** The most instalments: thirty years of months. */
export const PERIODS_MAX = 360

export const interestFree = kind({
  name: "interest_free",
  phase: "finance",
  items_only: true,
  takes_nothing: true,
  terms: Type.Object(
    {
      periods: Type.Integer({ minimum: 1, maximum: PERIODS_MAX }),
      rate_bp: PercentBp,
      interest: Type.Optional(Type.Enum(["flat", "declining"])),
    },
    { additionalProperties: false },
  ),
  // Declining interest is less.
  rate: ({ periods, rate_bp }) => ({ share: (periods * rate_bp) / 10000, oddMinor: periods }),
  boundMinor: () => undefined,
  lacks: ({ periods }) => ({ cart }) => (cart.sheet.order.instalments === periods ? undefined : "beyond_help"),
  act:
    ({ periods, rate_bp, interest = "flat" }) =>
    ({ cart, lines }) => {
      if (cart.sheet.order.instalments !== periods) return undefined
      const principal = sumAt(cart.left, lines)
      const each = Math.floor(principal / periods)
      const longer = principal - each * periods
      const schedule: Instalment[] = []
      let balance = principal
      let borne = 0
      for (let period = 1; period <= periods; period++) {
        const principal_minor = each + (period <= longer ? 1 : 0)
        const interest_minor = mulDivHalfUp(interest === "flat" ? principal : balance, rate_bp, 10000)
        schedule.push({ period, principal_minor, interest_minor })
        balance -= principal_minor
        borne += interest_minor
      }
      // More than money can be counted in is not borne.
      return borne > MONEY_MAX ? undefined : benefit(cart, borne, { schedule })
    },
})

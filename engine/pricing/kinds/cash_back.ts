// cash_back: a share of what the eligible lines cost after all discounts comes back, `days` after the confirm.

import { Type } from "typebox"
import { benefit } from "../benefit.ts"
import { sumAt } from "../cart.ts"
import { kind } from "../kind.ts"
import { mulDivHalfUp } from "../money.ts"
import { Amount, Days, PercentBp } from "./terms.ts"

export const cashBack = kind({
  name: "cash_back",
  phase: "finance",
  items_only: true,
  takes_nothing: true,
  terms: Type.Object(
    { rate_bp: PercentBp, principal_cap_minor: Amount, days: Days },
    { additionalProperties: false },
  ),
  rate: ({ rate_bp }) => ({ share: rate_bp / 10000, oddMinor: 1 }),
  boundMinor: ({ rate_bp, principal_cap_minor }) => mulDivHalfUp(principal_cap_minor, rate_bp, 10000),
  act:
    ({ rate_bp, principal_cap_minor }) =>
    ({ cart, lines }) =>
      benefit(cart, mulDivHalfUp(Math.min(sumAt(cart.left, lines), principal_cap_minor), rate_bp, 10000)),
})

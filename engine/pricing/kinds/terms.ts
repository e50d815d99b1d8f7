// Pieces of terms that several kinds share, as schemas.

import { Type } from "typebox"
import { MONEY_MAX } from "../money.ts"

/** The most names in one list of a campaign. */
export const NAMES_MAX = 1000

/** An amount of money that is something. */
export const Amount = Type.Integer({ minimum: 1, maximum: MONEY_MAX })

/** An amount of money that may be nothing. */
export const AmountOrZero = Type.Integer({ minimum: 0, maximum: MONEY_MAX })

/** A share in basis points: 1 to 10000. */
export const PercentBp = Type.Integer({ minimum: 1, maximum: 10000 })

/** A count of units. */
export const Units = Type.Integer({ minimum: 1, maximum: MONEY_MAX })

/** Whether the cheapest or the dearest units are meant. */
export const Pick = Type.Enum(["cheapest", "dearest"])

/** A discount on chosen units: how many in all, how many of each line, and which. */
export const CHOICE = {
  max_units: Type.Optional(Units),
  max_units_per_line: Type.Optional(Units),
  pick: Type.Optional(Pick),
}

/** How a percentage or a price is meant. */
export const Per = Type.Enum(["order", "line", "unit"])

const Name = Type.String({ minLength: 1, maxLength: 128 })

/** A list of names: never empty, since an empty list would mean no line at all. */
export const Names = Type.Array(Name, { minItems: 1, maxItems: NAMES_MAX })

/** Which lines are meant. */
export const AppliesToSchema = Type.Object(
  {
    skus: Type.Optional(Names),
    categories: Type.Optional(Names),
    merchants: Type.Optional(Names),
    brands: Type.Optional(Names),
    not_skus: Type.Optional(Names),
    not_categories: Type.Optional(Names),
    not_merchants: Type.Optional(Names),
    not_brands: Type.Optional(Names),
  },
  { additionalProperties: false },
)

/** A span of days, up to ten years. */
export const Days = Type.Integer({ minimum: 1, maximum: 3650 })

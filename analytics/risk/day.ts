/**
 * A day's redemptions by key: what each sku, merchant, region, campaign and user took that day, in whole numbers.
 *
 * `lines` has one row for each line of a redemption that a campaign gave something to (kind 0, on the day of the confirm) and for each such
 * line that a refund touched (kind 1, on the day of the refund). So a day's figures are final once the day is closed, and a day's file is all
 * that a later day needs of it.
 */

export const DIMENSIONS = ["sku", "merchant", "region", "campaign", "user"] as const
export type Dimension = (typeof DIMENSIONS)[number]

/** The columns of `lines`, as they lie in the lake. A user is his made-up number, so that nobody's id is here. */
export const LINE_COLUMNS = {
  kind: "INTEGER", redemption: "BIGINT", user_no: "BIGINT", line: "BIGINT", sku: "VARCHAR", merchant: "VARCHAR", region: "VARCHAR", campaign: "VARCHAR", amount_minor: "BIGINT", price_minor: "BIGINT",
} as const

/** The columns of a day's figures. */
export const DAY_COLUMNS = {
  day: "VARCHAR", dimension: "VARCHAR", key: "VARCHAR", amount_minor: "BIGINT", price_minor: "BIGINT", count: "BIGINT", users: "BIGINT", refunds: "BIGINT", first_day_users: "BIGINT", velocity_max: "BIGINT",
} as const

const KEYS: Readonly<Record<Dimension, string>> = { sku: "sku", merchant: "merchant", region: "region", campaign: "campaign", user: "text_of(user_no)" }

/**
 * What each key of one dimension took. A line's price counts once for a key, however many campaigns took something off it; `firsts` has the
 * users whose first event fell on this day.
 */
const oneDimension = (dimension: Dimension, day: string, lines: string, firsts: string): string => {
  const key = KEYS[dimension]
  return `
  select '${day}' as day, '${dimension}' as dimension, taken.key as key, narrow(taken.amount_minor) as amount_minor, narrow(taken.price_minor) as price_minor, narrow(taken.count) as count,
    narrow(taken.users) as users, narrow(coalesce(given_back.refunds, 0)) as refunds, narrow(taken.first_day_users) as first_day_users, narrow(taken.velocity_max) as velocity_max
  from (
    select key, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor, sum(confirms) as count, count(*) as users, max(confirms) as velocity_max,
      sum(case when firsts.user_no is null then 0 else 1 end) as first_day_users
    from (
      select key, user_no, count(*) as confirms, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor
      from (
        select key, user_no, redemption, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor
        from (
          select ${key} as key, user_no, redemption, line, sum(amount_minor) as amount_minor, max(price_minor) as price_minor
          from ${lines} as lines where kind = 0 and ${key} is not null group by ${key}, user_no, redemption, line
        ) as by_line group by key, user_no, redemption
      ) as by_redemption group by key, user_no
    ) as by_user left join ${firsts} as firsts on firsts.user_no = by_user.user_no group by key
  ) as taken
  left join (
    select key, count(*) as refunds from (select ${key} as key, redemption from ${lines} as lines where kind = 1 and ${key} is not null group by ${key}, redemption) as refunded group by key
  ) as given_back on given_back.key = taken.key`
}

/** A day's figures in every dimension. */
export const dayFigures = (day: string, lines: string, firsts: string): string => DIMENSIONS.map((dimension) => oneDimension(dimension, day, lines, firsts)).join("\n  union all\n")

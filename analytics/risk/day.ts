/**
 * A day's redemptions by key: what each sku, merchant, region, campaign and user took that day, in whole numbers.
 *
 * `lines` has one row for each line of a redemption that a campaign gave something to, for its shipping and for what it was given beside its price (kind 0,
 * on the day of the confirm), and for each of them that a refund touched (kind 1, on the day of the refund). So a day's figures are final once the day is closed, and a day's file is all
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

const KEYS: Readonly<Record<Dimension, string>> = { sku: "sku", merchant: "merchant", region: "region", campaign: "campaign", user: "user_no" }

/** How often each user redeemed something of a key, and what he was given: from a relation with a row for each line of it. */
const byUser = (key: string, lines: string): string => `
      select key, user_no, max(is_first) as is_first, count(*) as confirms, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor
      from (
        select ${key} as key, user_no, redemption, max(is_first) as is_first, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor
        from ${lines} as each_line where ${key} is not null group by ${key}, user_no, redemption
      ) as by_redemption_and_key group by key, user_no`

/** The same of what a redemption has one of: its region, its user. */
const byUserOnce = (key: string): string => `
      select ${key} as key, user_no, max(is_first) as is_first, count(*) as confirms, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor
      from by_redemption where ${key} is not null group by ${key}, user_no`

const USERS: Readonly<Record<Dimension, string>> = {
  sku: byUser("sku", "by_line"), merchant: byUser("merchant", "by_line"), region: byUserOnce("region"), campaign: byUser("campaign", "confirmed"), user: byUserOnce("user_no"),
}

/** What each key of one dimension took. */
const oneDimension = (dimension: Dimension, day: string): string => {
  const key = dimension === "user" ? "text_of(taken.key)" : "taken.key"
  return `
  select '${day}' as day, '${dimension}' as dimension, ${key} as key, narrow(taken.amount_minor) as amount_minor, narrow(taken.price_minor) as price_minor, narrow(taken.count) as count,
    narrow(taken.users) as users, narrow(coalesce(given_back.refunds, 0)) as refunds, narrow(taken.first_day_users) as first_day_users, narrow(taken.velocity_max) as velocity_max
  from (
    select key, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor, sum(confirms) as count, count(*) as users, max(confirms) as velocity_max, sum(is_first) as first_day_users
    from (${USERS[dimension]}
    ) as by_user group by key
  ) as taken
  left join (
    select key, count(*) as refunds from (select ${KEYS[dimension]} as key, redemption from refunded where ${KEYS[dimension]} is not null group by ${KEYS[dimension]}, redemption) as refunds_of group by key
  ) as given_back on given_back.key = taken.key`
}

/**
 * A day's figures in every dimension. A line's price counts once for a key, however many campaigns took something off it; `firsts` has the
 * users whose first event fell on this day.
 *
 * A line has one sku and one merchant, and a redemption one region and one user, so that these are counted from lines and redemptions that were
 * put together once; only by campaign every row is asked.
 */
export const dayFigures = (day: string, lines: string, firsts: string): string => `
  with confirmed as (
    select lines.redemption as redemption, lines.line as line, lines.user_no as user_no, lines.sku as sku, lines.merchant as merchant, lines.region as region, lines.campaign as campaign,
      lines.amount_minor as amount_minor, lines.price_minor as price_minor, case when firsts.user_no is null then 0 else 1 end as is_first
    from ${lines} as lines left join ${firsts} as firsts on firsts.user_no = lines.user_no where lines.kind = 0
  ),
  refunded as (select redemption, user_no, sku, merchant, region, campaign from ${lines} as lines where kind = 1),
  by_line as (
    select redemption, line, max(user_no) as user_no, max(is_first) as is_first, max(sku) as sku, max(merchant) as merchant, max(region) as region, sum(amount_minor) as amount_minor, max(price_minor) as price_minor
    from confirmed group by redemption, line
  ),
  by_redemption as (
    select redemption, max(user_no) as user_no, max(is_first) as is_first, max(region) as region, sum(amount_minor) as amount_minor, sum(price_minor) as price_minor from by_line group by redemption
  )
  ${DIMENSIONS.map((dimension) => oneDimension(dimension, day)).join("\n  union all\n")}`

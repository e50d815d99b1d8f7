/**
 * A day's keys against their own past: z, support and concentration, in whole numbers.
 *
 * The past are the 56 days before; a day without a row counts as 0. Medians are lower ones: of 56 values the 28th. Every value is 0 or more, so
 * the days without a row stand first in the order and none of them has to be made up: they are a weight. z is kept in ten-thousandths.
 */
import type { Engine } from "../dialects/dialect.ts"

export const PAST_DAYS = 56
/** The place of the lower median. */
const MIDDLE = PAST_DAYS / 2
/** A key is compared with its past once its first row is so many days old, and it has been redeemed so often. */
export const FIRST_ROW_DAYS_MIN = 28
export const REDEMPTIONS_MIN = 20
/** 0.6745 in ten-thousandths, and z too: 0.6745 × 10,000. */
const NORMAL_E4 = 6_745

/** What keys are ranked by, each with its value of a day. */
export const MEASURES = { amount: "amount_minor", count: "count", users: "users", refund_rate: "refund_rate_bp", depth: "depth_bp" } as const
export type Measure = keyof typeof MEASURES
const measures = Object.entries(MEASURES) as [Measure, string][]

/** Days' values of what keys are ranked by. */
const measured = (days: string): string =>
  `select dimension, key, amount_minor, count, users, coalesce(share_bp(refunds, count), 0) as refund_rate_bp, coalesce(share_bp(amount_minor, price_minor), 0) as depth_bp from ${days} as days`

/** Days' figures with their shares. */
const shared = (days: string): string =>
  `select *, coalesce(share_bp(refunds, count), 0) as refund_rate_bp, coalesce(share_bp(amount_minor, price_minor), 0) as depth_bp, share_bp(first_day_users, users) as first_day_users_bp from ${days} as days`

/** A query whose rows are kept under a name, for those that follow. */
interface Step { readonly table: string; readonly select: string }

/**
 * What leads to a table `risk`, each key of the day with its figures, and z and support by each measure, and to `concentration`. `days` has the
 * day's and the past days' figures; `first_wanted` is the day from which on a first row is too young.
 */
const stepsOf = (day: string, first_wanted: string, days: string): Step[] => [
  { table: "today", select: shared(`(select * from ${days} as d where day = '${day}')`) },
  // Most keys of the past were not redeemed today: what follows looks at the others' rows alone.
  { table: "mine", select: `
    select d.day as day, d.dimension as dimension, d.key as key, d.amount_minor as amount_minor, d.price_minor as price_minor, d.count as count, d.users as users, d.refunds as refunds
    from ${days} as d join today on today.dimension = d.dimension and today.key = d.key` },
  { table: "seen", select: `
    select dimension, key, min(day) as first_day, sum(count) as redemptions, sum(case when day = '${day}' then 0 else 1 end) as rows_there from mine group by dimension, key` },
  // With 28 empty days or more the median and the MAD are 0, whatever the others are: only the others' past is looked at. Each key's values of a
  // measure in their order, once: from them its median, and from both its MAD. An empty day is as far from the median as the median is from 0: so
  // many distances more, which are known.
  { table: "spreads", select: `
    select dimension, key, ${measures.map(([measure]) => `${measure}_median, case when nth_of(${measure}_away, ${MIDDLE}) <= ${measure}_median then nth_of(${measure}_away, ${MIDDLE})
      when nth_of(${measure}_away, rows_there - ${PAST_DAYS - MIDDLE}) > ${measure}_median then nth_of(${measure}_away, rows_there - ${PAST_DAYS - MIDDLE}) else ${measure}_median end as ${measure}_mad`).join(", ")}
    from (
      select dimension, key, rows_there, ${measures.map(([measure]) => `${measure}_median, deviations(${measure}_values, ${measure}_median) as ${measure}_away`).join(", ")}
      from (
        select *, ${measures.map(([measure]) => `nth_of(${measure}_values, ${MIDDLE - PAST_DAYS} + rows_there) as ${measure}_median`).join(", ")}
        from (
          select dimension, key, narrow(count(*)) as rows_there, ${measures.map(([measure, value]) => `sorted_values(${value}) as ${measure}_values`).join(", ")}
          from (${measured(`(select d.* from mine as d join seen on seen.dimension = d.dimension and seen.key = d.key where d.day <> '${day}' and seen.rows_there > ${PAST_DAYS - MIDDLE})`)}) as past group by dimension, key
        ) as ordered
      ) as middles
    ) as distances` },
  { table: "risk", select: `
    select today.dimension as dimension, today.key as key, today.amount_minor, today.count, today.users, today.refund_rate_bp, today.first_day_users_bp, today.velocity_max, today.depth_bp,
      ${measures.map(([measure, value]) => `
      case when is_thin = 1 then null else ratio_rounded(${NORMAL_E4} * wide(today.${value} - ${measure}_median), ${measure}_mad) end as z_${measure}_e4,
      case when is_thin = 1 then 'thin' when coalesce(${measure}_mad, 0) = 0 then 'flat' else 'ok' end as support_${measure}`).join(",")}
    from (
      select today.*, case when seen.first_day > '${first_wanted}' or seen.redemptions < ${REDEMPTIONS_MIN} then 1 else 0 end as is_thin
      from today join seen on seen.dimension = today.dimension and seen.key = today.key
    ) as today
    left join spreads on spreads.dimension = today.dimension and spreads.key = today.key` },
  { table: "concentration", select: `
    select dimension, narrow(sum(amount_minor)) as amount_minor, narrow(count(*)) as keys,
      share_bp(sum(case when nth = 1 then amount_minor else 0 end), sum(amount_minor)) as share_top1_bp, share_bp(sum(case when nth <= 10 then amount_minor else 0 end), sum(amount_minor)) as share_top10_bp,
      share_bp(sum(square(amount_minor)), square(sum(amount_minor))) as hhi_bp
    from (select *, row_number() over (partition by dimension order by amount_minor desc) as nth from today) as ranked group by dimension` },
]

/** Leave the tables `risk` and `concentration` of a day. */
export const scoreDay = async (engine: Engine, day: string, first_wanted: string, days: string): Promise<void> => {
  for (const { table, select } of stepsOf(day, first_wanted, days)) await engine.run(engine.dialect.keep(table, select))
}

export const RISK_KEY = ["dimension", "key"] as const

-- What differs between a closed month's books as they are booked and as its sources have them now.
--
-- `classified` and `sums` are of that month, computed now; `booked_keys` are its published keys, `booked_adjustments` what closed months since have
-- adjusted, of this month and of others. $of_period, $until_ms (the end of the month that adjusts) are put in by the job.

create table booked as
select order_id, coupon_id, budget_id, sum(budget_minor)::bigint as b, sum(redeemed_minor)::bigint as r, sum(ordered_minor)::bigint as o,
  sum(break_minor)::bigint as break_minor, sum(carried_minor)::bigint as carried_minor
from (
  select order_id, coupon_id, budget_id, budget_minor, redeemed_minor, ordered_minor, break_minor, carried_minor from booked_keys
  union all
  select order_id, coupon_id, budget_id, budget_minor, redeemed_minor, ordered_minor, break_minor - resolved_minor as break_minor, carried_minor from booked_adjustments where of_period = '$of_period'
) as both_of
group by order_id, coupon_id, budget_id;

-- A break that is smaller than it was booked is resolved by so much, and one that is larger is a break of the rest.
create table changed as
select coalesce(c.order_id, t.order_id) as order_id, coalesce(c.coupon_id, t.coupon_id) as coupon_id, coalesce(c.budget_id, t.budget_id) as budget_id,
  coalesce(c.class, 'matched') as class, c.side,
  coalesce(c.budget_minor, 0) - coalesce(t.b, 0) as budget_minor, coalesce(c.redeemed_minor, 0) - coalesce(t.r, 0) as redeemed_minor, coalesce(c.ordered_minor, 0) - coalesce(t.o, 0) as ordered_minor,
  coalesce(c.break_minor, 0) - coalesce(t.break_minor, 0) as break_change, coalesce(c.carried_minor, 0) - coalesce(t.carried_minor, 0) as carried_minor,
  case when s.first_ms is null then 0 else ($until_ms - s.first_ms) // 86400000 end as age_days
from classified c
full join booked t on t.order_id = c.order_id and t.coupon_id = c.coupon_id and t.budget_id = c.budget_id
left join sums s on s.order_id = c.order_id and s.coupon_id = c.coupon_id and s.budget_id = c.budget_id;

insert into main.adjusted
select '$of_period', order_id, coupon_id, budget_id, class, side, budget_minor, redeemed_minor, ordered_minor,
  case when break_change > 0 then break_change else 0 end, case when break_change < 0 then -break_change else 0 end, carried_minor, age_days
from changed
where budget_minor <> 0 or redeemed_minor <> 0 or ordered_minor <> 0 or break_change <> 0 or carried_minor <> 0;

-- What each key is: the first class that holds.
--
-- `entries` has source, order_id, coupon_id, budget_id, amount_minor and at_ms, of the period and of what may lie `timing_ms` around it. Whole
-- numbers only: no cast, no division, no rounding. $opens_ms, $closes_ms and $timing_ms are put in by the job.

-- 1. Budget (b), redemption (r) and order (o) of the period, by key.
create table sums as
select order_id, coupon_id, budget_id,
  sum(case when source = 'budget' then amount_minor else 0 end)::bigint as b,
  sum(case when source = 'redemption' then amount_minor else 0 end)::bigint as r,
  sum(case when source = 'order' then amount_minor else 0 end)::bigint as o,
  count(*) filter (where source = 'redemption' and amount_minor < 0) as taken_back,
  count(*) filter (where source = 'redemption' and amount_minor > 0) as redeemed,
  min(at_ms) as first_ms, max(case when source = 'redemption' then at_ms end) as redeemed_ms
from entries where at_ms >= $opens_ms and at_ms < $closes_ms
group by order_id, coupon_id, budget_id;

-- 2. Keys whose order is booked on the other side of the period's edge: near in time, and of the same amount.
create table carried as
select s.order_id, s.coupon_id, s.budget_id
from sums s join entries e on e.order_id = s.order_id and e.coupon_id = s.coupon_id and e.budget_id = s.budget_id
where s.b = s.r and s.r <> 0 and s.o = 0 and e.source = 'order'
  and (e.at_ms < $opens_ms or e.at_ms >= $closes_ms)
  and e.at_ms >= s.redeemed_ms - $timing_ms and e.at_ms <= s.redeemed_ms + $timing_ms
group by s.order_id, s.coupon_id, s.budget_id, s.r
having sum(case when e.at_ms < $opens_ms then e.amount_minor else 0 end) = s.r
  or sum(case when e.at_ms >= $closes_ms then e.amount_minor else 0 end) = s.r;

-- 3. The class, and what it leaves open.
create view classified as
select order_id, coupon_id, budget_id, class,
  case when class <> 'amount_mismatch' then null when r = o then 'budget' when b = r then 'order' when b = o then 'redemption' else 'all' end as side,
  b as budget_minor, r as redeemed_minor, o as ordered_minor,
  case when class in ('matched', 'timing') then 0 when abs(b - r) > abs(r - o) then abs(b - r) else abs(r - o) end as break_minor,
  case when class = 'timing' then r - o else 0 end as carried_minor,
  ($closes_ms - first_ms) // 86400000 as age_days
from (
  select s.*, case
    when s.b = s.r and s.r <> 0 and s.o = 0 and c.order_id is not null then 'timing'
    when s.taken_back > 0 and s.r = 0 and s.o > 0 then 'reversed_but_order_kept'
    when s.redeemed >= 2 and s.r > s.o then 'duplicate_redemption'
    when s.o <> 0 and s.b = 0 and s.r = 0 then 'orphan_order_discount'
    when s.b <> 0 and s.r = 0 and s.o = 0 then 'budget_only'
    when s.r <> 0 and s.o = 0 then 'missing_in_orders'
    when s.r <> 0 and s.b = 0 then 'missing_in_budget'
    when s.b <> s.r or s.r <> s.o then 'amount_mismatch'
    else 'matched' end as class
  from sums s left join carried c on c.order_id = s.order_id and c.coupon_id = s.coupon_id and c.budget_id = s.budget_id
);

-- Our own books as entries, from the events of the lake and the ledger's moves in them.
--
-- `events` reaches back further than the period, because a redemption's facts stand with its reserve. `budgets` has budget_no, budget_id,
-- line and party. $opens_ms and $closes_ms are put in by the job.

create table settled as
select cell, epoch, n, act, at_ms, ref, moves, payload from events
where act in ('confirmed', 'refunded') and at_ms >= $opens_ms and at_ms < $closes_ms;

-- The reserve of each redemption that was settled: the last one before it, because an id may be reserved again after it was given back.
create table reserves as
select s.cell, s.epoch, s.n, arg_max(e.payload, e.n + e.epoch * 1000000000000) as payload
from settled s join events e on e.ref = s.ref and e.act = 'reserved' and e.cell = s.cell and (e.epoch < s.epoch or e.epoch = s.epoch and e.n < s.n)
group by s.cell, s.epoch, s.n;

-- One row for each coupon of a settled redemption that somebody pays for; a refund takes back.
create table redeemed_coupons as
select s.cell, s.epoch, s.n, s.act, s.at_ms, r.payload->>'order_id' as order_id, r.payload->'order' as cart, r.payload->>'$.order.channel' as channel,
  coupon.value->>'coupon_id' as coupon_id, coupon.value->>'campaign_id' as campaign_id, coupon.value as coupon,
  case when s.act = 'refunded' then -1 else 1 end as sign, s.payload as own_payload
from settled s join reserves r on r.cell = s.cell and r.epoch = s.epoch and r.n = s.n,
  json_each(case when s.act = 'refunded' then s.payload else r.payload end, '$.applied') coupon;

create table redeemed as
select c.cell, c.epoch, c.n, c.act, c.at_ms, c.order_id, c.coupon_id, c.campaign_id, c.channel, payer.value->>'budget_id' as budget_id,
  c.sign * (payer.value->>'amount_minor')::bigint as amount_minor
from redeemed_coupons c, json_each(c.coupon, '$.funding') payer;

-- What the ledger says that budgets were debited, by redemption and budget.
create table debited as
select s.cell, s.epoch, s.n, s.at_ms, b.budget_id, sum((move.value->>3)::bigint)::bigint as amount_minor
from settled s, json_each(s.moves) move join budgets b on ('b' || b.budget_no) = (move.value->>0)
group by s.cell, s.epoch, s.n, s.at_ms, b.budget_id
having sum((move.value->>3)::bigint) <> 0;

-- The ledger knows budgets and not coupons: of a budget that several coupons of one redemption draw on, each coupon has what the redemption
-- says, and what the ledger has beyond that is the first one's.
create table debited_coupons as
with shared as (
  select d.cell, d.epoch, d.n, d.at_ms, d.budget_id, d.amount_minor as ledger_minor, r.order_id, r.coupon_id, r.amount_minor,
    sum(r.amount_minor) over w as told_minor, row_number() over (partition by d.cell, d.epoch, d.n, d.budget_id order by r.coupon_id) as place
  from debited d left join redeemed r on r.cell = d.cell and r.epoch = d.epoch and r.n = d.n and r.budget_id = d.budget_id
  window w as (partition by d.cell, d.epoch, d.n, d.budget_id)
)
select cell, epoch, n, at_ms, budget_id, order_id, coupon_id,
  coalesce(amount_minor, 0) + case when place = 1 then ledger_minor - coalesce(told_minor, 0)::bigint else 0 end as amount_minor
from shared;

-- The same by merchant: a coupon's money over the lines that it was taken off (of a refund, those that came back), the cents by the running
-- sum, so that the parts come to the whole.
create table redeemed_merchants as
with lines as (
  select c.cell, c.epoch, c.n, c.coupon_id, coalesce((bought.value->>'merchant_id'), '') as merchant_id, off.value->>'line_id' as line_id,
    (off.value->>'discount_minor')::hugeint as weight
  from redeemed_coupons c join reserves r on r.cell = c.cell and r.epoch = c.epoch and r.n = c.n,
    json_each(r.payload, '$.applied') applied, json_each(applied.value, '$.lines') off, json_each(c.cart, '$.lines') bought
  where (applied.value->>'coupon_id') = c.coupon_id and (bought.value->>'line_id') = (off.value->>'line_id')
    and (c.act <> 'refunded' or list_contains(json_extract_string(c.own_payload, '$.lines[*].line_id'), (off.value->>'line_id')))
), weighed as (
  select *, sum(weight) over w as until_here, sum(weight) over (partition by cell, epoch, n, coupon_id) as whole
  from lines window w as (partition by cell, epoch, n, coupon_id order by line_id)
), paid as (
  select cell, epoch, n, coupon_id, sum(amount_minor)::hugeint as amount from redeemed group by cell, epoch, n, coupon_id
)
select coalesce(w.merchant_id, '') as merchant_id,
  (case when w.whole is null or w.whole = 0 then p.amount else (p.amount * w.until_here) // w.whole - (p.amount * (w.until_here - w.weight)) // w.whole end)::bigint as amount_minor
from paid p left join weighed w on w.cell = p.cell and w.epoch = p.epoch and w.n = p.n and w.coupon_id = p.coupon_id and w.whole > 0;

create view own_entries as
select 'redemption' as source, coalesce(order_id, '') as order_id, coalesce(coupon_id, '') as coupon_id, coalesce(budget_id, '') as budget_id, amount_minor, at_ms from redeemed where amount_minor <> 0
union all
select 'budget', coalesce(order_id, ''), coalesce(coupon_id, ''), budget_id, amount_minor, at_ms from debited_coupons where amount_minor <> 0;

-- Who bears the cost, each way to ask summing to what was redeemed.
create view own_allocation as
select 'budget' as dimension, coalesce(budget_id, '') as key, amount_minor from redeemed
union all select 'line', coalesce(b.line, ''), r.amount_minor from redeemed r left join budgets b on b.budget_id = r.budget_id
union all select 'campaign', coalesce(campaign_id, ''), amount_minor from redeemed
union all select 'channel', coalesce(channel, ''), amount_minor from redeemed
union all select 'merchant', merchant_id, amount_minor from redeemed_merchants;

-- Hold coupons and their money for an order, all or nothing.
--
-- `coupons` is [[field, campaign, version, discount, at_issue, [[budget, amount]...]]...]; for a coupon whose money was held at
-- issue the budgets are those of its own holds, in the same order of funding. Another hold of the same order gives way in
-- this call; a refusal leaves it as it was. One coupon, no older hold: seven calls.
--
-- A price that was promised at `signed_ms` (0: none was) holds although the campaign has another version since, or its end or the
-- coupon's has come; pause, stop, coupons that are not free, and money refuse it as any other. Where the money held at issue went back
-- with the coupon's end, the promise is paid by budgets, so such a coupon comes with `at_issue` 0.

local asked, fields, names = asked_coupons(coupons)
local book = open_book(quota, names, now_ms)
if not book then return { GATE_CLOSED } end

local mark, order_mark = "r" .. redemption, "o" .. order
local found = redis.call("HMGET", wallet, mark, order_mark, unpack(fields))
if found[1] and is_new == 0 then return { REPEATED } end
if book.cell.full == 1 then return { JOURNAL_FULL } end

local held_coupons = {}
for i = 1, #fields do
  if found[i + 2] then held_coupons[fields[i]] = unpack_coupon(found[i + 2]) end
end

-- The order's older hold, if it still stands, is given back in memory first, so that its coupons and money count as free.
local older_id, older = found[2], nil
if older_id then
  local head = redis.call("HGET", open, older_id)
  if head then
    older = unpack_redemption(head)
  else
    local place = redis.call("HGET", wallet, "r" .. older_id)
    if place and string.sub(place, 1, 1) == "c" then return { REDEMPTION_CONFIRMED } end
  end
end
if older then
  for field, coupon in pairs(coupons_of(wallet, older)) do held_coupons[field] = coupon end
  read_quotas(book, quotas_of(older))
  release(book, older, held_coupons)
  older.state = older.expires_ms <= book.at_ms and REDEMPTION.expired or REDEMPTION.cancelled
  older.since_ms = book.at_ms
  older.revision = older.revision + 1
end

local at_ms = book.at_ms
local is_signed = signed_ms > 0
local judged_ms = is_signed and signed_ms or at_ms
for i = 1, #asked do
  local field, campaign, _, at_issue, _, version = unpack(asked[i])
  local coupon, terms = held_coupons[field], campaign_of(book, campaign)
  if not coupon or not terms then return { COUPON_UNKNOWN, field } end
  local state, campaign_state = coupon.state, terms.state
  if state == COUPON.reserved then return { COUPON_RESERVED, field } end
  if state == COUPON.redeemed then return { COUPON_REDEEMED, field } end
  if state == COUPON.revoked then return { COUPON_REVOKED, field } end
  local has_ended = state == COUPON.ended and not (is_signed and at_issue == 0)
  if has_ended or coupon.ends_at_ms <= judged_ms then return { COUPON_ENDED, field, coupon.ends_at_ms } end
  if campaign_state == CAMPAIGN.stopped then return { CAMPAIGN_STOPPED, field } end
  if campaign_state == CAMPAIGN.paused then return { CAMPAIGN_PAUSED, field } end
  if terms.version ~= version and not is_signed then return { CAMPAIGN_CHANGED, field, terms.version } end
end

-- Every coupon is free to use: only now the money, coupon by coupon.
for i = 1, #asked do
  local field, campaign, _, at_issue, shares = unpack(asked[i])
  local coupon, terms = held_coupons[field], campaign_of(book, campaign)
  if coupon.state == COUPON.reserved then return { COUPON_RESERVED, field } end -- named twice

  for j = 1, #shares do
    local share = shares[j]
    if at_issue == 1 then
      local hold = coupon.holds and coupon.holds[j]
      if not hold or hold[2] < share[3] then error("argument coupons spends more than was held at issue") end
      share[1], share[2] = hold[1], hold[2]
      move_idle(book, campaign, hold[1], -hold[2])
    else
      local budget_no, amount_minor = share[1], share[2]
      local budget = budget_of(book, budget_no)
      if not budget then return { BUDGET_EXHAUSTED, field, budget_no, amount_minor, 0 } end
      if at_ms < budget.opens_ms or at_ms >= budget.closes_ms then return { BUDGET_NOT_OPEN, field, budget_no } end
      if available(budget) < amount_minor then
        return { BUDGET_EXHAUSTED, field, budget_no, amount_minor - available(budget), left_of(budget) }
      end
      move_budget(budget, amount_minor, 0)
    end
  end
  move_campaign(terms, 0, 0, 1, 0)
  coupon.state, coupon.redemption, coupon.since_ms = COUPON.reserved, redemption, at_ms
end
local expires_ms = at_ms + hold_ms
local expires = digits(expires_ms)

-- Below this line nothing may refuse: the entry, the book, the coupons with the order's marks, the record,
-- its deadline. A user with a coupon has a deadline of his own since its issue; one without gets the day on which his marks may be
-- forgotten.
local act = new_act()
for field, coupon in pairs(held_coupons) do put_coupon(act, field, coupon) end
local kept = put_redemption(act, redemption, {
  body = body,
  format = FORMAT, state = REDEMPTION.reserved, order = order, fingerprint = fingerprint, reserved_ms = at_ms, expires_ms = expires_ms,
  since_ms = at_ms, revision = 0, coupons = asked,
}, body)
local older_kept = older and put_redemption(act, older_id, older, "")
write_act(journal, book, ACT.reserved, user, act, payload)
redis.call("HSET", wallet, mark, "o", order_mark, redemption, coupon_fields(act))
if older then
  redis.call("HSET", wallet, "r" .. older_id, settled_mark(older, hour))
  redis.call("HDEL", open, older_id)
  redis.call("HSET", settled, older_id, older_kept)
  redis.call("ZREM", due, "r" .. user .. older_id)
end
redis.call("HSET", open, redemption, kept)
redis.call("ZADD", due, expires, "r" .. user .. redemption)
if #asked == 0 then redis.call("ZADD", due, "LT", digits(at_ms + remember_ms), "u" .. user) end
return { RESERVED, at_ms, expires }

-- Hold coupons and their money for an order, all or nothing.
--
-- `coupons` is [[field, campaign, version, discount, at_issue, [[budget, amount]...]]...]; for a coupon whose money was held at
-- issue the budgets are those of its own holds, in the same order of funding. Another hold of the same order gives way in
-- this call; a refusal leaves it as it was. One coupon, no older hold: seven calls.

local names = {}
for _, asked in ipairs(coupons) do
  local _, campaign, _, discount_minor, at_issue, shares = unpack(asked)
  if not is_whole(discount_minor) then error("argument coupons is not money") end
  names[#names + 1] = campaign_name(campaign)
  for _, share in ipairs(shares) do
    if not is_whole(share[2]) then error("argument coupons is not money") end
    if at_issue == 0 then names[#names + 1] = budget_name(share[1]) end
  end
end
local book = open_book(quota, names, now_ms)
if not book then return { GATE_CLOSED } end

local fields = { "r" .. redemption, "o" .. order }
for _, asked in ipairs(coupons) do fields[#fields + 1] = asked[1] end
local found = redis.call("HMGET", wallet, unpack(fields))
if found[1] and is_new == 0 then return { REPEATED } end
if book.cell.full == 1 then return { JOURNAL_FULL } end

local held_coupons = {}
for i, asked in ipairs(coupons) do
  if found[i + 2] then held_coupons[asked[1]] = unpack_coupon(found[i + 2]) end
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

local head = {
  format = FORMAT, state = REDEMPTION.reserved, order = order, fingerprint = fingerprint, reserved_ms = book.at_ms,
  expires_ms = book.at_ms + hold_ms, since_ms = book.at_ms, revision = 0, coupons = {},
}
for _, asked in ipairs(coupons) do
  local field, campaign, version, discount_minor, at_issue, shares = unpack(asked)
  local coupon, terms = held_coupons[field], book.records[campaign_name(campaign)]
  if not coupon or not terms then return { COUPON_UNKNOWN, field } end
  if coupon.state == COUPON.reserved then return { COUPON_RESERVED, field } end
  if coupon.state == COUPON.redeemed then return { COUPON_REDEEMED, field } end
  if coupon.state == COUPON.revoked then return { COUPON_REVOKED, field } end
  if coupon.state == COUPON.ended or coupon.ends_at_ms <= book.at_ms then return { COUPON_ENDED, field, coupon.ends_at_ms } end
  if terms.state == CAMPAIGN.stopped then return { CAMPAIGN_STOPPED, field } end
  if terms.state == CAMPAIGN.paused then return { CAMPAIGN_PAUSED, field } end
  if terms.version ~= version then return { CAMPAIGN_CHANGED, field, terms.version } end

  local taken = {}
  if at_issue == 1 then
    for i, share in ipairs(shares) do
      local hold = coupon.holds and coupon.holds[i]
      if not hold or hold[2] < share[2] then error("argument coupons spends more than was held at issue") end
      taken[i] = { hold[1], hold[2], share[2], 0 }
      move_idle(book, campaign, hold[1], -hold[2])
    end
  else
    for i, share in ipairs(shares) do
      local budget_no, amount_minor = unpack(share)
      local budget = book.records[budget_name(budget_no)]
      if not budget then return { BUDGET_EXHAUSTED, field, budget_no, amount_minor } end
      if book.at_ms < budget.opens_ms or book.at_ms >= budget.closes_ms then return { BUDGET_NOT_OPEN, field, budget_no } end
      if available(budget) < amount_minor then
        return { BUDGET_EXHAUSTED, field, budget_no, amount_minor - available(budget) }
      end
      move_budget(book, budget_no, amount_minor, 0)
      taken[i] = { budget_no, amount_minor, amount_minor, 0 }
    end
  end
  move_campaign(book, campaign, 0, 0, 1, 0)
  coupon.state, coupon.redemption, coupon.since_ms = COUPON.reserved, redemption, book.at_ms
  head.coupons[#head.coupons + 1] = { field, campaign, discount_minor, at_issue, taken }
end

-- Below this line nothing may refuse: the entry, the book, the coupons with the order's marks, the record,
-- its deadline. A user with a coupon has a deadline of his own since its issue; one without gets the day on which his marks may be
-- forgotten.
local act = new_act()
put_field(act, "r" .. redemption, "o")
put_field(act, "o" .. order, redemption)
for field, coupon in pairs(held_coupons) do put_coupon(act, field, coupon) end
local packed = put_redemption(act, redemption, head, body)
local older_packed
if older then
  older_packed = put_redemption(act, older_id, older, "")
  put_field(act, "r" .. older_id, settled_mark(older, hour))
end
write_act(journal, book, ACT.reserved, user, act, payload)
redis.call("HSET", wallet, unpack(act.fields))
if older then
  local older_body = redis.call("HGET", open, older_id .. ".body")
  redis.call("HDEL", open, older_id, older_id .. ".body")
  redis.call("HSET", settled, older_id, older_packed, older_id .. ".body", older_body)
  redis.call("ZREM", due, "r" .. user .. older_id)
end
redis.call("HSET", open, redemption, packed, redemption .. ".body", body)
redis.call("ZADD", due, head.expires_ms, "r" .. user .. redemption)
if #head.coupons == 0 then redis.call("ZADD", due, "LT", book.at_ms + remember_ms, "u" .. user) end
return { RESERVED, book.at_ms, head.expires_ms }

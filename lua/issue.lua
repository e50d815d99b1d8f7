-- Give one user one coupon of a campaign, or say exactly why not.
--
-- The checks stand in order of precedence, replay first; the hold-out is the last of all, so that only users who would
-- have got a coupon are compared. A refusal writes nothing, but for the first `held_out` of a user, which is journalled once.

local names = { campaign_name(campaign) }
for _, hold in ipairs(holds) do
  if not is_whole(hold[2]) then error("argument holds is not money") end
  names[#names + 1] = budget_name(hold[1])
end
local book = open_book(quota, names, now_ms)
if not book then return { GATE_CLOSED } end

local mark = "m" .. string.sub(field, 1, MARK_CHARS)
local found = redis.call("HMGET", wallet, field, mark, count_name(campaign), "c" .. claim)
if found[1] then
  local coupon = unpack_coupon(found[1])
  if coupon.fingerprint ~= fingerprint then return { REQUEST_CONFLICT } end
  return { REPLAYED, coupon.ends_at_ms }
end
-- A claim's coupon is named by the user's request alone: under another campaign it is the same request with another code.
if claim ~= "" then
  for _, other in ipairs(redis.call("HKEYS", wallet)) do
    if other ~= field and sub(other, 1, COUPON_HASH_CHARS) == sub(field, 1, COUPON_HASH_CHARS) then return { REQUEST_CONFLICT } end
  end
end
if found[2] and is_new == 0 then return { AGED } end
if found[4] then return { CLAIM_REFUSED } end -- the code of this claim is free again
if book.cell.full == 1 then return { JOURNAL_FULL } end

local terms = campaign_of(book, campaign)
if not terms then return { CAMPAIGN_UNKNOWN } end
if terms.state ~= CAMPAIGN.live then return { CAMPAIGN_NOT_LIVE, terms.state } end
if terms.version ~= version then return { CAMPAIGN_CHANGED, terms.version } end
if book.at_ms < terms.starts_ms then return { CAMPAIGN_NOT_STARTED, terms.starts_ms } end
if book.at_ms >= terms.ends_ms then return { CAMPAIGN_ENDED, terms.ends_ms } end

local count = tonumber(found[3] or "0") or 0
if count >= terms.per_user then return { USER_LIMIT_REACHED, terms.per_user } end
if stock_left(terms) < 1 then return { STOCK_EXHAUSTED } end
if is_unfunded == 1 then return { BUDGET_NOT_OPEN, 0 } end -- no budget of this month exists
for _, hold in ipairs(holds) do
  local budget = budget_of(book, hold[1])
  if not budget then return { BUDGET_EXHAUSTED, hold[1], hold[2], 0 } end
  if book.at_ms < budget.opens_ms or book.at_ms >= budget.closes_ms then return { BUDGET_NOT_OPEN, hold[1] } end
  if available(budget) < hold[2] then return { BUDGET_EXHAUSTED, hold[1], hold[2] - available(budget), left_of(budget) } end
end

if held_out == 1 then
  if found[3] ~= HELD_OUT_MARK then
    local act = new_act()
    put_count(act, campaign, HELD_OUT_MARK)
    write_act(journal, book, ACT.held_out, user, act, payload)
    redis.call("HSET", wallet, count_name(campaign), HELD_OUT_MARK)
    redis.call("ZADD", due, "LT", terms.ends_ms + age_ms, "u" .. user)
  end
  return { HELD_OUT }
end

local ends_at_ms = terms.ends_ms
if valid_ms > 0 and book.at_ms + valid_ms < ends_at_ms then ends_at_ms = book.at_ms + valid_ms end
local coupon = { state = COUPON.issued, ends_at_ms = ends_at_ms, fingerprint = fingerprint }
if #holds > 0 then coupon.holds = holds end
for _, hold in ipairs(holds) do
  move_budget(budget_of(book, hold[1]), hold[2], 0)
  move_idle(book, campaign, hold[1], hold[2])
end
move_campaign(terms, 1, 0, 0, 0)

-- Below this line nothing may refuse: the entry, the book, the coupon with the user's count, and the user's deadline.
local act = new_act()
local count_now = digits(count + 1)
local packed = put_coupon(act, field, coupon)
put_count(act, campaign, count_now)
write_act(journal, book, ACT.issued, user, act, payload)
redis.call("HSET", wallet, field, packed, count_name(campaign), count_now)
redis.call("ZADD", due, "LT", digits(coupon.holds and ends_at_ms or ends_at_ms + age_ms), "u" .. user)
return { ISSUED, ends_at_ms }

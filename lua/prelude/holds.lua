-- Holds: the coupons and the money of a redemption, taken, given back, or spent.

-- A coupon nobody can use any more: its end has passed, or its campaign was stopped.
local function is_over(coupon, campaign, at_ms)
  return coupon.ends_at_ms <= at_ms or campaign.state == CAMPAIGN.stopped
end

-- The coupons that a reserve asks for, as a redemption will hold them and with the version they were priced from behind, their fields and
-- the quotas they touch. Read by patterns, because cjson is 20,000 instructions for one coupon; what no pattern knows is not money.
local ONE_COUPON = '^%["([^"\\]*)",(%d+),(%d+),(%d+),([01]),(%b[])%][,%]]'
local BRACKET, BRACKET_END = 91, 93
local ONE_SHARE = "^%[(%d+),(%d+)%][,%]]"

local function not_money(text)
  list(text, "coupons")
  error("argument coupons is not money")
end

local function asked_shares(text, coupons)
  local shares, count, place = { nil }, 0, 2
  while place < #text do
    local _, last, budget, amount_minor = find(text, ONE_SHARE, place)
    if not last then not_money(coupons) end
    budget, amount_minor = SHORT[budget] or whole_in(budget), SHORT[amount_minor] or whole_in(amount_minor)
    if not budget or not amount_minor then not_money(coupons) end
    count, place = count + 1, last + 1
    shares[count] = { budget, amount_minor, amount_minor, 0 }
  end
  return shares
end

local function asked_coupons(text)
  local asked, fields, names, count, quotas, place = { nil }, { nil }, { nil, nil }, 0, 0, 2
  if #text < 2 or byte(text, 1) ~= BRACKET or byte(text, -1) ~= BRACKET_END then not_money(text) end
  while place < #text do
    local _, last, field, campaign, version, discount_minor, at_issue, shares = find(text, ONE_COUPON, place)
    if not last then not_money(text) end
    campaign, version, discount_minor = SHORT[campaign] or whole_in(campaign), SHORT[version] or whole_in(version), SHORT[discount_minor] or whole_in(discount_minor)
    if not campaign or not version or not discount_minor then not_money(text) end
    shares = asked_shares(shares, text)
    count, place, quotas = count + 1, last + 1, quotas + 1
    asked[count], fields[count] = { field, campaign, discount_minor, SHORT[at_issue], shares, version }, field
    names[quotas] = campaign_name(campaign)
    if at_issue == "0" then
      for i = 1, #shares do
        quotas = quotas + 1
        names[quotas] = budget_name(shares[i][1])
      end
    end
  end
  return asked, fields, names
end

-- The quotas that a redemption's coupons touch.
local function quotas_of(head)
  local names, count, coupons = { nil, nil }, 0, head.coupons
  for i = 1, #coupons do
    local held = coupons[i]
    local shares = held[5]
    names[count + 1], count = campaign_name(held[2]), count + 1
    for j = 1, #shares do names[count + 1], count = budget_name(shares[j][1]), count + 1 end
  end
  return names
end

-- The wallet's coupons of a redemption, by field. A head without coupons reads nothing.
local function coupons_of(wallet, head)
  local fields, coupons = { nil }, {}
  for i = 1, #head.coupons do fields[i] = head.coupons[i][1] end
  if #fields == 0 then return coupons end
  local raw = redis.call("HMGET", wallet, unpack(fields))
  for i = 1, #fields do
    if raw[i] then coupons[fields[i]] = unpack_coupon(raw[i]) end
  end
  return coupons
end

-- Give back, in memory, exactly what a hold took: its coupons, and to each budget what was taken from it. A coupon whose
-- end passed meanwhile ends with the hold; money held at issue stays held only while the coupon can still be used.
local function release(book, head, coupons)
  for _, held in ipairs(head.coupons) do
    local field, campaign, _, at_issue, shares = unpack(held)
    local coupon = coupons[field]
    local over = is_over(coupon, campaign_of(book, campaign), book.at_ms)
    coupon.redemption = nil
    coupon.state = over and COUPON.ended or COUPON.issued
    coupon.since_ms = over and book.at_ms or nil
    if over then coupon.holds = nil end
    move_campaign(campaign_of(book, campaign), 0, 0, -1, 0)
    for _, share in ipairs(shares) do
      local budget, held_minor = share[1], share[2]
      if at_issue == 1 and not over then
        move_idle(book, campaign, budget, held_minor)
      else
        move_budget(budget_of(book, budget), -held_minor, 0)
      end
    end
  end
end

-- The coupons of a redemption, put into an act.
local function put_coupons(act, head, coupons)
  for i = 1, #head.coupons do
    local field = head.coupons[i][1]
    put_coupon(act, field, coupons[field])
  end
end

-- The wallet's mark of a redemption: where its record is. "o" open; else a letter and the hour in which it was settled:
-- "c" an order that was confirmed, "x" one that came to nothing.
local function settled_mark(head, hour)
  local nothing = head.state == REDEMPTION.cancelled or head.state == REDEMPTION.expired
  return (nothing and "x" or "c") .. hour
end

-- End an open hold as cancelled or expired: write the act and move the record to the settled ones of the hour.
local function close_hold(at, book, word, state, user, redemption, head, hour)
  local coupons = coupons_of(at.wallet, head)
  read_quotas(book, quotas_of(head))
  release(book, head, coupons)
  head.state = state
  head.since_ms = book.at_ms
  head.revision = head.revision + 1

  -- Below this line nothing may refuse.
  local act = new_act()
  put_coupons(act, head, coupons)
  local kept = put_redemption(act, redemption, head, "")
  write_act(at.journal, book, word, user, act, "")
  redis.call("HSET", at.wallet, "r" .. redemption, settled_mark(head, hour), coupon_fields(act))
  redis.call("HDEL", at.open, redemption)
  redis.call("HSET", at.settled, redemption, kept)
  redis.call("ZREM", at.due, "r" .. user .. redemption)
end

-- Give back, in memory, the money that an unused coupon holds since its issue. What a stopped campaign held is back already.
local function give_back_holds(book, campaign, coupon)
  if not coupon.holds then return end
  local stopped = campaign_of(book, campaign).state == CAMPAIGN.stopped
  local names = {}
  for i, hold in ipairs(coupon.holds) do names[i] = budget_name(hold[1]) end
  read_quotas(book, names)
  for _, hold in ipairs(stopped and {} or coupon.holds) do
    move_budget(budget_of(book, hold[1]), -hold[2], 0)
    move_idle(book, campaign, hold[1], -hold[2])
  end
  coupon.holds = nil
end

-- Turn, in memory, what a hold took into spent money and redeemed coupons; what was held beyond the discount goes back.
local function redeem(book, head, coupons)
  local at_ms = book.at_ms
  for i = 1, #head.coupons do
    local held = head.coupons[i]
    local coupon, shares = coupons[held[1]], held[5]
    coupon.state, coupon.since_ms, coupon.holds = COUPON.redeemed, at_ms, nil
    move_campaign(campaign_of(book, held[2]), 0, 0, -1, 1)
    for j = 1, #shares do move_budget(budget_of(book, shares[j][1]), -shares[j][2], shares[j][3]) end
  end
  head.state = REDEMPTION.confirmed
  head.since_ms, head.confirmed_ms = at_ms, at_ms
  head.revision = head.revision + 1
end

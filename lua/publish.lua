-- Give a cell a campaign's newer version: live, paused or stopped. A cell takes only a higher one.
--
-- The bank of the stock is in the campaign's home cell; where there is one cell, that cell is leased the whole stock at once.
-- A stop is final: the money held at issue for unused coupons goes back here, in one step however many they are, and the
-- coupons themselves end by their campaign's state.

local name = campaign_name(campaign)
local book = open_book(quota, { name, "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local terms = book.records[name]
if terms and terms.version >= version then return { REPLAYED, terms.version } end

local was_stopped = terms and terms.state == CAMPAIGN.stopped
terms = terms or new_quota(book, name, {
  version = 0, state = state, starts_ms = starts_ms, ends_ms = ends_ms, per_user = per_user,
  granted = 0, returned = 0, issued = 0, revoked = 0, reserved = 0, redeemed = 0, idle = {},
})
terms.version, terms.state = version, was_stopped and CAMPAIGN.stopped or state
terms.starts_ms, terms.ends_ms, terms.per_user = starts_ms, ends_ms, per_user
touch(book, name)

if is_home == 1 then
  local bank = book.records["v" .. name] or new_quota(book, "v" .. name, { total = 0, leases = {} })
  touch(book, "v" .. name)
  local more = stock - bank.total
  if more > 0 then
    bank.total = stock
    move_limit(book, name, more)
    if is_alone == 1 then
      local lease = lease_of(bank, 0)
      lease[2] = lease[2] + more
      terms.granted = terms.granted + more
    end
  end
end

if state == CAMPAIGN.stopped and not was_stopped then
  local names = {}
  for i, pair in ipairs(terms.idle) do names[i] = budget_name(pair[1]) end
  read_quotas(book, names)
  for _, pair in ipairs(terms.idle) do
    if pair[2] > 0 then
      local budget, held_minor = unpack(pair)
      move_budget(budget_of(book, budget), -held_minor, 0)
      move_idle(book, campaign, budget, -held_minor)
    end
  end
end

-- Below this line nothing may refuse.
local word = state == CAMPAIGN.live and ACT.published or state == CAMPAIGN.paused and ACT.paused or ACT.stopped
write_act(journal, book, word, "", new_act(), payload)
return { PUBLISHED }

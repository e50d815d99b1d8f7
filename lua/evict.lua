-- Let aged coupons and forgotten marks of one wallet leave Redis. Leaving is no event.
--
-- `coupons` is [[field, campaign]...] and `marks` the short fields that the sweeper found past their time; each is judged
-- again here. A coupon leaves once it is terminal, flushed (`flushed_ms`: the instant of the cursor) and `age_ms` old, counted from
-- its act or, without one, from its end (a late confirm still needs it), and leaves a mark that says for `remember_ms` that its id is
-- not new. A count leaves when its campaign can issue no more.
--
-- `next_ms` is the user's next deadline (0: none) as the sweeper worked it out from a wallet of `fields_then` fields. A wallet that has
-- another number of fields by now has got a coupon or an order since; its deadline stays due, and the sweeper looks again.

local names = {}
for i, pair in ipairs(coupons) do names[i] = campaign_name(pair[2]) end
for _, mark in ipairs(marks) do
  if string.sub(mark, 1, 1) == "n" then names[#names + 1] = "k" .. string.sub(mark, 2) end
end
local book = open_book(quota, names, now_ms)
if not book then return { GATE_CLOSED } end

local is_as_read = redis.call("HLEN", wallet) == fields_then
local gone, kept = {}, {}
for _, pair in ipairs(coupons) do
  local field, campaign = unpack(pair)
  local raw = redis.call("HGET", wallet, field)
  local coupon, terms = raw and unpack_coupon(raw), campaign_of(book, campaign)
  local over = coupon and (coupon.state ~= COUPON.issued and coupon.state ~= COUPON.reserved
    or coupon.state == COUPON.issued and not coupon.holds and terms and is_over(coupon, terms, book.at_ms))
  local over_ms = coupon and (coupon.since_ms or coupon.ends_at_ms)
  if over and over_ms + age_ms <= book.at_ms and over_ms < flushed_ms then
    gone[#gone + 1] = field
    kept[#kept + 1] = "m" .. string.sub(field, 1, MARK_CHARS)
    kept[#kept + 1] = digits(math.floor((book.at_ms + remember_ms) / HOUR_MS))
  end
end
for _, mark in ipairs(marks) do
  local kind, value = string.sub(mark, 1, 1), redis.call("HGET", wallet, mark)
  local forget = false
  if kind == "r" and value and value ~= "o" then
    forget = (tonumber(string.sub(value, 2)) + 1) * HOUR_MS + remember_ms <= book.at_ms
  elseif (kind == "m" or kind == "c") and value then
    forget = (tonumber(value) + 1) * HOUR_MS <= book.at_ms
  elseif kind == "o" and value then
    local place = redis.call("HGET", wallet, "r" .. value)
    forget = not place or place ~= "o" and (tonumber(string.sub(place, 2)) + 1) * HOUR_MS + remember_ms <= book.at_ms
  elseif kind == "n" and value then
    local terms = book.records["k" .. string.sub(mark, 2)]
    forget = not terms or terms.state == CAMPAIGN.stopped or terms.ends_ms + age_ms <= book.at_ms
  end
  if forget then gone[#gone + 1] = mark end
end

-- Below this line nothing may refuse.
if #gone > 0 then
  book.cell.evicted, book.cell.is_touched = tail_of(journal), true
  save_book(book)
  redis.call("HDEL", wallet, unpack(gone))
  if #kept > 0 then redis.call("HSET", wallet, unpack(kept)) end
end
if is_as_read and next_ms > 0 then
  redis.call("ZADD", due, digits(next_ms), "u" .. user)
elseif is_as_read then
  redis.call("ZREM", due, "u" .. user)
end
return { EVICTED, #gone }

-- End unused coupons of one user whose time has passed and give back the money held for them at issue.
--
-- `fields` is [[field, campaign]...] as the sweeper read them; each is judged again here. A stopped campaign's idle money went back
-- when it was stopped, so its coupons end without a move. Coupons that hold no money end by their instant alone, without an act.

local names = {}
for i, pair in ipairs(fields) do names[i] = campaign_name(pair[2]) end
local book = open_book(quota, names, now_ms)
if not book then return { GATE_CLOSED } end

local act, seen = new_act(), {}
for _, pair in ipairs(fields) do
  local field, campaign = unpack(pair)
  local raw = not seen[field] and redis.call("HGET", wallet, field)
  seen[field] = true -- what is named twice is there only once
  local coupon, terms = raw and unpack_coupon(raw), campaign_of(book, campaign)
  if coupon and terms and coupon.holds and coupon.state == COUPON.issued and is_over(coupon, terms, book.at_ms) then
    give_back_holds(book, campaign, coupon)
    coupon.state, coupon.since_ms = COUPON.ended, book.at_ms
    put_coupon(act, field, coupon)
  end
end
if act.coupon_count == 0 then return { ENDED, 0 } end

-- Below this line nothing may refuse.
write_act(journal, book, ACT.ended, user, act, "")
redis.call("HSET", wallet, coupon_fields(act))
return { ENDED, act.coupon_count }

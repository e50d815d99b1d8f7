-- Give back part or all of a confirmed redemption to the budgets that paid for it.
--
-- The engine has worked out from the stored allocation what each line gives back (`backs`, [[coupon, [amount...], returned]...],
-- coupons by their place from 1), for the revision it read; a record that has moved on since is read again. Here it is held to what
-- is left: no budget gets back more than it spent.
--
-- A coupon that is given back may have left the wallet before its redemption left: then its record comes along in `aged`,
-- [[field, values or 0]...], as Postgres has it, which nothing has changed since.

local found = redis.call("HGET", from, redemption)
local head = found and unpack_redemption(found)
local book = open_book(quota, head and quotas_of(head) or {}, now_ms)
if not book then return { GATE_CLOSED } end
if not head then return { MOVED } end
for _, earlier in ipairs(head.refunds or {}) do
  if earlier[1] == refund_id then
    if earlier[2] ~= fingerprint then return { REQUEST_CONFLICT } end
    return { REPLAYED, earlier[3] }
  end
end
if head.state ~= REDEMPTION.confirmed and head.state ~= REDEMPTION.partly_refunded then return { WRONG_STATE, head.state } end
if head.revision ~= revision then return { MOVED } end

local coupons, known = {}, {}
for _, pair in ipairs(aged) do known[pair[1]] = pair[2] end
for _, back in ipairs(backs) do
  local place, amounts, returned = unpack(back)
  local field, campaign, _, _, shares = unpack(head.coupons[place])
  for i, amount_minor in ipairs(amounts) do
    local share = shares[i]
    if not is_whole(amount_minor) or share[4] + amount_minor > share[3] then error("argument backs gives back more than was spent") end
    share[4] = share[4] + amount_minor
    move_budget(budget_of(book, share[1]), 0, -amount_minor)
  end
  if returned == 1 then
    local raw = not coupons[field] and redis.call("HGET", wallet, field)
    if not raw and not coupons[field] then
      if known[field] == nil then return { COUPON_AGED } end
      if known[field] ~= 0 then raw = cmsgpack.pack(unpack(known[field])) end
    end
    local coupon = raw and unpack_coupon(raw)
    if coupon and coupon.state == COUPON.redeemed and coupon.redemption == redemption then
      local over = is_over(coupon, campaign_of(book, campaign), book.at_ms)
      coupon.state = over and COUPON.ended or COUPON.issued
      coupon.redemption, coupon.since_ms = nil, over and book.at_ms or nil
      coupons[field] = coupon
      move_campaign(campaign_of(book, campaign), 0, 0, 0, -1)
    end
  end
end
head.state = full == 1 and REDEMPTION.refunded or REDEMPTION.partly_refunded
head.since_ms = book.at_ms
head.revision = head.revision + 1
head.body = body
head.refunds = head.refunds or {}
head.refunds[#head.refunds + 1] = { refund_id, fingerprint, answer }

-- Below this line nothing may refuse.
local act = new_act()
for field, coupon in pairs(coupons) do put_coupon(act, field, coupon) end
local kept = put_redemption(act, redemption, head, body)
write_act(journal, book, ACT.refunded, user, act, payload)
redis.call("HSET", wallet, "r" .. redemption, settled_mark(head, hour), coupon_fields(act))
redis.call("HDEL", from, redemption)
redis.call("HSET", settled, redemption, kept)
return { REFUNDED }

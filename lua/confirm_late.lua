-- Confirm an expired redemption whose payment was taken, at its price.
--
-- Its coupons must be free again; that they ended since does not matter, nor that their budgets' month is over. Money that
-- was given back when the hold ran out is taken anew, all or nothing. The order must not have another live redemption.
--
-- A coupon that ended long before its hold was swept has left the wallet before its redemption leaves: then its record comes along in `aged`,
-- [[field, values or 0]...], as Postgres has it, which nothing has changed since.

local kept = redis.call("HGET", from, redemption)
local head = kept and unpack_redemption(kept)
local book = open_book(quota, head and quotas_of(head) or {}, now_ms)
if not book then return { GATE_CLOSED } end
if not head or head.state ~= REDEMPTION.expired then return { MOVED } end
if book.cell.full == 1 then return { JOURNAL_FULL } end

local current = redis.call("HGET", wallet, "o" .. head.order)
if current and current ~= redemption then
  local place = redis.call("HGET", wallet, "r" .. current)
  if place and string.sub(place, 1, 1) ~= "x" then return { ORDER_TAKEN } end
end
local coupons, known = coupons_of(wallet, head), {}
for _, pair in ipairs(aged) do known[pair[1]] = pair[2] end
for _, held in ipairs(head.coupons) do
  local field, campaign, _, at_issue, shares = unpack(held)
  local coupon = coupons[field]
  if not coupon then
    if known[field] == nil then return { COUPON_AGED } end
    if known[field] ~= 0 then
      coupon = unpack_coupon(cmsgpack.pack(unpack(known[field])))
      coupons[field] = coupon
    end
  end
  if not coupon or (coupon.state ~= COUPON.issued and coupon.state ~= COUPON.ended) then return { COUPON_TAKEN, field } end
  local still_held = at_issue == 1 and coupon.holds and campaign_of(book, campaign).state ~= CAMPAIGN.stopped
  for _, share in ipairs(shares) do
    local budget_no, held_minor, spent_minor = unpack(share)
    if still_held then
      move_idle(book, campaign, budget_no, -held_minor)
    else
      local budget = budget_of(book, budget_no)
      if not budget or available(budget) < spent_minor then
        return { BUDGET_EXHAUSTED, field, budget_no, spent_minor - (budget and available(budget) or 0), budget and left_of(budget) or 0 }
      end
      share[2] = spent_minor
      move_budget(budget, spent_minor, 0)
    end
  end
  move_campaign(campaign_of(book, campaign), 0, 0, 1, 0)
end
redeem(book, head, coupons)

-- Below this line nothing may refuse.
local act = new_act()
for _, coupon in pairs(coupons) do coupon.redemption = redemption end
put_coupons(act, head, coupons)
kept = put_redemption(act, redemption, head, "")
write_act(journal, book, ACT.confirmed, user, act, "")
redis.call("HSET", wallet, "r" .. redemption, settled_mark(head, hour), "o" .. head.order, redemption, coupon_fields(act))
redis.call("HDEL", from, redemption)
redis.call("HSET", settled, redemption, kept)
return { CONFIRMED, book.at_ms, head.body }

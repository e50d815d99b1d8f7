-- Take an unused coupon away: its stock and the money held for it come back, the user's count does not.

local book = open_book(quota, { campaign_name(campaign) }, now_ms)
if not book then return { GATE_CLOSED } end
local raw = redis.call("HGET", wallet, field)
local terms = campaign_of(book, campaign)
if not raw or not terms then return { COUPON_UNKNOWN } end
local coupon = unpack_coupon(raw)
if coupon.state == COUPON.revoked then return { REPLAYED } end
if coupon.state == COUPON.reserved then return { COUPON_RESERVED } end
if coupon.state == COUPON.redeemed then return { COUPON_REDEEMED } end
if coupon.state == COUPON.ended or is_over(coupon, terms, book.at_ms) then return { COUPON_ENDED, coupon.ends_at_ms } end

give_back_holds(book, campaign, coupon)
coupon.state, coupon.since_ms = COUPON.revoked, book.at_ms
move_campaign(terms, 0, 1, 0, 0)

-- Below this line nothing may refuse.
local act = new_act()
put_coupon(act, field, coupon)
write_act(journal, book, ACT.revoked, user, act, payload)
redis.call("HSET", wallet, coupon_fields(act))
return { REVOKED }

-- Turn what an open redemption holds into spent money and redeemed coupons.
--
-- What was held beyond the discount (money held at issue) goes back. A hold whose end has come is not confirmed, unless the
-- money is already taken (`late`) and the sweeper has not been here yet: then everything it needs is still held by itself.

local kept = redis.call("HGET", open, redemption)
local head = kept and unpack_redemption(kept)
local book = open_book(quota, head and quotas_of(head) or {}, now_ms)
if not book then return { GATE_CLOSED } end
if not head then return { NOT_OPEN } end
if book.at_ms >= head.expires_ms and late == 0 then return { REDEMPTION_EXPIRED, head.expires_ms } end

local coupons = coupons_of(wallet, head)
redeem(book, head, coupons)

-- Below this line nothing may refuse.
local act = new_act()
put_coupons(act, head, coupons)
kept = put_redemption(act, redemption, head, "")
write_act(journal, book, ACT.confirmed, user, act, "")
redis.call("HSET", wallet, "r" .. redemption, settled_mark(head, hour), coupon_fields(act))
redis.call("HDEL", open, redemption)
redis.call("HSET", settled, redemption, kept)
redis.call("ZREM", due, "r" .. user .. redemption)
return { CONFIRMED, book.at_ms, head.body }

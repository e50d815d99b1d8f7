-- Say in the user's cell that a claim brings no coupon any more, unless it has. The mark is what a grant that comes late meets.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local found = redis.call("HMGET", wallet, "c" .. nonce, field, "m" .. sub(field, 1, MARK_CHARS))
if found[1] then return { REFUSED } end
if found[2] and unpack_coupon(found[2]).fingerprint == fingerprint then return { GRANTED } end
if not found[2] and found[3] and is_new == 0 then return { AGED } end

-- Below this line nothing may refuse.
write_act(journal, book, ACT.grant_refused, user, new_act(), payload)
redis.call("HSET", wallet, "c" .. nonce, digits(floor((book.at_ms + remember_ms) / HOUR_MS)))
redis.call("ZADD", due, "LT", book.at_ms + remember_ms, "u" .. user)
return { REFUSED }

-- Find a redemption's record. The wallet's mark says where it is; a settled one is in the hash of its hour, which the caller has to
-- name as a key, so a caller who does not know the hour is told it and asks again. A mark without a record: it has aged.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local mark = redis.call("HGET", wallet, "r" .. redemption)
if not mark then return { REDEMPTION_UNKNOWN } end
local hour_then = string.sub(mark, 2)
if mark ~= "o" and hour_then ~= hour then return { LOOK_IN, hour_then } end
local kept = redis.call("HGET", mark == "o" and open or settled, redemption)
if not kept then return { AGED, mark } end
return { FOUND, kept, book.at_ms }

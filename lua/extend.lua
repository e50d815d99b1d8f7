-- Move the end of a hold forward, within the longest hold there is. The same end again is a repeat.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local kept = redis.call("HGET", open, redemption)
if not kept then return { NOT_OPEN } end
local head = unpack_redemption(kept)
if book.at_ms >= head.expires_ms then return { REDEMPTION_EXPIRED } end
if expires_ms == head.expires_ms then return { REPLAYED, kept } end
if expires_ms < head.expires_ms then return { EXPIRES_TOO_EARLY, head.expires_ms } end
if expires_ms > head.reserved_ms + longest_ms then return { EXPIRES_TOO_LATE, head.reserved_ms + longest_ms } end
if book.cell.full == 1 then return { JOURNAL_FULL } end

head.expires_ms = expires_ms
head.revision = head.revision + 1

-- Below this line nothing may refuse.
local act = new_act()
kept = put_redemption(act, redemption, head, "")
write_act(journal, book, ACT.extended, user, act, "")
redis.call("HSET", open, redemption, kept)
redis.call("ZADD", due, expires_ms, "r" .. user .. redemption)
return { EXTENDED, kept }

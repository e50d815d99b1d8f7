-- Give back an open hold: its coupons and its money are free again.

local kept = redis.call("HGET", open, redemption)
local head = kept and unpack_redemption(kept)
local book = open_book(quota, head and quotas_of(head) or {}, now_ms)
if not book then return { GATE_CLOSED } end
if not head then return { NOT_OPEN } end
if book.at_ms >= head.expires_ms then return { REDEMPTION_EXPIRED, head.expires_ms } end

local at = { journal = journal, open = open, due = due, wallet = wallet, settled = settled }
close_hold(at, book, ACT.cancelled, REDEMPTION.cancelled, user, redemption, head, hour)
return { CANCELLED, book.at_ms, head.body }

-- End a hold that ran out: exactly what it took comes back. A deadline whose redemption is gone is forgotten.

local kept = redis.call("HGET", open, redemption)
local head = kept and unpack_redemption(kept)
local book = open_book(quota, head and quotas_of(head) or {}, now_ms)
if not book then return { GATE_CLOSED } end
if not head then
  redis.call("ZREM", due, "r" .. user .. redemption)
  return { NOT_OPEN }
end
if book.at_ms < head.expires_ms then return { NOT_DUE, head.expires_ms } end

local at = { journal = journal, open = open, due = due, wallet = wallet, settled = settled }
close_hold(at, book, ACT.expired, REDEMPTION.expired, user, redemption, head, hour)
return { EXPIRED }

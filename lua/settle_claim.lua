-- End a claim as the user's cell has decided it. Only the attempt that is pending can be ended: a late word about an earlier one finds
-- another nonce, or none.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local held = redis.call("HGET", pending, claim)
if not held or sub(held, 1, #nonce) ~= nonce then return { REPLAYED } end
local codes = redis.call("HGET", tickets, bucket) or ""
local all_claims = redis.call("HGET", claims, claim_bucket) or ""
local place, claim_place = ticket_at(codes, code), ticket_at(all_claims, claim)
local batch = ticket_batch(all_claims, claim_place)
local record = batch_of(quota, batch)
local is_public = record.limit > 0
if is_granted == 0 then record.claimed = record.claimed - 1 end

-- Below this line nothing may refuse.
write_act(journal, book, is_granted == 1 and ACT.code_spent or ACT.code_freed, "", new_act(), payload .. ',"batch":"' .. batch .. '","public":' .. (is_public and 1 or 0) .. "}")
put_batch(quota, batch, record)
if not is_public then redis.call("HSET", tickets, bucket, with_ticket(codes, place, is_granted == 1 and "s" or "f")) end
put_bucket(claims, claim_bucket, with_ticket(all_claims, claim_place, is_granted == 1 and "g" or ""))
redis.call("HDEL", pending, claim)
redis.call("ZREM", due, "c" .. claim)
return { SETTLED }

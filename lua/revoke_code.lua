-- Take one free code out of use. One that is being claimed counts as spent: its claim decides.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local codes = redis.call("HGET", tickets, bucket) or ""
local place = ticket_at(codes, code)
local record = place and batch_of(quota, ticket_batch(codes, place))
if not record or record.campaign ~= campaign then return { CODE_UNKNOWN } end
local state = ticket_state(codes, place)
if state == "r" then return { REPLAYED } end
if state ~= "f" then return { CODE_SPENT } end
record.revoked = record.revoked + 1

-- Below this line nothing may refuse.
local batch = ticket_batch(codes, place)
write_act(journal, book, ACT.code_revoked, "", new_act(), payload .. ',"batch":"' .. batch .. '"}')
put_batch(quota, batch, record)
redis.call("HSET", tickets, bucket, with_ticket(codes, place, "r"))
return { REVOKED }

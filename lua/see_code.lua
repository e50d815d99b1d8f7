-- Look at a code without taking it. Looking for codes counts as missing them does: the limits are those of a claim.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local codes = redis.call("HGET", tickets, bucket) or ""
local place = ticket_at(codes, code)
local record = batch_of(quota, ticket_batch(codes, place) or NO_BATCH)
local missed = redis.call("HMGET", misses, unpack(missed_by))
for i = 1, #missed_by do
  if whole(missed[i] or "0", "misses") >= misses_max[i] then return { CODE_MISSES_EXCEEDED, i } end
end
local is_seen = false
for _, line in ipairs(lines) do is_seen = is_seen or line == "*" or record and line == record.line end
if record and is_seen then
  local is_free = record.state == BATCH.live and ticket_state(codes, place) == "f" and (record.limit == 0 or record.claimed < record.limit)
  if not is_free then return { CODE_SPENT, record.campaign } end
  return { CODE_FREE, record.campaign }
end

-- Below this line nothing may refuse.
note_miss(misses, missed_as, missed_by, 1, forget_ms)
return { CODE_INVALID }

-- Let the codes and claims of batches whose campaign is over leave Redis. Leaving is no event. A claim that is pending stays until it
-- has been settled, and its code with it; `kept` counts those. Postgres is asked about what has left.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local over = {}
for _, batch in ipairs(batches) do
  local record = batch_of(quota, batch)
  local raw = record and redis.call("HGET", quota, campaign_name(record.campaign))
  local terms = raw and unpack_campaign(raw)
  over[batch] = terms and (terms.state == CAMPAIGN.stopped or terms.ends_ms + age_ms <= book.at_ms) or false
end

local dropped, kept, writes = 0, 0, {}
local function sift(key, names)
  if #names == 0 then return end
  local raw = redis.call("HMGET", key, unpack(names))
  for i, name in ipairs(names) do
    local bucket, left = raw[i] or "", {}
    for place = 1, #bucket, TICKET_CHARS do
      if not over[ticket_batch(bucket, place)] then
        left[#left + 1] = sub(bucket, place, place + TICKET_CHARS - 1)
      elseif ticket_state(bucket, place) == "p" then
        left[#left + 1] = sub(bucket, place, place + TICKET_CHARS - 1)
        kept = kept + 1
      else
        dropped = dropped + 1
      end
    end
    if #left * TICKET_CHARS < #bucket then writes[#writes + 1] = { key, name, table.concat(left) } end
  end
end
sift(tickets, buckets)
sift(claims, claim_buckets)

-- Below this line nothing may refuse.
for _, write in ipairs(writes) do put_bucket(write[1], write[2], write[3]) end
if #buckets == 0 and #claim_buckets == 0 then
  for _, batch in ipairs(batches) do
    if over[batch] then redis.call("HDEL", quota, "t" .. batch) end
  end
end
return { DROPPED, dropped, kept }

-- Make codes of a batch known to their cell. `codes` is [[bucket, code]...]. A code that is there already is left as it is, whatever has
-- become of it, so a load can be repeated. The entry says only what is new: `payload` is the beginning of its JSON, which ends here
-- with the codes and a quote and a brace; a code's hash has no character that JSON would escape.

local book = open_book(quota, { campaign_name(campaign) }, now_ms)
if not book then return { GATE_CLOSED } end
if book.cell.full == 1 then return { JOURNAL_FULL } end
if is_campaign_over(campaign_of(book, campaign), book.at_ms) then return { CAMPAIGN_ENDED } end
local record = batch_of(quota, batch) or { campaign = campaign, state = BATCH.live, limit = limit, loaded = 0, claimed = 0, revoked = 0, line = line }
if record.state ~= BATCH.live then return { BATCH_REVOKED } end

local names, buckets = {}, {}
for _, pair in ipairs(codes) do
  local name = digits(pair[1])
  if buckets[name] == nil then
    buckets[name] = false
    names[#names + 1] = name
  end
end
local raw = redis.call("HMGET", tickets, unpack(names))
for i, name in ipairs(names) do buckets[name] = raw[i] or "" end

local found, new, fields, changed = {}, {}, {}, {}
for i, pair in ipairs(codes) do
  local name, code = digits(pair[1]), pair[2]
  local bucket = buckets[name]
  local place = ticket_at(bucket, code)
  if place then
    found[i] = ticket_batch(bucket, place) == batch and "s" or "t"
  else
    found[i], new[#new + 1] = "n", code
    buckets[name] = bucket .. new_ticket(code, "f", batch)
    if not changed[name] then
      changed[name] = true
      fields[#fields + 1] = name
    end
  end
end

-- Below this line nothing may refuse.
if #new > 0 or record.limit ~= limit then
  record.limit, record.loaded = limit, record.loaded + #new
  write_act(journal, book, ACT.codes_loaded, "", new_act(), payload .. table.concat(new, " ") .. '"}')
  put_batch(quota, batch, record)
  local values = {}
  for _, name in ipairs(fields) do
    values[#values + 1] = name
    values[#values + 1] = buckets[name]
  end
  if #values > 0 then redis.call("HSET", tickets, unpack(values)) end
end
return { LOADED, table.concat(found) }

-- Tell a cell what its bank has lent it in all. A message that is late or told twice says nothing new.

local book = open_book(quota, { name }, now_ms)
if not book then return { GATE_CLOSED } end
local record = book.records[name]
if not record then
  if string.sub(name, 1, 1) ~= "b" then return { CAMPAIGN_UNKNOWN } end
  record = new_quota(book, name, { opens_ms = opens_ms, closes_ms = closes_ms, granted = 0, returned = 0, held = 0, spent = 0 })
end
record.granted = math.max(record.granted, granted_total)
touch(book, name)
save_book(book)
return { TAKEN }

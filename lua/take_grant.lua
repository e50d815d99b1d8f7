-- Tell a cell what its bank has lent it in all. A message that is late or told twice says nothing new, and one that a bank sent before it
-- was restored is refused.

local book = open_book(quota, { name }, now_ms)
if not book then return { GATE_CLOSED } end
local epoch_now = known_epoch(quota, home)
if epoch < epoch_now then return { OLDER_EPOCH, epoch_now } end
local record = book.records[name]
if not record then
  if sub(name, 1, 1) ~= "b" then return { CAMPAIGN_UNKNOWN } end
  record = new_quota(book, name, { opens_ms = opens_ms, closes_ms = closes_ms, granted = 0, returned = 0, held = 0, spent = 0 })
end
record.granted = math.max(record.granted, granted_total)
touch(book, name)
save_book(book)
if epoch > epoch_now then learn_epochs(quota, { { home, epoch } }) end
return { TAKEN, record.granted - record.returned - used_of(record) }

-- Take from a cell what its lease does not use. The cell is debited first; the total it has ever returned goes to the bank, with the
-- epoch in which the cell knows that bank and its own.

local book = open_book(quota, { name }, now_ms)
if not book then return { GATE_CLOSED } end
local record = book.records[name]
if not record then return { QUOTA_UNKNOWN } end
local used, epoch = used_of(record), known_epoch(quota, home)
local unused = record.granted - record.returned - used
if unused > keep then
  record.returned = record.returned + unused - keep
  touch(book, name)
  save_book(book)
end
return { GIVEN_BACK, record.granted, record.returned, used, epoch, book.cell.epoch }

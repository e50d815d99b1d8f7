-- Take from a cell what its lease does not use. The cell is debited first; the total it has ever returned goes to the bank.

local book = open_book(quota, { name }, now_ms)
if not book then return { GATE_CLOSED } end
local record = book.records[name]
if not record then return { QUOTA_UNKNOWN } end
local unused = string.sub(name, 1, 1) == "b" and available(record) or stock_left(record)
if unused > keep then
  record.returned = record.returned + unused - keep
  touch(book, name)
  save_book(book)
end
return { GIVEN_BACK, record.returned }

-- Tell a bank what a cell has returned in all. A message that is late or told twice says nothing new.

local book = open_book(quota, { "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name]
if not bank then return { BANK_UNKNOWN } end
local lease = lease_of(bank, cell)
lease[3] = math.max(lease[3], returned_total)
touch(book, "v" .. name)
save_book(book)
return { TAKEN, free_of(bank) }

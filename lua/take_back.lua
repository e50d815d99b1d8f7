-- Tell a bank what a cell has returned in all. A message that is late or told twice says nothing new; one for another epoch of this bank
-- is refused, and the cell tells it again once it has been asked. One that the cell sent before it was opened anew (`cell_epoch`) is refused
-- too: it may say more than the cell still knows to have returned.

local book = open_book(quota, { "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name]
if not bank then return { BANK_UNKNOWN } end
if epoch ~= book.cell.epoch then return { OLDER_EPOCH, book.cell.epoch } end
local cell_epoch_now = known_epoch(quota, cell)
if cell_epoch < cell_epoch_now then return { OLDER_EPOCH, cell_epoch_now } end
local lease = lease_of(bank, cell)
lease[3] = math.max(lease[3], returned_total)
touch(book, "v" .. name)
save_book(book)
return { TAKEN, free_of(bank) }

-- Lend a cell more of a quota from its bank: at least `want`, else an equal part of what is free (`shares`
-- parts), never more than is free.

local book = open_book(quota, { "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name]
if not bank then return { BANK_UNKNOWN } end
local free = free_of(bank)
if free < want then return { NOT_ENOUGH, free } end
local lease = lease_of(bank, cell)
lease[2] = lease[2] + math.min(free, math.max(want, math.floor(free / shares)))
touch(book, "v" .. name)
save_book(book)
return { GRANTED, lease[2] }

-- What a quota's bank has lent to whom, and the epoch under which it does.

local book = open_book(quota, { "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name]
if not bank then return { BANK_UNKNOWN } end
return { WEIGHED, (pack_bank(bank)), free_of(bank), book.cell.epoch }

-- What a quota's bank has lent to whom, the epoch under which it does, and the month of what is money.

local book = open_book(quota, { "v" .. name, name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank, record = book.records["v" .. name], book.records[name]
if not bank then return { BANK_UNKNOWN } end
local is_money = record and record.held
return { WEIGHED, (pack_bank(bank)), free_of(bank), book.cell.epoch, is_money and record.opens_ms or 0, is_money and record.closes_ms or 0 }

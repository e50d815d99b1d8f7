-- Lend a cell more of a quota from its bank: what is wanted, and while there is plenty as much as the cell has lately used in
-- LENT_FOR_MS, but no more than an equal part of what is free. Near the end that is exactly what is wanted; `least` is what the smallest
-- of those who wait can use; it is nothing for a share of no money, whose cell only has to learn of the budget. Who asks before anybody waits (`is_early`) gets nothing that is less than that part,
-- nor of a budget that is over.
--
-- A bank that was restored grants nothing until every cell has told it what it was granted. A cut that is under way comes first.

local book = open_book(quota, { "v" .. name, name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank, record = book.records["v" .. name], book.records[name]
if not bank then return { BANK_UNKNOWN } end
if not has_heard(quota, book.cell.epoch, cells) then return { BANK_ASKING } end
local free = free_of(bank)
if bank.cut then return { NOT_ENOUGH, 0, 1 } end
if free < least then return { NOT_ENOUGH, free, 0 } end

local lease = lease_of(bank, cell)
local lasted_ms, lent = math.max(book.at_ms - (lease[4] or 0), 0), lease[5] or 0
local more = floor(lent * math.min(GROWTH_MAX, LENT_FOR_MS / math.max(lasted_ms, 1)))
more = math.min(math.max(more, ACTS_MIN * least), floor(free / (SHARES_PER_CELL * cells)))
local is_over = record and record.closes_ms and record.closes_ms <= book.at_ms
if is_early == 1 and (is_over or more < least) then return { NOT_ENOUGH, free, 0 } end
more = math.min(math.max(more, want), free)
if lease[2] + more > WHOLE_MAX then error("a lease has been granted all that a number can say") end

lease[2], lease[4], lease[5] = lease[2] + more, book.at_ms, more
touch(book, "v" .. name)
save_book(book)
local is_money = record and record.held
return { GRANTED, lease[2], book.cell.epoch, is_money and record.opens_ms or 0, is_money and record.closes_ms or 0, more }

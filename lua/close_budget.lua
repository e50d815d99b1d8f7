-- Close a month's budget: its limit becomes what is held and spent, and nothing new is held in it.
--
-- What a hold or a refund gives back afterwards is available again but can only pay for a late confirm. Closing again takes
-- what has come back since, and where nothing has (`is_again`: it was begun before), nothing is written. With many cells the engine has it shut in each of them first, and every lease returned.

local name = budget_name(budget)
local is_alone = cells == 1
local book = open_book(quota, { name, "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local record, bank = book.records[name], book.records["v" .. name]
if not record or not bank then return { BUDGET_UNKNOWN } end
if not is_alone and not has_heard(quota, book.cell.epoch, cells) then return { BANK_ASKING } end
if bank.cut then return { CUT_PENDING } end

local released_minor = is_alone and available(record) or free_of(bank)
if is_again == 1 and released_minor == 0 and record.closes_ms <= book.at_ms then return { CLOSED, bank.total, 0 } end
if record.closes_ms > book.at_ms then record.closes_ms = book.at_ms end
bank.total = bank.total - released_minor
if is_alone then
  local lease = lease_of(bank, 0)
  lease[2] = lease[2] - released_minor
  record.granted = record.granted - released_minor
end
touch(book, "v" .. name)
move_limit(book, name, -released_minor)

-- Below this line nothing may refuse.
write_act(journal, book, ACT.closed, "", new_act(), payload)
return { CLOSED, bank.total, released_minor }

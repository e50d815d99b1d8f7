-- Shut a month's budget in one cell of many, before its bank is closed. A cell that never had any of it is told as well, so that no later
-- grant opens it there.

local name = budget_name(budget)
local book = open_book(quota, { name }, now_ms)
if not book then return { GATE_CLOSED } end
local record = book.records[name]
  or new_quota(book, name, { opens_ms = opens_ms, closes_ms = closes_ms, granted = 0, returned = 0, held = 0, spent = 0 })
if record.closes_ms < closes_ms or record.closes_ms <= book.at_ms then return { REPLAYED } end
record.closes_ms = book.at_ms
move_limit(book, name, 0)

-- Below this line nothing may refuse.
write_act(journal, book, ACT.closed, "", new_act(), payload)
return { SHUT }

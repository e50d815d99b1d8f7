-- Put back what was set aside for a cut that cannot be whole. One that is not under way any more is left as it ended.

local name = budget_name(budget)
local book = open_book(quota, { "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name]
if not bank then return { BANK_UNKNOWN } end
if bank.cut == addition then
  bank.cut, bank.taken = nil, nil
  touch(book, "v" .. name)
  save_book(book)
  redis.call("HDEL", quota, "a" .. addition)
end
return { PUT_BACK, free_of(bank) }

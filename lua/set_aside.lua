-- Set aside what a budget's bank has free for a cut. The cut is kept in the bank under its addition, so that whoever comes after a crash
-- goes on with it or puts it back. Meanwhile nothing is lent from this bank, and no other cut begins.

local name = budget_name(budget)
local book = open_book(quota, { "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name]
if not bank then return { BANK_UNKNOWN } end
local earlier = redis.call("HGET", quota, "a" .. addition)
if earlier then
  local print_then, limit_then = addition_of(earlier)
  if print_then ~= fingerprint then return { REQUEST_CONFLICT } end
  if limit_then then return { REPLAYED, limit_then } end
end
if not has_heard(quota, book.cell.epoch, cells) then return { BANK_ASKING } end
if bank.cut and bank.cut ~= addition then return { CUT_PENDING } end
local taken_minor = bank.taken or 0
local more_minor = math.max(0, math.min(amount_minor - taken_minor, free_of(bank)))
bank.cut, bank.taken = addition, taken_minor + more_minor
touch(book, "v" .. name)

-- Below this line nothing may refuse.
save_book(book)
redis.call("HSET", quota, "a" .. addition, fingerprint .. " cut " .. digits(amount_minor) .. " " .. payload)
return { SET_ASIDE, amount_minor - bank.taken }

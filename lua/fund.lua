-- Raise or cut a budget's limit, once per addition, in the bank's home cell.
--
-- A raise is free at the bank; where there is one cell, that cell is leased it at once. A cut takes what is free, never what is
-- held or spent. With many cells it takes what was set aside for it (`set_aside`), which is all of it or the cut is refused.

local name = budget_name(budget)
local book = open_book(quota, { name, "v" .. name }, now_ms)
if not book then return { GATE_CLOSED } end
local bank = book.records["v" .. name] or new_quota(book, "v" .. name, { total = 0, leases = {} })
local earlier = redis.call("HGET", quota, "a" .. addition)
if earlier then
  local print_then, limit_then = addition_of(earlier)
  if print_then ~= fingerprint then return { REQUEST_CONFLICT } end
  if limit_then then return { REPLAYED, limit_then } end
end
local record = book.records[name]
  or new_quota(book, name, { opens_ms = opens_ms, closes_ms = closes_ms, granted = 0, returned = 0, held = 0, spent = 0 })
if is_cut == 0 and bank.total + amount_minor > WHOLE_MAX then return { LIMIT_TOO_LARGE } end

local free_minor = is_alone == 1 and available(record) or bank.cut == addition and bank.taken or 0
if is_cut == 1 and free_minor < amount_minor then return { BUDGET_IN_USE, free_minor } end

local change_minor = is_cut == 1 and -amount_minor or amount_minor
bank.total = bank.total + change_minor
if is_alone == 1 then
  -- One cell has its bank beside it and no message to mistake, so here what was granted may also fall.
  local lease = lease_of(bank, 0)
  lease[2] = lease[2] + change_minor
  record.granted = record.granted + change_minor
elseif is_cut == 1 then
  bank.cut, bank.taken = nil, nil
end
touch(book, "v" .. name)
move_limit(book, name, change_minor)

-- Below this line nothing may refuse.
write_act(journal, book, ACT.funded, "", new_act(), payload)
redis.call("HSET", quota, "a" .. addition, fingerprint .. " " .. digits(bank.total))
return { FUNDED, bank.total }

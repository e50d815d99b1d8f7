-- Bring an aged redemption and its coupons back from Postgres, only where there is none.
--
-- The reader says at which cursor he read. If something was evicted after that, what he read may be older than what left, and he
-- has to read again. `mark_then` is the wallet's mark as he saw it, "" for none.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local evicted_epoch, evicted_n = string.match(book.cell.evicted, "^(%d+)-(%d+)$")
evicted_epoch, evicted_n = tonumber(evicted_epoch), tonumber(evicted_n)
if cursor_epoch < evicted_epoch or (cursor_epoch == evicted_epoch and cursor_n < evicted_n) then return { BEHIND } end
if (redis.call("HGET", wallet, "r" .. redemption) or "") ~= mark_then then return { THERE } end

local kept = cmsgpack.pack(body, unpack(head))
local record = unpack_redemption(kept)
local mark, order_mark = settled_mark(record, hour), "o" .. record.order
local fields = { "r" .. redemption, mark }
-- An order that was confirmed says so again, unless another redemption of it has come since.
if string.sub(mark, 1, 1) == "c" and redis.call("HEXISTS", wallet, order_mark) == 0 then fields[3], fields[4] = order_mark, redemption end
for _, pair in ipairs(coupons) do
  local field, values = unpack(pair)
  if redis.call("HEXISTS", wallet, field) == 0 then
    fields[#fields + 1] = field
    fields[#fields + 1] = cmsgpack.pack(unpack(values))
  end
end

-- Below this line nothing may refuse: the record, its mark and coupons, and the day on which they may leave again.
redis.call("HSET", settled, redemption, kept)
redis.call("HSET", wallet, unpack(fields))
redis.call("ZADD", due, "LT", digits(book.at_ms + age_ms), "u" .. user)
return { LOADED }

-- Let the settled redemptions of one hour leave Redis, all at once. Their marks in the wallets stay for `remember_s`.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local over_ms = (hour + 1) * HOUR_MS
if over_ms + age_ms > book.at_ms or over_ms >= flushed_ms then return { NOT_DUE } end

-- Below this line nothing may refuse.
book.cell.evicted, book.cell.is_touched = tail_of(journal), true
save_book(book)
redis.call("UNLINK", settled)
return { EVICTED }

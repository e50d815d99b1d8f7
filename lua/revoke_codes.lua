-- Take a whole batch of codes out of use in a cell, however many they are. A cell that has none of it yet learns that it never will.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local record = batch_of(quota, batch) or { campaign = campaign, state = BATCH.live, limit = limit, loaded = 0, claimed = 0, revoked = 0, line = line }
if record.state == BATCH.revoked then return { REPLAYED } end

-- Below this line nothing may refuse.
record.state = BATCH.revoked
write_act(journal, book, ACT.codes_revoked, "", new_act(), payload)
put_batch(quota, batch, record)
return { REVOKED }

-- Journal that this cell has reached an instant: no later entry of the cell carries an earlier one.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
write_act(journal, book, ACT.tick, "", new_act(), "")
return { TICKED, book.at_ms }

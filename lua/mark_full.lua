-- Refuse what spends while a cell's unflushed journal is over its limit, or allow it again. What gives back always works.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
if book.cell.full ~= full then
  book.cell.full, book.cell.is_touched = full, true
  save_book(book)
end
return { MARKED }

-- Tell a cell in which epochs other cells are open, or are about to be (`cells`, [[cell, epoch]...]). From then on it refuses what those sent
-- before: grants of their banks, so that what it tells them next is all there is, and what they had returned and told to its own.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
for _, cell in ipairs(cells) do
  if not is_whole(cell[1]) or not is_whole(cell[2]) then error("argument cells is not cells and epochs") end
end
learn_epochs(quota, cells)
return { MET }

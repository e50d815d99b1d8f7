-- Tell a cell in which epochs the banks of other cells are open (`homes`, [[cell, epoch]...]). From then on it refuses what those banks
-- sent before, so that what it tells them next is all there is.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
for _, home in ipairs(homes) do
  if not is_whole(home[1]) or not is_whole(home[2]) then error("argument homes is not cells and epochs") end
end
learn_epochs(quota, homes)
return { MET }

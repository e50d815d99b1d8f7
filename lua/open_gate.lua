-- Open a cell in a new epoch, from exactly the tail that was compared with Postgres; or join the running one, as a new library
-- does beside an older one that is open. The new epoch's entry 0 repeats the tail, so that a hole or a lost tail can be proved.

local raw = redis.call("HGET", quota, "cell")
local cell = raw and unpack_cell(raw) or { format = FORMAT, epoch = 0, at_ms = 0, full = 0, rebuilding = 0, evicted = "0-0" }
if cell.rebuilding == 1 then return { REBUILDING } end
if is_joining == 1 and cell.epoch == epoch then
  gate[quota] = epoch
  return { JOINED }
end
local tail_now = tail_of(journal)
if tail_now ~= tail or epoch <= cell.epoch then return { TAIL_MOVED, tail_now } end

cell.epoch, cell.at_ms = epoch, math.max(cell.at_ms, now_ms)
gate[quota] = epoch
cell.is_touched = true
local book = new_book(quota, cell, false, {})
write_act(journal, book, ACT.opened, "", new_act(), tail)
return { OPENED }

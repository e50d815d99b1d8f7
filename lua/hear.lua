-- Tell the banks of a cell what another cell was granted and has returned (`leases`, [[name, granted, returned]...]): what they have
-- forgotten they learn, unless the cell has told it before it was opened anew (`cell_epoch`): it may know less since. Once every cell has told all it has (`is_all` with the last of it), the banks may grant again.

local names = {}
for i, told in ipairs(leases) do
  if not is_whole(told[2]) or not is_whole(told[3]) then error("argument leases is not leases") end
  names[i] = "v" .. told[1]
end
local book = open_book(quota, names, now_ms)
if not book then return { GATE_CLOSED } end
if epoch ~= book.cell.epoch then return { OLDER_EPOCH, book.cell.epoch } end
local cell_epoch_now = known_epoch(quota, cell)
if cell_epoch < cell_epoch_now then return { OLDER_EPOCH, cell_epoch_now } end

local has_changed = false
for i, told in ipairs(leases) do
  local bank = book.records[names[i]]
  if bank and (told[2] > 0 or told[3] > 0) then
    local lease = lease_of(bank, cell)
    if told[2] > lease[2] or told[3] > lease[3] then
      lease[2], lease[3], has_changed = math.max(lease[2], told[2]), math.max(lease[3], told[3]), true
      touch(book, names[i])
    end
  end
end
if has_changed then save_book(book) end
if is_all == 1 then
  local told = heard[quota]
  if not told or told.epoch ~= epoch then
    told = { epoch = epoch, count = 0, cells = {} }
    heard[quota] = told
  end
  if not told.cells[cell] then told.cells[cell], told.count = true, told.count + 1 end
end
return { HEARD }

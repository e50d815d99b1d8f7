-- Leases: what a quota's bank, in its home cell, has lent to the cells, and in which epochs either side may be believed.

-- The lease of a cell in a bank, made empty where there is none yet: { cell, granted, returned, lent_ms, lent }.
local function lease_of(bank, cell)
  for _, lease in ipairs(bank.leases) do
    if lease[1] == cell then return lease end
  end
  bank.leases[#bank.leases + 1] = { cell, 0, 0 }
  return bank.leases[#bank.leases]
end

-- What a bank may still grant. What a cut has taken is gone for everyone else.
local function free_of(bank)
  local free = bank.total - (bank.taken or 0)
  for _, lease in ipairs(bank.leases) do free = free - (lease[2] - lease[3]) end
  return free
end

-- Which cells have told the banks of a home cell what they were granted and have returned, in the epoch in which that home was opened. In
-- the library and not in the data, like the gate and for the same reason: whoever has been restored asks again.
local heard = {}

local function has_heard(quota, epoch, cells)
  local told = heard[quota]
  return told and told.epoch == epoch and told.count >= cells
end

-- The epochs of other cells, as this cell was told: what one sent in an earlier one is refused, be it as a bank or as a borrower. They lie
-- CELLS_PER_FIELD to a field, each short enough for a small hash: as a field for each of 64 cells they made every act look through all of
-- them, at 2 µs a read and 5 a write of some 120 (2026-11-22).
local function epochs_in(quota, block)
  local raw = redis.call("HGET", quota, "h" .. block)
  if raw then return cmsgpack.unpack(raw) end
  local epochs = {}
  for i = 1, CELLS_PER_FIELD do epochs[i] = 0 end
  return epochs
end

local function known_epoch(quota, cell)
  return epochs_in(quota, floor(cell / CELLS_PER_FIELD))[cell % CELLS_PER_FIELD + 1]
end

-- Learn epochs of cells ([[cell, epoch]...]); one that is not higher says nothing new.
local function learn_epochs(quota, cells)
  local blocks, changed = {}, {}
  for _, cell in ipairs(cells) do
    local block, place = floor(cell[1] / CELLS_PER_FIELD), cell[1] % CELLS_PER_FIELD + 1
    blocks[block] = blocks[block] or epochs_in(quota, block)
    if cell[2] > blocks[block][place] then blocks[block][place], changed[block] = cell[2], true end
  end
  for block in pairs(changed) do redis.call("HSET", quota, "h" .. block, cmsgpack.pack(blocks[block])) end
end

-- What the field of an addition says: its fingerprint, and the limit that was answered once it is done.
local function addition_of(field)
  return string.match(field, "^%S+"), string.match(field, "^%S+ (%d+)$")
end

-- What a lease has in use: it is in cells what a bank's total is spent on.
local function used_of(record)
  if record.held then return record.held + record.spent end
  return record.issued - record.revoked
end

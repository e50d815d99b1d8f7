-- Tell a shut cell what every bank says of its leases (`leases`, [[name, granted, returned, opens, closes]...]) and in which epochs those
-- banks are (`homes`, [[cell, epoch]...]): a grant that was on its way has come, a return that was told is not taken twice.
--
-- Then it returns all that it does not use, of every quota that it has (those that no bank lends are listed as nothing). What it
-- returned before may have been forgotten, here or at the bank, and lent to somebody else since: a server that comes back without its last
-- seconds, a replica that was behind, a cell that is written anew. Its bank may have forgotten the grant of what it does use as well: then it
-- was granted that, and tells the bank.

local raw = redis.call("HGET", quota, "cell")
local cell = raw and unpack_cell(raw)
if cell and gate[quota] == cell.epoch and cell.rebuilding == 0 then return { OPEN } end
local names = {}
for i, lease in ipairs(leases) do
  for place = 2, 5 do
    if not is_whole(lease[place]) then error("argument leases is not leases") end
  end
  names[i] = lease[1]
end
local known = #names > 0 and redis.call("HMGET", quota, unpack(names)) or {}
local fields = {}
for i, lease in ipairs(leases) do
  local name, granted, returned, opens_ms, closes_ms = unpack(lease)
  local is_money = sub(name, 1, 1) == "b"
  local record = known[i] and UNPACK[sub(name, 1, 1)](known[i])
  if not record and is_money then
    record = { opens_ms = opens_ms, closes_ms = closes_ms, granted = 0, returned = 0, held = 0, spent = 0 }
  end
  -- A campaign that this cell has not heard of is published to it first; then its bank is asked for what it granted.
  if record then
    record.granted, record.returned = math.max(record.granted, granted), math.max(record.returned, returned)
    local used = used_of(record)
    record.returned = math.max(record.returned, record.granted - used)
    record.granted = math.max(record.granted, record.returned + used)
    fields[#fields + 1] = name
    fields[#fields + 1] = (is_money and pack_budget or pack_campaign)(record)
  end
end
if #fields > 0 then redis.call("HSET", quota, unpack(fields)) end
learn_epochs(quota, homes)
return { TAKEN }

-- Shut a cell and mark it as being rebuilt. The mark is in the data, so it outlives a crash of the rebuild; it leaves with
-- the rebuild's last write.

local raw = redis.call("HGET", quota, "cell")
local cell = raw and unpack_cell(raw) or { format = FORMAT, epoch = 0, at_ms = 0, full = 0, evicted = "0-0" }
cell.rebuilding = 1
gate[quota] = nil
redis.call("HSET", quota, "cell", (pack_cell(cell)))
return { BEGUN }

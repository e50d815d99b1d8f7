-- Whether this library holds a cell open (0: no), the cell's own record (empty: none), and the journal's tail.

return { KNOWN, gate[quota] or 0, redis.call("HGET", quota, "cell") or "", tail_of(journal) }

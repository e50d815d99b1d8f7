-- What every body shares: numbers that cannot lie, the cell's book, and the one way to write an act.
--
-- A body reads, decides, and only then writes. `open_book` reads the cell's own record and the quotas an act
-- touches in one call; the `move_*` functions change them in memory only, and keep the exact delta of each;
-- `write_act` puts the journal entry first, because it is the one write with failure modes of its own, and then the book.
-- Until `write_act` runs, leaving is free: nothing has been written.

-- The epoch in which each cell was opened, by the name of its quota hash. It lives in the library and not in the data on
-- purpose: a restart, a failover or another dataset forgets it, and the cell stays shut until it has been compared with Postgres.
local gate = {}

local WHOLE_MAX = 9007199254740991

local function is_whole(n)
  return type(n) == "number" and n >= 0 and n <= WHOLE_MAX and n % 1 == 0
end

-- tonumber() takes "nan", "0x10" and " 12 "; this does not.
local function whole(text, name)
  local n = string.match(text, "^%d+$") and #text <= 16 and tonumber(text)
  if not is_whole(n) then error("argument " .. name .. " is not a whole number") end
  return n
end

-- A decoded JSON list, or an error that names it before anything is written.
local function list(text, name)
  local ok, decoded = pcall(cjson.decode, text)
  if not ok or type(decoded) ~= "table" then error("argument " .. name .. " is not a list") end
  return decoded
end

-- `..` and tostring() write 1e+14; this writes the digits.
local function digits(n)
  return string.format("%.0f", n)
end

-- The numbers of budgets and campaigns are small, and `..` writes them as they are.
local function budget_name(budget) return "b" .. budget end
local function campaign_name(campaign) return "k" .. campaign end
local function count_name(campaign) return "n" .. campaign end

local UNPACK = { b = unpack_budget, k = unpack_campaign, v = unpack_bank }
local PACK = { b = pack_budget, k = pack_campaign, v = pack_bank }

-- Read more quotas into the book; those that are there already are not read again.
local function read_quotas(book, names)
  local missing = {}
  for _, name in ipairs(names) do
    if book.records[name] == nil then
      missing[#missing + 1] = name
      book.records[name] = false
    end
  end
  if #missing == 0 then return end
  local raw = redis.call("HMGET", book.quota, unpack(missing))
  for i, name in ipairs(missing) do
    if raw[i] then book.records[name] = UNPACK[string.sub(name, 1, 1)](raw[i]) end
  end
end

-- What an act has in memory: the records of the quotas by name, those of them that have changed in the order of their first change,
-- and the moves of idle money.
local function new_book(quota, cell)
  return { quota = quota, cell = cell, at_ms = cell.at_ms, records = {}, changed = {}, idle = {} }
end

-- The cell's own record and the named quotas, or nothing while the gate is shut. The book's instant never falls.
local function open_book(quota, names, now_ms)
  local raw = redis.call("HMGET", quota, "cell", unpack(names))
  if not raw[1] then return nil end
  local cell = unpack_cell(raw[1])
  if gate[quota] ~= cell.epoch or cell.rebuilding == 1 or cell.format > FORMAT then return nil end
  if now_ms > cell.at_ms then cell.at_ms = now_ms end
  local book = new_book(quota, cell)
  for i, name in ipairs(names) do
    book.records[name] = raw[i + 1] and UNPACK[string.sub(name, 1, 1)](raw[i + 1]) or false
  end
  return book
end

-- A quota whose record has changed is written with the book.
local function touch(book, name)
  local record = book.records[name]
  if record.is_touched then return record end
  record.is_touched = true
  book.changed[#book.changed + 1] = name
  return record
end

-- Change a quota, and keep by how much: limit, held and spent of a budget; stock, issued, revoked, reserved and redeemed of a campaign.
-- What a limit or a stock gains stands at the bank; the cell's record keeps its lease.
local function move_limit(book, name, more)
  local record = touch(book, name)
  record.more = (record.more or 0) + more
end

local function move_budget(book, budget, held_minor, spent_minor)
  local record = touch(book, budget_name(budget))
  record.held, record.held_more = record.held + held_minor, (record.held_more or 0) + held_minor
  record.spent, record.spent_more = record.spent + spent_minor, (record.spent_more or 0) + spent_minor
end

local function move_campaign(book, campaign, issued, revoked, reserved, redeemed)
  local record = touch(book, campaign_name(campaign))
  record.issued, record.issued_more = record.issued + issued, (record.issued_more or 0) + issued
  record.revoked, record.revoked_more = record.revoked + revoked, (record.revoked_more or 0) + revoked
  record.reserved, record.reserved_more = record.reserved + reserved, (record.reserved_more or 0) + reserved
  record.redeemed, record.redeemed_more = record.redeemed + redeemed, (record.redeemed_more or 0) + redeemed
end

local function note_idle(book, campaign, budget, held_minor)
  for _, move in ipairs(book.idle) do
    if move[1] == campaign and move[2] == budget then
      move[3] = move[3] + held_minor
      return
    end
  end
  book.idle[#book.idle + 1] = { campaign, budget, held_minor }
end

-- Money held at issue for coupons that nobody has reserved, per budget, so that a stop gives it back in one step.
local function move_idle(book, campaign, budget, held_minor)
  local record = touch(book, campaign_name(campaign))
  note_idle(book, campaign, budget, held_minor)
  for _, pair in ipairs(record.idle) do
    if pair[1] == budget then
      pair[2] = pair[2] + held_minor
      return
    end
  end
  record.idle[#record.idle + 1] = { budget, held_minor }
end

local function available(budget)
  return budget.granted - budget.returned - budget.held - budget.spent
end

local function stock_left(campaign)
  return campaign.granted - campaign.returned - campaign.issued + campaign.revoked
end

-- A sequence of packed values behind the first byte of an array is that array.
local function as_array(packed, count)
  return string.char(144 + count) .. packed
end

local function array_of(packed)
  local count = #packed
  if count == 0 then return "\144" end
  local head = count < 16 and string.char(144 + count) or "\220" .. struct.pack(">I2", count)
  return head .. (count == 1 and packed[1] or table.concat(packed))
end

-- The exact deltas of an act, packed; a record that was only touched has none.
local function moves_of(book)
  local moves = {}
  for _, name in ipairs(book.changed) do
    local t = book.records[name]
    if t.held_more or t.more and t.held then
      moves[#moves + 1] = "\148" .. cmsgpack.pack(name, t.more or 0, t.held_more or 0, t.spent_more or 0)
    elseif t.issued_more or t.more then
      moves[#moves + 1] = "\150" ..
        cmsgpack.pack(name, t.more or 0, t.issued_more or 0, t.revoked_more or 0, t.reserved_more or 0, t.redeemed_more or 0)
    end
  end
  for _, move in ipairs(book.idle) do
    moves[#moves + 1] = "\147" .. cmsgpack.pack("i" .. move[1], move[2], move[3])
  end
  return moves
end

-- What an act is going to write: the records that its entry carries, packed, and the fields of the wallet.
local function new_act()
  return { coupons = {}, redemptions = {}, counts = {}, fields = {} }
end

local function put_field(act, field, value)
  local fields = act.fields
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end

local function put_coupon(act, field, coupon)
  local packed, places = pack_coupon(coupon)
  act.coupons[#act.coupons + 1] = "\146" .. cmsgpack.pack(field) .. as_array(packed, places)
  put_field(act, field, packed)
end

local function put_count(act, campaign, count)
  act.counts[#act.counts + 1] = "\146" .. cmsgpack.pack(campaign, count)
  put_field(act, count_name(campaign), count)
end

-- A redemption's record, and its body where that is new. Answers the packed record, as it is kept.
local function put_redemption(act, redemption, head, body)
  local packed, places = pack_redemption(head)
  act.redemptions[#act.redemptions + 1] = "\147" .. cmsgpack.pack(redemption) .. as_array(packed, places) .. cmsgpack.pack(body)
  return packed
end

-- Write the cell's record and every quota that has changed.
local function save_book(book)
  local fields = { "cell", (pack_cell(book.cell)) }
  for _, name in ipairs(book.changed) do
    fields[#fields + 1] = name
    fields[#fields + 1] = (PACK[string.sub(name, 1, 1)](book.records[name]))
  end
  redis.call("HSET", book.quota, unpack(fields))
end

-- Write an act: the journal entry first, then the book. The entry is one field, whose name is the format: whoever reads thousands a
-- second pays for each field.
local function write_act(journal, book, word, user, act, payload)
  redis.call("XADD", journal, book.cell.epoch .. "-*", FORMAT,
    "\152" .. cmsgpack.pack(word, book.at_ms, user) .. array_of(moves_of(book)) .. array_of(act.coupons)
    .. array_of(act.redemptions) .. array_of(act.counts) .. cmsgpack.pack(payload))
  save_book(book)
end

-- The id of the journal's last entry, also after it was trimmed; "0-0" where there is no journal yet.
local function tail_of(journal)
  if redis.call("EXISTS", journal) == 0 then return "0-0" end
  local facts = redis.call("XINFO", "STREAM", journal)
  for i = 1, #facts, 2 do
    if facts[i] == "last-generated-id" then return facts[i + 1] end
  end
end

-- The lease of a cell in a bank, made empty where there is none yet: { cell, granted, returned }.
local function lease_of(bank, cell)
  for _, lease in ipairs(bank.leases) do
    if lease[1] == cell then return lease end
  end
  bank.leases[#bank.leases + 1] = { cell, 0, 0 }
  return bank.leases[#bank.leases]
end

-- What a bank may still grant.
local function free_of(bank)
  local free = bank.total
  for _, lease in ipairs(bank.leases) do free = free - (lease[2] - lease[3]) end
  return free
end

-- A coupon nobody can use any more: its end has passed, or its campaign was stopped.
local function is_over(coupon, campaign, at_ms)
  return coupon.ends_at_ms <= at_ms or campaign.state == CAMPAIGN.stopped
end

-- The quotas that a redemption's coupons touch.
local function quotas_of(head)
  local names = {}
  for _, held in ipairs(head.coupons) do
    names[#names + 1] = campaign_name(held[2])
    for _, share in ipairs(held[5]) do names[#names + 1] = budget_name(share[1]) end
  end
  return names
end

-- The wallet's coupons of a redemption, by field. A head without coupons reads nothing.
local function coupons_of(wallet, head)
  local fields, coupons = {}, {}
  for i, held in ipairs(head.coupons) do fields[i] = held[1] end
  if #fields == 0 then return coupons end
  local raw = redis.call("HMGET", wallet, unpack(fields))
  for i, field in ipairs(fields) do
    if raw[i] then coupons[field] = unpack_coupon(raw[i]) end
  end
  return coupons
end

-- Give back, in memory, exactly what a hold took: its coupons, and to each budget what was taken from it. A coupon whose
-- end passed meanwhile ends with the hold; money held at issue stays held only while the coupon can still be used.
local function release(book, head, coupons)
  for _, held in ipairs(head.coupons) do
    local field, campaign, _, at_issue, shares = unpack(held)
    local coupon = coupons[field]
    local over = is_over(coupon, book.records[campaign_name(campaign)], book.at_ms)
    coupon.redemption = nil
    coupon.state = over and COUPON.ended or COUPON.issued
    coupon.since_ms = over and book.at_ms or nil
    if over then coupon.holds = nil end
    move_campaign(book, campaign, 0, 0, -1, 0)
    for _, share in ipairs(shares) do
      local budget, held_minor = share[1], share[2]
      if at_issue == 1 and not over then
        move_idle(book, campaign, budget, held_minor)
      else
        move_budget(book, budget, -held_minor, 0)
      end
    end
  end
end

-- The coupons of a redemption, put into an act.
local function put_coupons(act, head, coupons)
  for _, held in ipairs(head.coupons) do put_coupon(act, held[1], coupons[held[1]]) end
end

-- The wallet's mark of a redemption: where its record is. "o" open; else a letter and the hour in which it was settled:
-- "c" an order that was confirmed, "x" one that came to nothing.
local function settled_mark(head, hour)
  local nothing = head.state == REDEMPTION.cancelled or head.state == REDEMPTION.expired
  return (nothing and "x" or "c") .. hour
end

-- End an open hold as cancelled or expired: write the act and move the record to the settled ones of the hour.
local function close_hold(at, book, word, state, user, redemption, head, body, hour)
  local coupons = coupons_of(at.wallet, head)
  read_quotas(book, quotas_of(head))
  release(book, head, coupons)
  head.state = state
  head.since_ms = book.at_ms
  head.revision = head.revision + 1

  -- Below this line nothing may refuse.
  local act = new_act()
  put_field(act, "r" .. redemption, settled_mark(head, hour))
  put_coupons(act, head, coupons)
  local packed = put_redemption(act, redemption, head, "")
  write_act(at.journal, book, word, user, act, "")
  redis.call("HSET", at.wallet, unpack(act.fields))
  redis.call("HDEL", at.open, redemption, redemption .. ".body")
  redis.call("HSET", at.settled, redemption, packed, redemption .. ".body", body)
  redis.call("ZREM", at.due, "r" .. user .. redemption)
  return packed
end

-- Give back, in memory, the money that an unused coupon holds since its issue. What a stopped campaign held is back already.
local function give_back_holds(book, campaign, coupon)
  if not coupon.holds then return end
  local stopped = book.records[campaign_name(campaign)].state == CAMPAIGN.stopped
  local names = {}
  for i, hold in ipairs(coupon.holds) do names[i] = budget_name(hold[1]) end
  read_quotas(book, names)
  for _, hold in ipairs(stopped and {} or coupon.holds) do
    move_budget(book, hold[1], -hold[2], 0)
    move_idle(book, campaign, hold[1], -hold[2])
  end
  coupon.holds = nil
end

-- Turn, in memory, what a hold took into spent money and redeemed coupons; what was held beyond the discount goes back.
local function redeem(book, head, coupons)
  for _, held in ipairs(head.coupons) do
    local field, campaign, _, _, shares = unpack(held)
    local coupon = coupons[field]
    coupon.state, coupon.since_ms, coupon.holds = COUPON.redeemed, book.at_ms, nil
    move_campaign(book, campaign, 0, 0, -1, 1)
    for _, share in ipairs(shares) do move_budget(book, share[1], -share[2], share[3]) end
  end
  head.state = REDEMPTION.confirmed
  head.since_ms, head.confirmed_ms = book.at_ms, book.at_ms
  head.revision = head.revision + 1
end

-- The cell's book: what an act reads, changes in memory, and keeps.
--
-- A body reads, decides, and only then writes. `open_book` reads the cell's own record and the quotas an act
-- touches in one call; the `move_*` functions change them in memory only, and keep the exact delta of each; `save_book` writes what
-- has changed. Until then leaving is free: nothing has been written.

-- The epoch in which each cell was opened, by the name of its quota hash. It lives in the library and not in the data on
-- purpose: a restart, a failover or another dataset forgets it, and the cell stays shut until it has been compared with Postgres.
local gate = {}

local UNPACK = { b = unpack_budget, k = unpack_campaign, v = unpack_bank }
local PACK = { b = pack_budget, k = pack_campaign, v = pack_bank }

-- A quota's record, packed as what it is.
local function packed_quota(record)
  return (record.held_more and pack_budget or record.issued_more and pack_campaign or pack_bank)(record)
end

-- What this library wrote last it still has unpacked: a record that says with which bytes it was written, by the name of its quota, for
-- each cell. Only a record whose bytes are those that Redis has now is taken, so nothing depends on who wrote in between; and who takes one
-- takes it away, so that what an act changed in memory and did not write is never seen again.
local shelf, shelved, NONE = {}, 0, {}
local SHELVED_MAX = 4096

-- The record that some bytes say.
local function record_of(quota, name, raw, unpack_record)
  local record = shelf[quota] and shelf[quota][name]
  if record and record.raw == raw then
    record.raw = false
    return record
  end
  return unpack_record(raw)
end

local function to_shelf(quota, name, record)
  if shelved == SHELVED_MAX then shelf, shelved = {}, 0 end
  shelf[quota] = shelf[quota] or {}
  if not shelf[quota][name] then shelved = shelved + 1 end
  shelf[quota][name] = record
end

-- A new quota, as if it had been read.
local function new_quota(book, name, record)
  book.records[name] = UNPACK[sub(name, 1, 1)]((PACK[sub(name, 1, 1)](record)))
  return book.records[name]
end

-- Read more quotas into the book; those that are there already are not read again.
local function read_quotas(book, names)
  local records, missing = book.records, {}
  for _, name in ipairs(names) do
    if records[name] == nil then
      missing[#missing + 1] = name
      records[name] = false
    end
  end
  if #missing == 0 then return end
  local raw = redis.call("HMGET", book.quota, unpack(missing))
  for i, name in ipairs(missing) do
    book.names[#book.names + 1] = name
    records[name] = raw[i] and record_of(book.quota, name, raw[i], UNPACK[sub(name, 1, 1)])
  end
end

-- What an act has in memory: the records of the named quotas by name, and the moves of idle money.
local function new_book(quota, cell, cell_raw, names)
  return {
    quota = quota, cell = cell, cell_raw = cell_raw, at_ms = cell.at_ms, names = names, idle = false,
    records = { [names[1] or 1] = false, [names[2] or 2] = false }, -- most acts touch two quotas; a table that grows is made anew
  }
end

-- The cell's own record and the named quotas, or nothing while the gate is shut. The book's instant never falls.
local function open_book(quota, names, now_ms)
  local raw = redis.call("HMGET", quota, "cell", unpack(names))
  if not raw[1] then return nil end
  local cell = record_of(quota, "cell", raw[1], unpack_cell)
  if gate[quota] ~= cell.epoch or cell.rebuilding == 1 or cell.format > FORMAT then return nil end
  if now_ms > cell.at_ms then cell.at_ms, cell.is_touched = now_ms, true end
  local book = new_book(quota, cell, raw[1], names)
  local records, on_shelf = book.records, shelf[quota] or NONE
  for i = 1, #names do
    local name, bytes = names[i], raw[i + 1]
    local record = on_shelf[name]
    if record and record.raw == bytes then
      record.raw, records[name] = false, record
    else
      records[name] = records[name] or bytes and UNPACK[sub(name, 1, 1)](bytes)
    end
  end
  return book
end

local function budget_of(book, budget) return book.records[budget_name(budget)] end
local function campaign_of(book, campaign) return book.records[campaign_name(campaign)] end

-- A quota whose record has changed is written with the book.
local function touch(book, name)
  local record = book.records[name]
  record.is_touched = true
  return record
end

-- Change a quota, and keep by how much: limit, held and spent of a budget; stock, issued, revoked, reserved and redeemed of a campaign.
-- What a limit or a stock gains stands at the bank; the cell's record keeps its lease.
local function move_limit(book, name, more)
  local record = touch(book, name)
  record.is_moved, record.more = true, record.more + more
end

local function move_budget(record, held_minor, spent_minor)
  record.is_touched, record.is_moved = true, true
  record.held, record.held_more = record.held + held_minor, record.held_more + held_minor
  if spent_minor ~= 0 then record.spent, record.spent_more = record.spent + spent_minor, record.spent_more + spent_minor end
end

local function move_campaign(record, issued, revoked, reserved, redeemed)
  record.is_touched, record.is_moved = true, true
  if issued ~= 0 then record.issued, record.issued_more = record.issued + issued, record.issued_more + issued end
  if revoked ~= 0 then record.revoked, record.revoked_more = record.revoked + revoked, record.revoked_more + revoked end
  if reserved ~= 0 then record.reserved, record.reserved_more = record.reserved + reserved, record.reserved_more + reserved end
  if redeemed ~= 0 then record.redeemed, record.redeemed_more = record.redeemed + redeemed, record.redeemed_more + redeemed end
end

local function note_idle(book, campaign, budget, held_minor)
  book.idle = book.idle or {}
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

-- What a budget's lease has left as it was read, whatever the act has moved in memory.
local function left_of(budget)
  return available(budget) + budget.held_more + budget.spent_more
end

local function stock_left(campaign)
  return campaign.granted - campaign.returned - campaign.issued + campaign.revoked
end

-- The exact deltas of an act, packed, and how many; a record that was only touched has none.
local function packed_moves(book)
  local names, records, packed, count = book.names, book.records, "", 0
  for i = 1, #names do
    local name = names[i]
    local t = records[name]
    if t and t.is_moved then
      if t.held_more then
        packed = packed .. LIST[4] .. TEXT[#name] .. name .. NUMBER[t.more] .. NUMBER[t.held_more] .. NUMBER[t.spent_more]
        t.held_more, t.spent_more = 0, 0
      else
        packed = packed .. LIST[6] .. TEXT[#name] .. name .. NUMBER[t.more] .. NUMBER[t.issued_more] .. NUMBER[t.revoked_more]
          .. NUMBER[t.reserved_more] .. NUMBER[t.redeemed_more]
        t.issued_more, t.revoked_more, t.reserved_more, t.redeemed_more = 0, 0, 0, 0
      end
      t.is_moved, t.more, count = false, 0, count + 1
    end
  end
  local idle = book.idle or NONE
  for i = 1, #idle do
    local move = idle[i]
    packed, count = packed .. LIST[3] .. cmsgpack.pack("i" .. move[1], move[2], move[3]), count + 1
  end
  return packed, count
end

-- Write the cell's record and every quota, where they have changed: at 4,000 acts a second most find the instant already there.
local function save_book(book)
  local quota, cell, names, records, fields, count = book.quota, book.cell, book.names, book.records, { nil, nil, nil, nil, nil, nil }, 0
  local on_shelf = shelf[quota] or NONE
  for i = 1, #names do
    local name = names[i]
    local record = records[name]
    if record and record.is_touched then
      local packed = packed_quota(record)
      fields[count + 1], fields[count + 2], count = name, packed, count + 2
      record.is_touched, record.raw = false, packed
      if on_shelf[name] ~= record then to_shelf(quota, name, record) end
    end
  end
  if cell.is_touched then
    fields[count + 1], fields[count + 2], count = "cell", pack_cell(cell), count + 2
    cell.is_touched, book.cell_raw = false, fields[count]
  end
  cell.raw = book.cell_raw
  if on_shelf.cell ~= cell then to_shelf(quota, "cell", cell) end
  if count > 0 then redis.call("HSET", quota, unpack(fields, 1, count)) end
end

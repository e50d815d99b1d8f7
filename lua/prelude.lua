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

local function budget_name(budget) return "b" .. digits(budget) end
local function campaign_name(campaign) return "k" .. digits(campaign) end
local function count_name(campaign) return "n" .. digits(campaign) end

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

-- The cell's own record and the named quotas, or nothing while the gate is shut. The book's instant never falls.
local function open_book(quota, names, now_ms)
  local raw = redis.call("HMGET", quota, "cell", unpack(names))
  if not raw[1] then return nil end
  local cell = unpack_cell(raw[1])
  if gate[quota] ~= cell.epoch or cell.rebuilding == 1 or cell.format > FORMAT then return nil end
  if now_ms > cell.at_ms then cell.at_ms = now_ms end
  local book = { quota = quota, cell = cell, at_ms = cell.at_ms, records = {}, moves = {}, moved = {} }
  for i, name in ipairs(names) do
    book.records[name] = raw[i + 1] and UNPACK[string.sub(name, 1, 1)](raw[i + 1]) or false
  end
  return book
end

-- Add deltas to what the act has already moved on this quota.
local function note_move(book, key, deltas)
  local move = book.moved[key]
  if not move then
    book.moved[key] = deltas
    book.moves[#book.moves + 1] = deltas
    return
  end
  for i = 2, #deltas do move[i] = move[i] + deltas[i] end
end

-- A quota whose record changes without a delta is written with the book too.
local function touch(book, name)
  book.moved[name] = book.moved[name] or false
end

local function move_budget(book, budget, held_minor, spent_minor)
  local name = budget_name(budget)
  local record = book.records[name]
  record.held = record.held + held_minor
  record.spent = record.spent + spent_minor
  note_move(book, name, { name, 0, held_minor, spent_minor })
end

local function move_campaign(book, campaign, issued, revoked, reserved, redeemed)
  local name = campaign_name(campaign)
  local record = book.records[name]
  record.issued = record.issued + issued
  record.revoked = record.revoked + revoked
  record.reserved = record.reserved + reserved
  record.redeemed = record.redeemed + redeemed
  note_move(book, name, { name, 0, issued, revoked, reserved, redeemed })
end

-- Money held at issue for coupons that nobody has reserved, per budget, so that a stop gives it back in one step.
local function move_idle(book, campaign, budget, held_minor)
  local idle = book.records[campaign_name(campaign)].idle
  local name = "i" .. digits(campaign)
  local move = book.moved[name .. "/" .. digits(budget)]
  if move then
    move[3] = move[3] + held_minor
  else
    move = { name, budget, held_minor }
    book.moved[name .. "/" .. digits(budget)] = move
    book.moves[#book.moves + 1] = move
  end
  touch(book, campaign_name(campaign))
  for _, pair in ipairs(idle) do
    if pair[1] == budget then
      pair[2] = pair[2] + held_minor
      return
    end
  end
  idle[#idle + 1] = { budget, held_minor }
end

local function available(budget)
  return budget.granted - budget.returned - budget.held - budget.spent
end

local function stock_left(campaign)
  return campaign.granted - campaign.returned - campaign.issued + campaign.revoked
end

-- Write the cell's record and every quota that moved.
local function save_book(book)
  local fields = { "cell", pack_cell(book.cell) }
  for name in pairs(book.moved) do
    local pack_quota = PACK[string.sub(name, 1, 1)]
    if pack_quota then
      fields[#fields + 1] = name
      fields[#fields + 1] = pack_quota(book.records[name])
    end
  end
  redis.call("HSET", book.quota, unpack(fields))
end

-- An act: the journal entry first, then the book. `changed` names the records that the entry carries. The entry is one field, whose
-- name is the format: whoever reads thousands a second pays for each field.
local function write_act(journal, book, act, user, changed, payload)
  redis.call("XADD", journal, digits(book.cell.epoch) .. "-*", FORMAT, pack_entry({
    act = act, at_ms = book.at_ms, user = user, moves = book.moves,
    coupons = changed.coupons or {}, redemptions = changed.redemptions or {}, counts = changed.counts or {}, payload = payload,
  }))
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

-- The coupons of a redemption as the journal carries them and as the wallet keeps them, appended to both lists.
local function put_coupons(head, coupons, effects, fields)
  for _, held in ipairs(head.coupons) do
    local field = held[1]
    effects[#effects + 1] = { field, values_coupon(coupons[field]) }
    fields[#fields + 1] = field
    fields[#fields + 1] = pack_coupon(coupons[field])
  end
end

-- The wallet's mark of a redemption: where its record is. "o" open; else a letter and the hour in which it was settled:
-- "c" an order that was confirmed, "x" one that came to nothing.
local function settled_mark(head, hour)
  local nothing = head.state == REDEMPTION.cancelled or head.state == REDEMPTION.expired
  return (nothing and "x" or "c") .. hour
end

-- End an open hold as cancelled or expired: write the act and move the record to the settled ones of the hour.
local function close_hold(at, book, act, state, user, redemption, head, body, hour)
  local coupons = coupons_of(at.wallet, head)
  read_quotas(book, quotas_of(head))
  release(book, head, coupons)
  head.state = state
  head.since_ms = book.at_ms
  head.revision = head.revision + 1

  -- Below this line nothing may refuse.
  local effects, fields = {}, { "r" .. redemption, settled_mark(head, hour) }
  put_coupons(head, coupons, effects, fields)
  write_act(at.journal, book, act, user, { coupons = effects, redemptions = { { redemption, values_redemption(head), "" } } }, "")
  redis.call("HSET", at.wallet, unpack(fields))
  redis.call("HDEL", at.open, redemption, redemption .. ".body")
  redis.call("HSET", at.settled, redemption, pack_redemption(head), redemption .. ".body", body)
  redis.call("ZREM", at.due, "r" .. user .. redemption)
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

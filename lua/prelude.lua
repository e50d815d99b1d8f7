-- What every body shares: numbers that cannot lie, the cell's book, and the one way to write an act.
--
-- A body reads, decides, and only then writes. `open_book` reads the cell's own record and the quotas an act
-- touches in one call; the `move_*` functions change them in memory only, and keep the exact delta of each;
-- `write_act` puts the journal entry first, because it is the one write with failure modes of its own, and then the book.
-- Until `write_act` runs, leaving is free: nothing has been written.

-- The epoch in which each cell was opened, by the name of its quota hash. It lives in the library and not in the data on
-- purpose: a restart, a failover or another dataset forgets it, and the cell stays shut until it has been compared with Postgres.
local gate = {}

-- Lua's own functions by names that are found at once: a global one is looked up in two tables and behind a guard, 250 instructions
-- each time. While a library is loaded it may not see them, so they and the tables below are filled in by the first call.
local function globals() return redis, struct, cmsgpack, unpack, ipairs, type end
local register_function = redis.register_function
local redis, struct, cmsgpack, unpack, ipairs, type
local find, sub, format, char, byte, floor
local SHORT, NUMBER, TEXT, LIST = {}, nil, {}, {}

local WHOLE_MAX = 9007199254740991

local function is_whole(n)
  return type(n) == "number" and n >= 0 and n <= WHOLE_MAX and n % 1 == 0
end

-- The whole number of a text that a pattern has found to be digits, or nothing. Those of up to two digits (flags, places, versions)
-- are in SHORT, by their text: who reads many asks it first.
local function whole_in(text)
  local n = #text <= 16 and text + 0
  return n and n <= WHOLE_MAX and n or nil
end

-- tonumber() takes "nan", "0x10" and " 12 "; this does not.
local function whole(text, name)
  return find(text, "^%d+$") and whole_in(text) or error("argument " .. name .. " is not a whole number")
end

-- A decoded JSON list, or an error that names it before anything is written.
local function list(text, name)
  if text == "[]" then return {} end
  local ok, decoded = pcall(cjson.decode, text)
  if not ok or type(decoded) ~= "table" then error("argument " .. name .. " is not a list") end
  return decoded
end

-- `..` and tostring() write 1e+14; this writes the digits. (%.0f would too, at four times the cost.)
local function digits(n)
  return format("%d", n)
end

-- The names of the quotas and counts, each made once: a number becomes text with the same snprintf as any fraction, 1,500
-- instructions. Budgets and campaigns are few, and beyond NAMES_MAX the table starts anew.
local NAMES_MAX = 4096
local function names_with(letter)
  local names, count = {}, 0
  return function(number)
    local name = names[number]
    if not name then
      if count == NAMES_MAX then names, count = {}, 0 end
      name, count = letter .. digits(number), count + 1
      names[number] = name
    end
    return name
  end
end
local budget_name, campaign_name, count_name = names_with("b"), names_with("k"), names_with("n")

-- How the parts of a record and of an entry are packed. `cmsgpack.pack` makes a text of each value and joins those: with it
-- packing was 59,000 of a reserve's 444,000 instructions. Instead a text stands behind TEXT[its length], the values of a list behind
-- LIST[how many], a number is NUMBER[it], and all of a record is joined by one `..`: every text made on the way is hashed to its last byte.
-- An act packs few numbers (its instant, the end of a hold, a discount), each several times and the next act some of them again, so NUMBER
-- keeps them: 100 instructions where struct.pack takes 700. The counts of a quota, which are never the same again, go to struct.pack.
-- It keeps only as many as some hundred acts need: the collector looks at every text that lives, and 4,096 of them made an issue 8 % dearer.
local NUMBERS_MAX, TEXTS_MAX = 256, 4095 -- so many are kept once they were needed; numbers are then all forgotten
local is_ready = false

local function new_numbers()
  local numbers, count = {}, 0
  for n = -32, 127 do numbers[n] = char(n % 256) end
  return setmetatable(numbers, { __index = function(_, n)
    if count == NUMBERS_MAX then
      NUMBER = new_numbers()
      return NUMBER[n]
    end
    local packed = cmsgpack.pack(n)
    numbers[n], count = packed, count + 1
    return packed
  end })
end

local function make_ready()
  redis, struct, cmsgpack, unpack, ipairs, type = globals()
  find, sub, format, char, byte, floor = string.find, string.sub, string.format, string.char, string.byte, math.floor
  for n = 0, 99 do SHORT[format("%d", n)] = n end
  NUMBER = new_numbers()
  for length = 0, 31 do TEXT[length] = char(160 + length) end
  for length = 0, 15 do LIST[length] = char(144 + length) end
  setmetatable(TEXT, { __index = function(_, length)
    local head = length < 256 and char(217, length) or length < 65536 and char(218, floor(length / 256), length % 256) or "\219" .. struct.pack(">I4", length)
    if length <= TEXTS_MAX then TEXT[length] = head end
    return head
  end })
  setmetatable(LIST, { __index = function(_, length) return "\220" .. struct.pack(">I2", length) end })
  is_ready = true
end

-- Any list, most often empty.
local function packed_list(values)
  return #values == 0 and LIST[0] or cmsgpack.pack(values)
end

-- The coupons of a redemption.
local function packed_coupons(coupons)
  local packed = LIST[#coupons]
  for i = 1, #coupons do
    local held = coupons[i]
    local field, shares, paid = held[1], held[5], ""
    for j = 1, #shares do
      local share = shares[j]
      paid = paid .. LIST[4] .. NUMBER[share[1]] .. NUMBER[share[2]] .. NUMBER[share[3]] .. NUMBER[share[4]]
    end
    packed = packed .. LIST[5] .. TEXT[#field] .. field .. NUMBER[held[2]] .. NUMBER[held[3]] .. NUMBER[held[4]] .. LIST[#shares] .. paid
  end
  return packed
end

--@ pack_<record> and unpack_<record>

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

-- What an act is going to write: the records that its entry carries, packed, and the coupons as fields of the wallet.
local function new_act()
  return {
    coupons = "", coupon_count = 0, redemptions = "", redemption_count = 0, body_head = "", body = "", counts = LIST[0], fields = false,
  }
end

-- A coupon's record. Answers it packed, as it is kept.
local function put_coupon(act, field, coupon)
  local packed, places = pack_coupon(coupon)
  act.coupons, act.coupon_count = act.coupons .. LIST[2] .. TEXT[#field] .. field .. LIST[places] .. packed, act.coupon_count + 1
  local fields = act.fields
  if not fields then
    act.fields = { field, packed }
  else
    fields[#fields + 1] = field
    fields[#fields + 1] = packed
  end
  return packed
end

-- An act changes one count at most.
local function put_count(act, campaign, count)
  act.counts = LIST[1] .. LIST[2] .. NUMBER[campaign] .. TEXT[#count] .. count
end

-- A redemption's record, and its body where that is new. Answers it as it is kept: the body before the places. The last body waits by
-- itself, so that it is joined only once.
local function put_redemption(act, redemption, head, new_body)
  local packed, places = pack_redemption(head)
  act.redemptions = act.redemptions .. act.body_head .. act.body .. LIST[3] .. TEXT[#redemption] .. redemption .. LIST[places] .. packed
  act.body_head, act.body, act.redemption_count = TEXT[#new_body], new_body, act.redemption_count + 1
  local body = head.body
  return TEXT[#body] .. body .. packed
end

-- The wallet's fields of an act's coupons, to stand last in a call.
local function coupon_fields(act)
  if act.fields then return unpack(act.fields) end
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

-- New entries of an epoch get the epoch's next number.
local next_entry = {}

-- The id of the entry that a call has written. It stands last in the reply, so that whoever is answered can say what was lost if a master is.
local written = false

-- Write an act: the journal entry first, then the book. What the act did is one field, whose name is the format: whoever reads thousands a
-- second pays for each field. The facts are another, where there are any: joined to the rest they would be one more text of some
-- kilobytes to make and to hash.
local function write_act(journal, book, word, user, act, payload)
  local epoch = book.cell.epoch
  local id = next_entry[epoch]
  if not id then
    next_entry = { [epoch] = digits(epoch) .. "-*" }
    id = next_entry[epoch]
  end
  local moves, move_count = packed_moves(book)
  local packed = LIST[7] .. TEXT[#word] .. word .. NUMBER[book.at_ms] .. TEXT[#user] .. user .. LIST[move_count] .. moves
    .. LIST[act.coupon_count] .. act.coupons .. LIST[act.redemption_count] .. act.redemptions .. act.body_head .. act.body .. act.counts
  if payload == "" then
    written = redis.call("XADD", journal, id, ENTRY_FORMAT, packed)
  else
    written = redis.call("XADD", journal, id, ENTRY_FORMAT, packed, ENTRY_FACTS, payload)
  end
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

-- The epochs of other cells' banks, as this cell was told: messages of an earlier one are refused. They lie HOMES_PER_FIELD to a field,
-- each short enough for a small hash: as a field for each of 64 homes they made every act look through all of them, at 2 µs a read and
-- 5 a write of some 120 (2026-11-22).
local function homes_in(quota, block)
  local raw = redis.call("HGET", quota, "h" .. block)
  if raw then return cmsgpack.unpack(raw) end
  local epochs = {}
  for i = 1, HOMES_PER_FIELD do epochs[i] = 0 end
  return epochs
end

local function bank_epoch(quota, home)
  return homes_in(quota, floor(home / HOMES_PER_FIELD))[home % HOMES_PER_FIELD + 1]
end

-- Learn epochs of banks (`homes`, [[cell, epoch]...]); one that is not higher says nothing new.
local function learn_epochs(quota, homes)
  local blocks, changed = {}, {}
  for _, home in ipairs(homes) do
    local block, place = floor(home[1] / HOMES_PER_FIELD), home[1] % HOMES_PER_FIELD + 1
    blocks[block] = blocks[block] or homes_in(quota, block)
    if home[2] > blocks[block][place] then blocks[block][place], changed[block] = home[2], true end
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

-- A coupon nobody can use any more: its end has passed, or its campaign was stopped.
local function is_over(coupon, campaign, at_ms)
  return coupon.ends_at_ms <= at_ms or campaign.state == CAMPAIGN.stopped
end

-- The coupons that a reserve asks for, as a redemption will hold them and with the version they were priced from behind, their fields and
-- the quotas they touch. Read by patterns, because cjson is 20,000 instructions for one coupon; what no pattern knows is not money.
local ONE_COUPON = '^%["([^"\\]*)",(%d+),(%d+),(%d+),([01]),(%b[])%][,%]]'
local BRACKET, BRACKET_END = 91, 93
local ONE_SHARE = "^%[(%d+),(%d+)%][,%]]"

local function not_money(text)
  list(text, "coupons")
  error("argument coupons is not money")
end

local function asked_shares(text, coupons)
  local shares, count, place = { nil }, 0, 2
  while place < #text do
    local _, last, budget, amount_minor = find(text, ONE_SHARE, place)
    if not last then not_money(coupons) end
    budget, amount_minor = SHORT[budget] or whole_in(budget), SHORT[amount_minor] or whole_in(amount_minor)
    if not budget or not amount_minor then not_money(coupons) end
    count, place = count + 1, last + 1
    shares[count] = { budget, amount_minor, amount_minor, 0 }
  end
  return shares
end

local function asked_coupons(text)
  local asked, fields, names, count, quotas, place = { nil }, { nil }, { nil, nil }, 0, 0, 2
  if #text < 2 or byte(text, 1) ~= BRACKET or byte(text, -1) ~= BRACKET_END then not_money(text) end
  while place < #text do
    local _, last, field, campaign, version, discount_minor, at_issue, shares = find(text, ONE_COUPON, place)
    if not last then not_money(text) end
    campaign, version, discount_minor = SHORT[campaign] or whole_in(campaign), SHORT[version] or whole_in(version), SHORT[discount_minor] or whole_in(discount_minor)
    if not campaign or not version or not discount_minor then not_money(text) end
    shares = asked_shares(shares, text)
    count, place, quotas = count + 1, last + 1, quotas + 1
    asked[count], fields[count] = { field, campaign, discount_minor, SHORT[at_issue], shares, version }, field
    names[quotas] = campaign_name(campaign)
    if at_issue == "0" then
      for i = 1, #shares do
        quotas = quotas + 1
        names[quotas] = budget_name(shares[i][1])
      end
    end
  end
  return asked, fields, names
end

-- The quotas that a redemption's coupons touch.
local function quotas_of(head)
  local names, count, coupons = { nil, nil }, 0, head.coupons
  for i = 1, #coupons do
    local held = coupons[i]
    local shares = held[5]
    names[count + 1], count = campaign_name(held[2]), count + 1
    for j = 1, #shares do names[count + 1], count = budget_name(shares[j][1]), count + 1 end
  end
  return names
end

-- The wallet's coupons of a redemption, by field. A head without coupons reads nothing.
local function coupons_of(wallet, head)
  local fields, coupons = { nil }, {}
  for i = 1, #head.coupons do fields[i] = head.coupons[i][1] end
  if #fields == 0 then return coupons end
  local raw = redis.call("HMGET", wallet, unpack(fields))
  for i = 1, #fields do
    if raw[i] then coupons[fields[i]] = unpack_coupon(raw[i]) end
  end
  return coupons
end

-- Give back, in memory, exactly what a hold took: its coupons, and to each budget what was taken from it. A coupon whose
-- end passed meanwhile ends with the hold; money held at issue stays held only while the coupon can still be used.
local function release(book, head, coupons)
  for _, held in ipairs(head.coupons) do
    local field, campaign, _, at_issue, shares = unpack(held)
    local coupon = coupons[field]
    local over = is_over(coupon, campaign_of(book, campaign), book.at_ms)
    coupon.redemption = nil
    coupon.state = over and COUPON.ended or COUPON.issued
    coupon.since_ms = over and book.at_ms or nil
    if over then coupon.holds = nil end
    move_campaign(campaign_of(book, campaign), 0, 0, -1, 0)
    for _, share in ipairs(shares) do
      local budget, held_minor = share[1], share[2]
      if at_issue == 1 and not over then
        move_idle(book, campaign, budget, held_minor)
      else
        move_budget(budget_of(book, budget), -held_minor, 0)
      end
    end
  end
end

-- The coupons of a redemption, put into an act.
local function put_coupons(act, head, coupons)
  for i = 1, #head.coupons do
    local field = head.coupons[i][1]
    put_coupon(act, field, coupons[field])
  end
end

-- The wallet's mark of a redemption: where its record is. "o" open; else a letter and the hour in which it was settled:
-- "c" an order that was confirmed, "x" one that came to nothing.
local function settled_mark(head, hour)
  local nothing = head.state == REDEMPTION.cancelled or head.state == REDEMPTION.expired
  return (nothing and "x" or "c") .. hour
end

-- End an open hold as cancelled or expired: write the act and move the record to the settled ones of the hour.
local function close_hold(at, book, word, state, user, redemption, head, hour)
  local coupons = coupons_of(at.wallet, head)
  read_quotas(book, quotas_of(head))
  release(book, head, coupons)
  head.state = state
  head.since_ms = book.at_ms
  head.revision = head.revision + 1

  -- Below this line nothing may refuse.
  local act = new_act()
  put_coupons(act, head, coupons)
  local kept = put_redemption(act, redemption, head, "")
  write_act(at.journal, book, word, user, act, "")
  redis.call("HSET", at.wallet, "r" .. redemption, settled_mark(head, hour), coupon_fields(act))
  redis.call("HDEL", at.open, redemption)
  redis.call("HSET", at.settled, redemption, kept)
  redis.call("ZREM", at.due, "r" .. user .. redemption)
end

-- Give back, in memory, the money that an unused coupon holds since its issue. What a stopped campaign held is back already.
local function give_back_holds(book, campaign, coupon)
  if not coupon.holds then return end
  local stopped = campaign_of(book, campaign).state == CAMPAIGN.stopped
  local names = {}
  for i, hold in ipairs(coupon.holds) do names[i] = budget_name(hold[1]) end
  read_quotas(book, names)
  for _, hold in ipairs(stopped and {} or coupon.holds) do
    move_budget(budget_of(book, hold[1]), -hold[2], 0)
    move_idle(book, campaign, hold[1], -hold[2])
  end
  coupon.holds = nil
end

-- Turn, in memory, what a hold took into spent money and redeemed coupons; what was held beyond the discount goes back.
local function redeem(book, head, coupons)
  local at_ms = book.at_ms
  for i = 1, #head.coupons do
    local held = head.coupons[i]
    local coupon, shares = coupons[held[1]], held[5]
    coupon.state, coupon.since_ms, coupon.holds = COUPON.redeemed, at_ms, nil
    move_campaign(campaign_of(book, held[2]), 0, 0, -1, 1)
    for j = 1, #shares do move_budget(budget_of(book, shares[j][1]), -shares[j][2], shares[j][3]) end
  end
  head.state = REDEMPTION.confirmed
  head.since_ms, head.confirmed_ms = at_ms, at_ms
  head.revision = head.revision + 1
end

-- Tickets: codes, and the claims of codes. A bucket of them is one text of records of TICKET_CHARS each: the last TICKET_HASH_CHARS
-- characters of the hash, a letter that is the state, and the batch. A million codes take so 18 bytes each. Letters: of a
-- code "f" free, "p" pending, "s" spent, "r" revoked; of a claim "p" pending, "g" granted.
local TICKET_HASH_CHARS, TICKET_CHARS, BATCH_CHARS, NO_BATCH = 11, 16, 4, "0000"

-- Where a ticket's record begins in its bucket, or nothing.
local function ticket_at(bucket, hash)
  local place, short = 0, sub(hash, -TICKET_HASH_CHARS)
  repeat
    place = find(bucket, short, place + 1, true)
  until not place or (place - 1) % TICKET_CHARS == 0
  return place
end

local function ticket_state(bucket, place)
  return place and sub(bucket, place + TICKET_HASH_CHARS, place + TICKET_HASH_CHARS)
end

local function ticket_batch(bucket, place)
  return place and sub(bucket, place + TICKET_CHARS - BATCH_CHARS, place + TICKET_CHARS - 1)
end

-- The bucket with a ticket in another state; a state of "" takes the ticket out.
local function with_ticket(bucket, place, state)
  local rest = sub(bucket, place + TICKET_CHARS)
  if state == "" then return sub(bucket, 1, place - 1) .. rest end
  return sub(bucket, 1, place + TICKET_HASH_CHARS - 1) .. state .. ticket_batch(bucket, place) .. rest
end

-- A new ticket's record.
local function new_ticket(hash, state, batch)
  return sub(hash, -TICKET_HASH_CHARS) .. state .. batch
end

-- A bucket as it is kept: an empty one is no field.
local function put_bucket(key, name, bucket)
  if bucket == "" then redis.call("HDEL", key, name) else redis.call("HSET", key, name, bucket) end
end

-- Count a wrong code against all who tried it, the same code of one user once: who shows a cart again does not guess. The counters
-- are no part of any record, and expire.
local function note_miss(misses, missed, missed_by, forget_ms)
  if redis.call("HSETNX", misses, missed, "") == 1 then
    for _, name in ipairs(missed_by) do redis.call("HINCRBY", misses, name, 1) end
  end
  redis.call("PEXPIRE", misses, forget_ms)
end

-- Nobody can claim a code of this campaign any more. One that no cell knows yet is a draft.
local function is_campaign_over(terms, at_ms)
  return terms and (terms.state == CAMPAIGN.stopped or terms.ends_ms <= at_ms)
end

-- The record of a batch of codes in this cell, or nothing.
local function batch_of(quota, batch)
  local raw = redis.call("HGET", quota, "t" .. batch)
  return raw and unpack_batch(raw)
end

local function put_batch(quota, batch, record)
  redis.call("HSET", quota, "t" .. batch, (pack_batch(record)))
end

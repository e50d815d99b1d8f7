-- The one way to write an act: the journal entry first, because it is the one write with failure modes of its own, then the book.
-- The wallet's fields are gathered on the way and written by the body.

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

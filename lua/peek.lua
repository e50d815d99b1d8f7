-- Read coupons of a wallet, named ones or (for an empty list) all; whether a redemption of it is known (0 or 1), and which
-- redemption of an order is the last ("" for none).
-- `coupons` is a packed list of [field, values]. A wallet's other fields are shorter than a coupon's.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local marks = redis.call("HMGET", wallet, "r" .. redemption, "o" .. order)
local coupons = {}
if #fields > 0 then
  local raw = redis.call("HMGET", wallet, unpack(fields))
  for i, field in ipairs(fields) do
    if raw[i] then coupons[#coupons + 1] = { field, { cmsgpack.unpack(raw[i]) } } end
  end
else
  local raw = redis.call("HGETALL", wallet)
  for i = 1, #raw, 2 do
    if #raw[i] > COUPON_HASH_CHARS then coupons[#coupons + 1] = { raw[i], { cmsgpack.unpack(raw[i + 1]) } } end
  end
end
return { PEEKED, marks[1] and 1 or 0, marks[2] or "", book.at_ms, cmsgpack.pack(coupons) }

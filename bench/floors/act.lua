-- The floor of one act: a journal entry as lua/records.ts declares it and two writes, and nothing read, checked or decided.

local journal, wallet, open = keys[1], keys[2], keys[3]
local epoch, act, at_ms, user, field, redemption, body, payload = unpack(args)
at_ms = tonumber(at_ms)
local coupon = { field, { 2, at_ms, "fingerprint", redemption, at_ms } }
local settled = { redemption, { FORMAT, 1, redemption, "fingerprint", at_ms, at_ms, at_ms, 0, {} }, body }
local entry = cmsgpack.pack({ act, at_ms, user, {}, { coupon }, { settled }, {} })
if payload == "" then
  redis.call("XADD", journal, epoch .. "-*", FORMAT, entry)
else
  redis.call("XADD", journal, epoch .. "-*", FORMAT, entry, FACTS, payload)
end
redis.call("HSET", wallet, field, body)
redis.call("HSET", open, redemption, body)
return { "done" }

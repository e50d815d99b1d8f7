-- Take a code for one user, before his cell is asked for the coupon.
--
-- Who has claimed it before, by the same request, hears so first. Then the misses of the key, the user and the address are counted
-- against their limits, before anything about the code is told. A code that is unknown, not of the caller's lines, revoked, spent, used up, or of a
-- campaign that is not live now is answered by one word after the same calls: nobody learns which, nor from the time it takes.
--
-- `missed_by` names the counters of this span of time, `misses_max` the limits in the same order. `grant` is what a sweeper needs to
-- settle the claim; it is kept between the nonce of this attempt and the number of the campaign.

local book = open_book(quota, {}, now_ms)
if not book then return { GATE_CLOSED } end
local codes = redis.call("HGET", tickets, bucket) or ""
local all_claims = redis.call("HGET", claims, claim_bucket) or ""
local held = redis.call("HGET", pending, claim)
local place, claim_place = ticket_at(codes, code), ticket_at(all_claims, claim)
local batch = ticket_batch(codes, place) or NO_BATCH
local record = batch_of(quota, batch)
local terms_raw = redis.call("HGET", quota, campaign_name(record and record.campaign or 0))
local missed = redis.call("HMGET", misses, unpack(missed_by))

local is_public = record and record.limit > 0 and 1 or 0
if record and claim_place then
  if ticket_state(all_claims, claim_place) == "g" then return { REPLAYED, record.campaign } end
  if held then return { PENDING, held } end
end
for i = 1, #missed_by do
  if whole(missed[i] or "0", "misses") >= misses_max[i] then return { CODE_MISSES_EXCEEDED, i } end
end
if book.cell.full == 1 then return { JOURNAL_FULL } end

local terms = terms_raw and unpack_campaign(terms_raw)
local is_right = record and record.state == BATCH.live and ticket_state(codes, place) == "f" and (is_public == 0 or record.claimed < record.limit)
  and terms and terms.state == CAMPAIGN.live and book.at_ms >= terms.starts_ms and book.at_ms < terms.ends_ms
local is_seen = false
for _, line in ipairs(lines) do is_seen = is_seen or line == "*" or record and line == record.line end

-- Who comes too late for a public code has not guessed: everybody knows it. It counts as nothing, by the same calls.
local misses_more = is_public == 1 and is_seen and 0 or 1
if not (is_right and is_seen) then
  note_miss(misses, missed_as, missed_by, misses_more, forget_ms)
  return { CODE_INVALID }
end
record.claimed = record.claimed + 1

-- Below this line nothing may refuse.
write_act(journal, book, ACT.code_claimed, user, new_act(), payload .. ',"batch":"' .. batch .. '","public":' .. is_public .. "}")
put_batch(quota, batch, record)
if is_public == 0 then redis.call("HSET", tickets, bucket, with_ticket(codes, place, "p")) end
redis.call("HSET", claims, claim_bucket, all_claims .. new_ticket(claim, "p", batch))
redis.call("HSET", pending, claim, nonce .. grant .. digits(record.campaign))
redis.call("ZADD", due, due_ms, "c" .. claim)
return { CLAIMED, record.campaign }

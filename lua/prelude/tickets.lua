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
local function note_miss(misses, missed, missed_by, count, forget_ms)
  if redis.call("HSETNX", misses, missed, "") == 1 then
    for _, name in ipairs(missed_by) do redis.call("HINCRBY", misses, name, count) end
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

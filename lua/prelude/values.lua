-- Numbers that cannot lie, and how the values of a record are packed. What stands here is above the records' own functions,
-- which are made from their declarations and stand between this and the book.

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

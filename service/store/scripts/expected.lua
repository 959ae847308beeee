-- Read what is expected with some numbers. Returns {1 if there are more, revisions of the numbers
-- in their order, entries}; an entry is a flat list of fields and values, and the one that the call
-- has claimed is among them.
local ref = ARGV[5]
local started_ms = ARGV[6] -- ms since the epoch, start of the call; '' = now
local limit = tonumber(ARGV[7]) -- entries per number
local FIRST_NUMBER = 8 -- the numbers (E.164) are the arguments from here on

if started_ms == '' then
  -- Written out: Lua would shorten so large a number to 14 digits.
  started_ms = string.format('%.0f', now_ms())
end
local is_cut = 0
local revisions = {}
local entries = {}
local seen = {}

local function add(id)
  if id and not seen[id] then
    seen[id] = true
    -- pcall: a key of another type holds no entry.
    local fields = redis.pcall('HGETALL', P .. 'expected:' .. id)
    if #fields > 0 then
      entries[#entries + 1] = fields
    end
  end
end

add(redis.call('GET', P .. 'expected_by:' .. ref))
for i = FIRST_NUMBER, #ARGV do
  local number = ARGV[i]
  -- Read in the same step as the entries, or a registration in between would go unnoticed.
  revisions[#revisions + 1] = revision_of(number)
  local key = P .. 'expected_for:' .. number
  local open_ids = redis.call('ZRANGEBYSCORE', key, started_ms, '+inf', 'LIMIT', 0, limit + 1)
  if #open_ids > limit then
    is_cut = 1
    open_ids[limit + 1] = nil
  end
  for _, id in ipairs(open_ids) do
    add(id)
  end
  local closed_ids = redis.call('ZREVRANGEBYSCORE', key, '(' .. started_ms, '-inf',
    'LIMIT', 0, CLOSED_CANDIDATES)
  for _, id in ipairs(closed_ids) do
    add(id)
  end
end
return {is_cut, revisions, entries}

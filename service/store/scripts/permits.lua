-- Shared by grant, pump and release. `limit` holds one member per request: its score is the latest time (ms) at which that request may have
-- reached Buildr, so that no window over true arrival times can hold more than the budget.
local BUDGETS = cjson.decode(ARGV[5])
local MARGIN_MS = 25

-- 0 if `cost` requests may go now, else the time at which it is worth asking again.
local function free_at(now, cost)
  local blocked = tonumber(redis.call('GET', P .. 'blocked') or '0')
  if blocked > now then
    return blocked
  end
  local at, longest = 0, 0
  for _, budget in ipairs(BUDGETS) do
    local requests, window = budget[1], budget[2] + MARGIN_MS
    longest = math.max(longest, window)
    local used = redis.call('ZCOUNT', P .. 'limit', '(' .. (now - window), '+inf')
    local over = used + cost - requests
    if over > 0 then
      local old = redis.call('ZCOUNT', P .. 'limit', '-inf', now - window)
      local entry = redis.call('ZRANGE', P .. 'limit', old + over - 1, old + over - 1, 'WITHSCORES')
      at = math.max(at, (tonumber(entry[2]) or now) + window)
    end
  end
  redis.call('ZREMRANGEBYSCORE', P .. 'limit', '-inf', now - longest - 1000)
  return at
end

local function grant(ref, cost, until_ms)
  local ids = {}
  for _ = 1, cost do
    local id = tostring(redis.call('INCR', P .. 'permit_count'))
    redis.call('ZADD', P .. 'limit', until_ms, id)
    ids[#ids + 1] = id
  end
  return table.concat(ids, ',')
end

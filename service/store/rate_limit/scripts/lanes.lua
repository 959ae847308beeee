-- Shared by the scripts that put calls into lanes and take them out; `LANES` starts with the most
-- urgent one. A lane is a sorted set of calls by their age (ms since the epoch).

-- All lanes, since a call may change its lane while it waits, for example by a replay.
local function leave_lanes(ref)
  local was_there = 0
  for _, lane in ipairs(LANES) do
    was_there = was_there + redis.call('ZREM', P .. 'lane:' .. lane, ref)
  end
  redis.call('HDEL', P .. 'lane_cost', ref)
  return was_there > 0
end

local function is_in_lane(ref)
  for _, lane in ipairs(LANES) do
    if redis.call('ZSCORE', P .. 'lane:' .. lane, ref) then
      return true
    end
  end
  return false
end

local function join_lane(ref, lane, since, cost)
  leave_lanes(ref)
  redis.call('ZADD', P .. 'lane:' .. lane, since, ref)
  if cost > 1 then
    redis.call('HSET', P .. 'lane_cost', ref, cost)
  end
end

local function waiting()
  local total = 0
  for _, lane in ipairs(LANES) do
    total = total + redis.call('ZCARD', P .. 'lane:' .. lane)
  end
  return total
end

-- The call whose turn it is, and its lane. Lanes go by urgency, but each turn number LANE_TURNS
-- goes to one of the others in rotation, so that none starves. Within a lane the oldest call goes
-- first; with more than `newest_above` calls the newest, and each turn number OLDEST_TURNS the
-- oldest.
local function next_call(newest_above)
  local turn = tonumber(redis.call('GET', P .. 'turn') or '0') or 0
  local filled = {}
  for _, lane in ipairs(LANES) do
    if redis.call('EXISTS', P .. 'lane:' .. lane) == 1 then
      filled[#filled + 1] = lane
    end
  end
  if #filled == 0 then
    return nil
  end
  local lane = filled[1]
  if lane ~= LANE.OWN and #filled > 1 and turn % LANE_TURNS == LANE_TURNS - 1 then
    lane = filled[2 + math.floor(turn / LANE_TURNS) % (#filled - 1)]
  end
  local key = P .. 'lane:' .. lane
  local is_newest = lane ~= LANE.OWN and turn % OLDEST_TURNS ~= OLDEST_TURNS - 1
    and redis.call('ZCARD', key) > newest_above
  local refs = redis.call(is_newest and 'ZREVRANGE' or 'ZRANGE', key, 0, 0)
  return refs[1], lane
end

-- A call of the fullest lane by chance, but not the `last` one: a call that by itself makes Buildr
-- fail must not be the one by which an open breaker judges.
local function random_call(last)
  local most, ref, lane = 0, nil, nil
  for _, name in ipairs(LANES) do
    local count = redis.call('ZCARD', P .. 'lane:' .. name)
    for _, candidate in ipairs(redis.call('ZRANDMEMBER', P .. 'lane:' .. name, 2)) do
      if candidate ~= last and count > most then
        most, ref, lane = count, candidate, name
      end
    end
  end
  return ref, lane
end

-- Shared by what puts calls into lanes and takes them out. `LANES` starts with the most urgent one.

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

-- Whose turn it is. Lanes go by urgency, but every fifth turn goes to one further down, each of them in its turn, so that none starves.
-- Within a lane the oldest goes first; above `newest_above` the newest, and every fourth time the oldest all the same.
local function head(newest_above)
  local turn = tonumber(redis.call('GET', P .. 'turn') or '0')
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
  local is_newest = lane ~= LANE.OWN and turn % OLDEST_TURNS ~= OLDEST_TURNS - 1 and redis.call('ZCARD', key) > newest_above
  local found = redis.call(is_newest and 'ZREVRANGE' or 'ZRANGE', key, 0, 0)
  return found[1], lane
end

-- Somebody who waits, by chance: a call that by itself makes Buildr fail must not be the one by which an open breaker judges.
local function somebody(last)
  local most, ref, lane = 0, nil, nil
  for _, each in ipairs(LANES) do
    local count = redis.call('ZCARD', P .. 'lane:' .. each)
    for _, one in ipairs(redis.call('ZRANDMEMBER', P .. 'lane:' .. each, 2)) do
      if one ~= last and count > most then
        most, ref, lane = count, one, each
      end
    end
  end
  return ref, lane
end

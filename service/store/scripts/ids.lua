-- The names of calls in the order of their letters, read forwards (`ids`) and backwards
-- (`ids_reversed`), see `service.store.call_ids`.
-- Each order is in pages, whose members have the score 0 so that they are sorted by their letters.
-- The sorted set `ids` has the first name of each page but the lowest one, whose key ends with the
-- colon.
local ORDERS = {P .. 'ids', P .. 'ids_reversed'}

-- The first name of the page in which a name is, or would be.
local function page_of(order, name)
  return redis.call('ZREVRANGEBYLEX', order, '[' .. name, '-', 'LIMIT', 0, 1)[1] or ''
end

local function add_to_order(order, name)
  local page = order .. ':' .. page_of(order, name)
  if redis.call('ZADD', page, 0, name) == 0 or redis.call('ZCARD', page) <= IDS_PER_PAGE then
    return
  end
  local from = math.floor(IDS_PER_PAGE / 2)
  -- Ids that count upwards leave full pages behind.
  if redis.call('ZRANGE', page, -1, -1)[1] == name then
    from = IDS_PER_PAGE
  end
  local upper = redis.call('ZRANGE', page, from, -1)
  local scored = {}
  for place, member in ipairs(upper) do
    scored[2 * place - 1] = 0
    scored[2 * place] = member
  end
  redis.call('ZREMRANGEBYRANK', page, from, -1)
  redis.call('ZADD', order .. ':' .. upper[1], unpack(scored))
  redis.call('ZADD', order, 0, upper[1])
end

local function drop_from_order(order, name)
  local first = page_of(order, name)
  local page = order .. ':' .. first
  redis.call('ZREM', page, name)
  if first ~= name then
    return
  end
  -- Nothing may be named by a call that is forgotten.
  redis.call('ZREM', order, name)
  local next_first = redis.call('ZRANGE', page, 0, 0)[1]
  if next_first then
    redis.call('RENAME', page, order .. ':' .. next_first)
    redis.call('ZADD', order, 0, next_first)
  end
end

local function add_id(ref)
  add_to_order(ORDERS[1], ref)
  add_to_order(ORDERS[2], string.reverse(ref))
end

local function drop_id(ref)
  drop_from_order(ORDERS[1], ref)
  drop_from_order(ORDERS[2], string.reverse(ref))
end

-- Set a call aside whose record cannot be read: the rest goes on, and its messages can be replayed.
-- Returns how many messages it had.
local ref = ARGV[5]
local entry = ARGV[6] -- JSON of the failed entry, without its messages
local keep_ms = ARGV[7] -- how long what is damaged, and the messages, are kept
local keep_entry_ms = ARGV[8]
local key = P .. 'call:' .. ref
local now = now_ms()
local ids = {}
local is_listed = {}

local function list(id)
  if not is_listed[id] then
    is_listed[id] = true
    ids[#ids + 1] = id
  end
end

-- Any of the keys may be of another type than it should be.
if redis.call('TYPE', key).ok == 'hash' then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'e:' then
      list(string.sub(field, 3))
    end
  end
end
local pending = P .. 'pending:' .. ref
if redis.call('TYPE', pending).ok == 'list' then
  for _, id in ipairs(redis.call('LRANGE', pending, 0, -1)) do
    list(id)
  end
end
for _, id in ipairs(ids) do
  redis.call('ZREM', P .. 'inbox', id)
  redis.call('PEXPIRE', P .. 'm:' .. id, keep_ms)
end
if redis.call('EXISTS', key) == 1 then
  redis.call('RENAME', key, P .. 'damaged:' .. ref)
  redis.call('PEXPIRE', P .. 'damaged:' .. ref, keep_ms)
end
redis.call('DEL', pending, P .. 'permit:' .. ref)
for _, name in ipairs({'due', STATE.UNMATCHED, STATE.STALLED}) do
  redis.call('ZREM', P .. name, ref)
end
redis.call('SREM', P .. 'awaits_names', ref)
leave_lanes(ref)
local decoded = cjson.decode(entry)
-- An empty table would become {} and not [].
if #ids > 0 then
  decoded.message_ids = ids
end
redis.call('SET', P .. 'f:' .. ref, cjson.encode(decoded), 'PX', keep_entry_ms)
redis.call('ZADD', P .. 'failed', now, ref)
return #ids

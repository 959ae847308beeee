-- What a job reads first: {fields and values of its call, ids of its unread messages, these messages,
-- when each was taken (ms, '' if that is not known), the call's link}. A message that is not there is
-- nil; the last list is empty without a link.
local function read_for_job(ref)
  local ids = redis.call('LRANGE', P .. 'pending:' .. ref, 0, -1)
  local messages = {}
  local taken_ms = {}
  for i, id in ipairs(ids) do
    -- MGET and not GET: what is of another type counts as absent, and stops nothing.
    messages[i] = redis.call('MGET', P .. 'm:' .. id)[1]
    taken_ms[i] = redis.call('ZSCORE', P .. 'inbox', id) or ''
  end
  return {
    redis.call('HGETALL', P .. 'call:' .. ref),
    ids,
    messages,
    taken_ms,
    {redis.call('GET', P .. 'link:' .. ref) or nil},
  }
end

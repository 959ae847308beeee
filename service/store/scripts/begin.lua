-- Begin a job: note which worker runs it, and read its call. Returns {fields and values of the call,
-- ids of its unread messages, these messages, when each was taken (ms, '' if that is not known),
-- the call's link}. A message that is not there is nil; the last list is empty without a link.
local ref = ARGV[5]
local worker_id = ARGV[6]

-- In one step with the read: a worker that dies in between would leave no trace.
redis.call('HSET', P .. 'running', ref, worker_id)
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

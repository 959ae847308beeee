-- Begin a job: note which worker runs it, and read its call. Returns {fields and values of the call,
-- ids of its unread messages}.
local ref = ARGV[5]
local worker_id = ARGV[6]

-- In one step with the read: a worker that dies in between would leave no trace.
redis.call('HSET', P .. 'running', ref, worker_id)
return {
  redis.call('HGETALL', P .. 'call:' .. ref),
  redis.call('LRANGE', P .. 'pending:' .. ref, 0, -1),
}

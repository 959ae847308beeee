-- Begin a job: note which worker runs it, and read its call, see `reading.lua`.
local ref = ARGV[5]
local worker_id = ARGV[6]

-- In one step with the read: a worker that dies in between would leave no trace.
redis.call('HSET', P .. 'running', ref, worker_id)
return read_for_job(ref)

-- After a job has ended without a commit that ends it, see `ending.lua`.
local ref = ARGV[5]
local worker_id = ARGV[6]

return end_job(ref, worker_id)

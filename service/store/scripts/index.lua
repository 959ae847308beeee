-- Put a call into the index that was stored before there was one.
-- Returns 1 = indexed, 0 = it has been written, or has expired, since it was read.
local ref = ARGV[5]
local version = ARGV[6] -- as it was read
local compressed_record = ARGV[7] -- with its parties
local last_ms = tonumber(ARGV[8]) -- when its last message came
local keep_call_ms = tonumber(ARGV[9])
local FIRST_BUCKET = 10 -- the names of its buckets are the arguments from here on

local key = P .. 'call:' .. ref
if redis.call('HGET', key, 'v') ~= version then
  return 0
end
-- With the same version: nothing of it is new, and a job that runs now need not run again.
redis.call('HSET', key, 'rec', compressed_record)
local buckets = {}
for i = FIRST_BUCKET, #ARGV do
  buckets[#buckets + 1] = ARGV[i]
end
index_call(ref, last_ms, buckets, math.max(redis.call('PTTL', key), keep_call_ms), keep_call_ms)
return 1

-- Wake calls that wait for the account's outcomes, which have been read. Returns how many.
local limit = tonumber(ARGV[5])

-- Taken off the set and woken in one step: a worker that dies in between would lose them.
local refs = redis.call('SPOP', P .. 'awaits_names', limit)
for _, ref in ipairs(refs) do
  wake(ref, now_ms())
end
return #refs

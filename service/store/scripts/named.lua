-- The account's outcomes have been read: wake calls that wait for them. ARGV[5]: most to wake. Returns how many were woken.
local refs = redis.call('SPOP', P .. 'awaits_names', tonumber(ARGV[5]))
for _, ref in ipairs(refs) do
  wake(ref, now_ms())
end
return #refs

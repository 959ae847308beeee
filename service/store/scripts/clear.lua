-- Take away the alarm of a call that nothing is known of, unless a message of it has come just now. ARGV[5]: ref.
if redis.call('LLEN', P .. 'pending:' .. ARGV[5]) == 0 then
  redis.call('ZREM', P .. 'due', ARGV[5])
end
return 1

-- Set a call's alarm to now.
wake(ARGV[5], now_ms())
return 1

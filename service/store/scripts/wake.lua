-- Set a call's alarm to now.
wake(ARGV[4], now_ms())
return 1

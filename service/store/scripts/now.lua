-- The present, in ms since the epoch.
return now_ms()

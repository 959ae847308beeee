-- For scripts that finish what is there: they may write although Redis is full, since a call that is
-- delivered takes less room than one that waits. Redis refuses a write that needs memory only if it
-- is the first of its script; this one needs none.
redis.call('DEL', P .. 'none')

-- ARGV: run, epoch.
local epoch = redis.call('HGET', RUN, 'epoch')
if not epoch then return {'unknown'} end

if epoch == ARGV[2] then redis.call('HSET', RUN, 'owner', '') end
return {'done'}

-- ARGV: run, epoch, lease in seconds.
local epoch = redis.call('HGET', RUN, 'epoch')
if not epoch then return {'unknown'} end
if epoch ~= ARGV[2] then return {'conflict', 'epoch ' .. ARGV[2], 'epoch ' .. epoch} end

redis.call('HSET', RUN, 'lease_ends', lease_ends(ARGV[3]))
return {'done'}

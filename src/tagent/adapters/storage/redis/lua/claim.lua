-- ARGV: run, new owner, lease in seconds, an owner whose process is known not to exist, or ''.
local run = redis.call('HMGET', RUN, 'epoch', 'owner', 'lease_ends')
local epoch, owner, ends = run[1], run[2], run[3]
if not epoch then return {'unknown'} end
local seconds_left = tonumber(ends) - now()
if owner ~= '' and owner ~= ARGV[4] and seconds_left > 0 then return {'held', owner, exact(seconds_left)} end

redis.call('HSET', RUN, 'epoch', string.format('%d', epoch + 1), 'owner', ARGV[2], 'lease_ends', lease_ends(ARGV[3]))
return {'done', unpack(redis.call('HGETALL', RUN))}

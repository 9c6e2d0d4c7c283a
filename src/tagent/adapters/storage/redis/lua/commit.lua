-- ARGV: run, epoch, the first record's place, batch, effects, and the summary, if there is one:
-- status, at, cost in USD, '1' if the run is finished or '', '1' if a text follows or '', the text.
local run = redis.call('HMGET', RUN, 'epoch', 'last_seq')
local epoch, last_seq = run[1], run[2]
if not epoch then return {'unknown'} end
if epoch ~= ARGV[2] then return {'conflict', 'epoch ' .. ARGV[2], 'epoch ' .. epoch} end
local first, count = tonumber(ARGV[3]), tonumber(ARGV[4])
if count > 0 and first ~= last_seq + 1 then
  return {'conflict', string.format('record %d', first - 1), 'record ' .. last_seq}
end
local missing = missing_blob(4)
if missing then return {'missing', missing} end
local effects, summary = effects_at(end_of_batch(4))
local refusal = refusal_of(effects)
if refusal then return refusal end

append_records(4, first)
if count > 0 then redis.call('HSET', RUN, 'last_seq', string.format('%d', first + count - 1)) end
if ARGV[summary] then
  local at, is_finished = ARGV[summary + 1], ARGV[summary + 3] ~= ''
  redis.call('HSET', RUN, 'status', ARGV[summary], 'updated_at', at, 'cost_usd', ARGV[summary + 2],
    'finished_at', is_finished and at or '')
  if is_finished then redis.call('HSET', RUN, 'owner', '') end
  if ARGV[summary + 4] ~= '' then redis.call('HSET', TEXTS, run_id, ARGV[summary + 5]) end
end
keep_blobs(4)
carry_out(effects)
tell(run_id)
return {'done'}

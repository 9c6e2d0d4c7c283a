-- ARGV: format, effects.
local effects = effects_at(2)
local refusal = refusal_of(effects)
if refusal then return refusal end

local versions, seqs = carry_out(effects)
redis.call('SETNX', FORMAT, ARGV[1]) -- behind the effects: a full server allows deletions, and then the rest
tell('effects')
return {'done', versions, seqs}

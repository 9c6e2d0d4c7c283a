-- Looks through one portion of the runs, the newest first, so that a search through many does not keep
-- others waiting. Writes nothing.
--
-- KEYS: the store's prefix with its colon. ARGV: the last run of the portion before and its time, '' for the first one;
-- how many runs at most are wanted; how many to look at; since; until; then how many statuses, pipelines,
-- label names and values, and words there are, and all of these.
--
-- Returns the runs that fit as JSON, [[run, field, value, field, value ...] ...], and the last run looked
-- at and its time, '' if there are no more.
local prefix = KEYS[1]
local RUNS = prefix .. 'runs'
local after, after_time = ARGV[1], ARGV[2]
local limit, portion = tonumber(ARGV[3]), tonumber(ARGV[4])
local since, before = ARGV[5], ARGV[6]

local at = 11
local function list(count)
  local values = {}
  for i = 1, tonumber(count) do values[i] = ARGV[at + i - 1] end
  at = at + #values
  return values
end
local function set(values)
  if #values == 0 then return nil end
  local members = {}
  for _, value in ipairs(values) do members[value] = true end
  return members
end
local statuses, pipelines, labels, words = set(list(ARGV[7])), set(list(ARGV[8])), list(ARGV[9]), list(ARGV[10])

local function fits(id, text)
  for _, word in ipairs(words) do
    if not string.find(text, word, 1, true) then return false end
  end
  if not (statuses or pipelines or #labels > 0) then return true end
  local run = redis.call('HMGET', prefix .. 'run:' .. id, 'status', 'pipeline', 'labels')
  if (statuses and not statuses[run[1]]) or (pipelines and not pipelines[run[2]]) then return false end
  if #labels > 0 then
    local found = run[3] and cjson.decode(run[3]) or {}
    for i = 1, #labels, 2 do
      if found[labels[i]] ~= labels[i + 1] then return false end
    end
  end
  return true
end

local first = 0
if after_time ~= '' then
  local rank = redis.call('ZREVRANK', RUNS, after)
  -- Deleted meanwhile: from the beginning of its time; whoever asks knows what he has already.
  first = rank and rank + 1 or redis.call('ZCOUNT', RUNS, '(' .. after_time, '+inf')
elseif before ~= '' then
  first = redis.call('ZCOUNT', RUNS, before, '+inf')
end
local last = redis.call('ZCOUNT', RUNS, since ~= '' and since or '-inf', '+inf') - 1
local ids = {}
if first <= last then ids = redis.call('ZREVRANGE', RUNS, first, math.min(last, first + portion - 1)) end
local texts = {}
if #words > 0 and #ids > 0 then texts = redis.call('HMGET', prefix .. 'texts', unpack(ids)) end

local found = {}
for i, id in ipairs(ids) do
  if fits(id, texts[i] or '') then
    local run = redis.call('HGETALL', prefix .. 'run:' .. id)
    if #run > 0 then found[#found + 1] = {id, unpack(run)} end
    if #found == limit then break end
  end
end
local end_of_portion, its_time = '', ''
if #found < limit and #ids == portion then
  end_of_portion = ids[#ids]
  its_time = redis.call('ZSCORE', RUNS, end_of_portion)
end
return {cjson.encode(found), end_of_portion, its_time}

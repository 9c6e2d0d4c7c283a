-- Looks through one portion of a scope's documents, by key. Writes nothing.
--
-- ARGV: scope; the range of the keys, as ZRANGEBYLEX takes it; how many documents at most are wanted; how many to
-- look at; the words.
--
-- Returns the documents that fit, key, document, key, document ..., and the last key looked at, '' if there are
-- no more.
local scope, limit, portion = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local at = now()
local keys = redis.call('ZRANGEBYLEX', keys_key(scope), ARGV[2], ARGV[3], 'LIMIT', 0, portion)
local texts = {}
if #ARGV > 5 and #keys > 0 then texts = redis.call('HMGET', document_texts_key(scope), unpack(keys)) end

local function fits(text)
  for i = 6, #ARGV do
    if not string.find(text, ARGV[i], 1, true) then return false end
  end
  return true
end

local found = {}
for i, key in ipairs(keys) do
  if fits(texts[i] or '') then
    local stored = redis.call('HGET', documents_key(scope), key)
    if stored and not has_expired(head_of(stored), at) then
      found[#found + 1] = key
      found[#found + 1] = stored
    end
    if #found == 2 * limit then return {found, ''} end
  end
end
return {found, #keys == portion and keys[#keys] or ''}

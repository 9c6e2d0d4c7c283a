-- Documents in scopes.
--
--   <prefix>scopes                      sorted set, all scores 0: the names of the scopes, to find them by prefix
--   <prefix>scope:<scope>               hash: last_version; how many documents and bytes it holds, expired ones too
--   <prefix>documents:<scope>           hash: key -> '<version> <at> <expires_at or nothing> <value>'
--   <prefix>keys:<scope>                sorted set, all scores 0: its keys, in the order of their code points
--   <prefix>document-texts:<scope>      hash: key -> the text that searches look through, if there is one
--   <prefix>expiring:<scope>            sorted set: key -> expires_at
--   <prefix>expiring                    sorted set: scope -> when the first of its documents expires

local SCOPES = prefix .. 'scopes'
local EXPIRING = prefix .. 'expiring'

local function scope_key(scope) return prefix .. 'scope:' .. scope end

local function documents_key(scope) return prefix .. 'documents:' .. scope end

local function keys_key(scope) return prefix .. 'keys:' .. scope end

local function document_texts_key(scope) return prefix .. 'document-texts:' .. scope end

local function expiring_key(scope) return prefix .. 'expiring:' .. scope end

-- What is said of a stored document before its value; nil for none.
local function head_of(stored)
  if not stored then return nil end
  local version, expires_at, value_at = string.match(stored, '^(%d+) %S+ (%S*) ()')
  return {version = version, expires_at = tonumber(expires_at), size = #stored - value_at + 1}
end

local function has_expired(document, at) return document.expires_at and document.expires_at <= at end

-- The document as it is kept, expired or not.
local function kept_document(scope, key) return head_of(redis.call('HGET', documents_key(scope), key)) end

-- The document as everybody sees it.
local function document_of(scope, key, at)
  local found = kept_document(scope, key)
  if found and not has_expired(found, at) then return found end
end

local function expired_keys(scope, at, limit)
  return redis.call('ZRANGEBYSCORE', expiring_key(scope), '-inf', exact(at), 'LIMIT', 0, limit)
end

-- What a scope holds, without what has expired.
local function usage_of(scope, at)
  local kept = redis.call('HMGET', scope_key(scope), 'documents', 'bytes')
  local usage = {documents = tonumber(kept[1] or 0), bytes = tonumber(kept[2] or 0)}
  for _, key in ipairs(expired_keys(scope, at, -1)) do
    usage.documents = usage.documents - 1
    usage.bytes = usage.bytes - kept_document(scope, key).size
  end
  return usage
end

-- Why the puts cannot be written, nil if they can.
local function refusal_of_puts(puts, at)
  local found, usages = {}, {}
  for i, put in ipairs(puts) do
    found[i] = document_of(put.scope, put.key, at)
    local version = found[i] and found[i].version or '0'
    if put.expected_version ~= '' and put.expected_version ~= version then
      return {'document', put.scope, put.key, put.expected_version, version}
    end
    put.is_limited = put.is_deletion == '' and put.documents_allowed ~= ''
    if put.is_limited and not usages[put.scope] then usages[put.scope] = usage_of(put.scope, at) end
  end
  for i, put in ipairs(puts) do
    local usage = usages[put.scope]
    if usage and found[i] then
      usage.documents, usage.bytes = usage.documents - 1, usage.bytes - found[i].size
    end
    if usage and put.is_deletion == '' then
      usage.documents, usage.bytes = usage.documents + 1, usage.bytes + #put.value
    end
  end
  for _, put in ipairs(puts) do
    local usage = usages[put.scope]
    if put.is_limited
      and (usage.documents > tonumber(put.documents_allowed) or usage.bytes > tonumber(put.bytes_allowed)) then
      return {'quota', put.scope, usage.documents, usage.bytes, tonumber(put.documents_allowed),
        tonumber(put.bytes_allowed)}
    end
  end
end

local function add_usage(scope, documents, bytes)
  redis.call('HINCRBY', scope_key(scope), 'documents', documents)
  redis.call('HINCRBY', scope_key(scope), 'bytes', string.format('%d', bytes))
end

-- Keeps up when the first document of a scope expires.
local function note_expiry(scope)
  local first = redis.call('ZRANGE', expiring_key(scope), 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', EXPIRING, first[2], scope) else redis.call('ZREM', EXPIRING, scope) end
end

local function remove_document(scope, key)
  local document = kept_document(scope, key)
  redis.call('HDEL', documents_key(scope), key)
  redis.call('ZREM', keys_key(scope), key)
  redis.call('HDEL', document_texts_key(scope), key)
  if redis.call('ZREM', expiring_key(scope), key) == 1 then note_expiry(scope) end
  if document then add_usage(scope, -1, -document.size) end
end

-- Returns how many there were.
local function remove_expired(scope, at, limit)
  local keys = expired_keys(scope, at, limit)
  for _, key in ipairs(keys) do remove_document(scope, key) end
  return #keys
end

-- Returns the document's version, 0 for a deletion.
local function put_document(put, at)
  local scope, key = put.scope, put.key
  if put.is_limited then remove_expired(scope, at, -1) end -- else the next write would have to count it again
  if put.is_deletion ~= '' then
    remove_document(scope, key)
    return 0
  end

  local before = kept_document(scope, key)
  local expires_at = put.ttl_seconds ~= '' and exact(at + tonumber(put.ttl_seconds)) or ''
  local version = redis.call('HINCRBY', scope_key(scope), 'last_version', 1)
  local head = string.format('%d %s %s ', version, exact(at), expires_at)
  redis.call('HSET', documents_key(scope), key, head .. put.value)
  if put.text ~= '' then
    redis.call('HSET', document_texts_key(scope), key, put.text)
  else
    redis.call('HDEL', document_texts_key(scope), key)
  end
  if not before then
    redis.call('ZADD', SCOPES, 0, scope)
    redis.call('ZADD', keys_key(scope), 0, key)
  end
  add_usage(scope, before and 0 or 1, #put.value - (before and before.size or 0))
  if expires_at ~= '' then
    redis.call('ZADD', expiring_key(scope), expires_at, key)
    note_expiry(scope)
  elseif redis.call('ZREM', expiring_key(scope), key) == 1 then
    note_expiry(scope)
  end
  return version
end

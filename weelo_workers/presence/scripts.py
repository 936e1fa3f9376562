"""Presence in Lua: each change and each search is one atomic step and one round trip, by Redis's own clock."""

_COMMON = """
local P = 'weelo:presence:'
local function now() local t = redis.call('TIME'); return t[1] + t[2] / 1e6 end
local function forget(id)
  local kinds = redis.call('HGET', P..'kinds', id)
  if kinds then
    for _, kind in ipairs(cjson.decode(kinds)) do
      redis.call('ZREM', P..'geo:'..kind, id)
      redis.call('SREM', P..'kind:'..kind, id)
    end
  end
  redis.call('HDEL', P..'kinds', id)
end
"""

GO_ONLINE = (
    _COMMON
    + """
local id, kinds = ARGV[1], cjson.decode(ARGV[2])
forget(id)
redis.call('SET', P..'since', now(), 'NX')
redis.call('HSET', P..'kinds', id, ARGV[2])
redis.call('ZADD', P..'seen', now(), id)
local at = redis.call('GEOPOS', P..'geo', id)[1]
for _, kind in ipairs(kinds) do
  redis.call('SADD', P..'kind:'..kind, id)
  if at then redis.call('GEOADD', P..'geo:'..kind, at[1], at[2], id) end
end
"""
)

GO_OFFLINE = (
    _COMMON
    + """
forget(ARGV[1])
redis.call('ZREM', P..'geo', ARGV[1])
redis.call('ZREM', P..'seen', ARGV[1])
"""
)

HEARTBEAT = (
    _COMMON
    + """
local id, lon, lat = ARGV[1], ARGV[2], ARGV[3]
local kinds = redis.call('HGET', P..'kinds', id)
if not kinds then return 0 end
redis.call('ZADD', P..'seen', now(), id)
redis.call('GEOADD', P..'geo', lon, lat, id)
for _, kind in ipairs(cjson.decode(kinds)) do redis.call('GEOADD', P..'geo:'..kind, lon, lat, id) end
return 1
"""
)

# Who has fallen silent is dropped from the indexes when a search meets them, so no marker outlives its TTL
# in any answer, and the indexes do not grow with the dead.
REACHED = (
    _COMMON
    + """
local kinds, lon, lat, radius, ttl = cjson.decode(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local alive_since = now() - ttl
local km = {}
for _, kind in ipairs(kinds) do
  if radius < 0 then
    for _, id in ipairs(redis.call('SMEMBERS', P..'kind:'..kind)) do km[id] = km[id] or '' end
  end
  local within = radius < 0 and 21000 or radius
  for _, hit in ipairs(redis.call('GEOSEARCH', P..'geo:'..kind, 'FROMLONLAT', lon, lat,
                                  'BYRADIUS', within, 'km', 'WITHDIST')) do
    km[hit[1]] = hit[2]
  end
end
local found = {}
for id, distance in pairs(km) do
  local seen = redis.call('ZSCORE', P..'seen', id)
  if seen and tonumber(seen) >= alive_since then
    found[#found + 1] = id
    found[#found + 1] = distance
  else
    forget(id)
    redis.call('ZREM', P..'geo', id)
    redis.call('ZREM', P..'seen', id)
  end
end
local since = redis.call('GET', P..'since')
local complete = since and tonumber(since) <= alive_since and 1 or 0
return {complete, found}
"""
)

"""The Lua scripts of presence. Each runs atomically in one round trip and uses Redis's own clock."""

from weelo_workers.redis_clock import LUA_NOW

_COMMON = (
    LUA_NOW
    + """
local P, O = 'weelo:presence:', 'weelo:open:'
local function clamped(lat) return math.max(-85.05, math.min(85.05, tonumber(lat))) end
local function unlist(id)
  local kinds = redis.call('HGET', P..'kinds', id)
  if kinds then
    for _, kind in ipairs(cjson.decode(kinds)) do
      redis.call('ZREM', P..'geo:'..kind, id)
      redis.call('SREM', P..'kind:'..kind, id)
    end
    redis.call('HDEL', P..'kinds', id)
  end
end
local function forget(id)
  unlist(id)
  redis.call('HDEL', P..'at', id)
  redis.call('ZREM', P..'seen', id)
end
local function apart_km(lon, lat, to_lon, to_lat)
  local rad = math.pi / 180
  local by_lat, by_lon = math.sin((to_lat - lat) * rad / 2) ^ 2, math.sin((to_lon - lon) * rad / 2) ^ 2
  local chord = by_lat + math.cos(lat * rad) * math.cos(to_lat * rad) * by_lon
  return 2 * 6371 * math.asin(math.min(1, math.sqrt(chord)))
end
-- Returns the distance in km beyond which a transporter at this position has no room. `full:<id>` is a distance and the
-- position from which it was measured. If the transporter has moved since, the distance moved is added.
local function full(id, lon, lat)
  local km, from_lon, from_lat = (redis.call('GET', O..'full:'..id) or '1e6'):match('^(%S+) ?([^,]*),?(.*)$')
  if not tonumber(from_lon) or not tonumber(lon) then return tonumber(km) end
  return tonumber(km) + apart_km(from_lon, from_lat, lon, lat)
end
-- Returns true if a newer stamp is stored; otherwise stores this stamp. Several processes write a transporter's state,
-- and the state that was read last is kept.
local function outdated(id, stamp)
  local known = redis.call('HGET', P..'stamp', id)
  if known and tonumber(known) > tonumber(stamp) then return true end
  redis.call('HSET', P..'stamp', id, stamp)
  return false
end
"""
)

# Stores a transporter as online. Arguments: id, kinds of free trucks (JSON), stamp, whether the app has just sent
# something.
GO_ONLINE = (
    _COMMON
    + """
local id, kinds = ARGV[1], ARGV[2]
if outdated(id, ARGV[3]) then return 0 end
unlist(id)
if ARGV[4] == '1' then
  redis.call('ZADD', P..'seen', now(), id)
elseif not redis.call('ZSCORE', P..'seen', id) then
  return 0
end
redis.call('SET', P..'since', now(), 'NX')
redis.call('HSET', P..'kinds', id, kinds)
local at = redis.call('HGET', P..'at', id)
for _, kind in ipairs(cjson.decode(kinds)) do
  redis.call('SADD', P..'kind:'..kind, id)
  if at then
    local lon, lat = at:match('([^,]+),([^,]+)')
    redis.call('GEOADD', P..'geo:'..kind, lon, clamped(lat), id)
  end
end
return 1
"""
)

# Argument: id. Removes the transporter from every index, with the positions that `mark_full` and HEARTBEAT have stored.
FORGET = (
    _COMMON
    + """
forget(ARGV[1])
redis.call('HDEL', P..'stamp', ARGV[1])
redis.call('DEL', O..'full:'..ARGV[1], O..'moved:'..ARGV[1], P..'offline:'..ARGV[1])
return 1
"""
)

# Removes a transporter from every index, unless a newer stamp is stored. Arguments: id, stamp, the TTL in seconds.
GO_OFFLINE = (
    _COMMON
    + """
if outdated(ARGV[1], ARGV[2]) then return 0 end
local seen = redis.call('ZSCORE', P..'seen', ARGV[1])
if seen and tonumber(seen) >= now() - ARGV[3] then redis.call('SET', P..'offline:'..ARGV[1], 1, 'PX', math.ceil(ARGV[3] * 1000)) end
forget(ARGV[1])
return 1
"""
)

# Stores the position of a transporter. Arguments: id, longitude, latitude, whether to store the position in all cases
# ('0': no). Returns nothing if the transporter is not online. With '0', a transporter's first position is not stored
# (the script returns 'unplaced'), and a position more than 50 km away from the last one is not stored either ('moved').
# For ten seconds after such a far position was stored, further ones are stored too, because two phones of one
# transporter may alternate. After storing the position, the script returns the open broadcasts in reach that were not
# offered to the transporter.
HEARTBEAT = (
    _COMMON
    + """
local id, lon, lat = ARGV[1], ARGV[2], ARGV[3]
local kinds = redis.call('HGET', P..'kinds', id)
if not kinds then return false end
local at = redis.call('HGET', P..'at', id)
if ARGV[4] == '0' then
  if not at then return 'unplaced' end
  local from_lon, from_lat = at:match('([^,]+),([^,]+)')
  if apart_km(from_lon, from_lat, lon, lat) > 50 and redis.call('EXISTS', O..'moved:'..id) == 0 then return 'moved' end
elseif at then
  redis.call('SET', O..'moved:'..id, 1, 'EX', 10)
end
local time = now()
redis.call('ZADD', P..'seen', time, id)
redis.call('HSET', P..'at', id, lon..','..lat)
local missed = {}
-- The transporter has no room for offers beyond this distance. Distances on a sphere are up to 0.7 % longer.
local no_room = full(id, lon, lat) * 1.007
for _, kind in ipairs(cjson.decode(kinds)) do
  redis.call('GEOADD', P..'geo:'..kind, lon, clamped(lat), id)
  local reach = tonumber(redis.call('GET', O..'reach') or 0)
  if reach > 0 and redis.call('EXISTS', O..'geo:'..kind) == 1 then
    for _, hit in ipairs(redis.call('GEOSEARCH', O..'geo:'..kind, 'FROMLONLAT', lon, clamped(lat),
                                    'BYRADIUS', reach * 1.007, 'km', 'ASC', 'COUNT', 500, 'WITHDIST')) do
      if #missed >= 20 or tonumber(hit[2]) > no_room then break end
      local radius, ends = unpack(redis.call('HMGET', O..'about:'..hit[1], 'radius', 'ends'))
      if not radius or tonumber(ends) < time then
        redis.call('ZREM', O..'geo:'..kind, hit[1])
      elseif tonumber(hit[2]) <= tonumber(radius) * 1.007
             and redis.call('SISMEMBER', O..'told:'..hit[1], id) == 0
             and redis.call('SET', O..'asked:'..hit[1]..':'..id, 1, 'NX', 'EX', 10) then
        missed[#missed + 1] = hit[1]
      end
    end
  end
end
return missed
"""
)

_SEARCH = (
    _COMMON
    + """
-- While Redis refuses writes (its memory is full, it is a replica), heartbeats are not stored and this data becomes
-- untrue. Then this write, which changes nothing, makes the search fail.
redis.call('SET', P..'writable', '', 'XX')
-- Returns a list, and a function that adds ids to it without repeats.
local function collector()
  local ids, known = {}, {}
  local function add(hits)
    for _, id in ipairs(hits) do
      if not known[id] then
        known[id] = true
        ids[#ids + 1] = id
      end
    end
  end
  return ids, add
end
-- Returns the ids with a heartbeat within the TTL, each with "longitude,latitude" ('' if unknown), and the stale ids.
local function split(ids, alive_since)
  local found, silent = {}, {}
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    local seen = redis.call('ZMSCORE', P..'seen', unpack(ids, first, last))
    local at = redis.call('HMGET', P..'at', unpack(ids, first, last))
    for n = 1, last - first + 1 do
      local id = ids[first + n - 1]
      if seen[n] and tonumber(seen[n]) >= alive_since then
        found[#found + 1] = id
        found[#found + 1] = at[n] or ''
      else
        silent[#silent + 1] = id
      end
    end
  end
  return found, silent
end
-- Returns transporters within `radius` (-1: no limit) whose trucks of these kinds are all on the road, each followed by
-- "longitude,latitude": for each kind the nearest `limit` (without a radius: any).
local function on_the_road(kinds, lon, lat, radius, limit, alive_since)
  local ids, add = collector()
  for _, kind in ipairs(kinds) do
    if radius < 0 then
      add(redis.call('SRANDMEMBER', P..'kind:busy:'..kind, limit))
    else
      add(redis.call('GEOSEARCH', P..'geo:busy:'..kind, 'FROMLONLAT', lon, lat, 'BYRADIUS', radius, 'km', 'ASC', 'COUNT', limit))
    end
  end
  local found = split(ids, alive_since)
  return found
end
local function complete(alive_since)
  local since = redis.call('GET', P..'since')
  return since and tonumber(since) <= alive_since and 1 or 0
end
"""
)

# Arguments: kinds (JSON), longitude, latitude, radius in km (-1: no limit), the TTL in seconds, the limit on busy
# transporters of each kind. Returns four values: whether the data is older than one TTL; the transporters found, each
# followed by "longitude,latitude"; the stale transporters, which this script removes; the busy ones.
SEARCH = (
    _SEARCH
    + """
local kinds, lon, lat, radius, ttl = cjson.decode(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local alive_since = now() - ttl
local ids, add = collector()
for _, kind in ipairs(kinds) do
  if radius < 0 then
    add(redis.call('SMEMBERS', P..'kind:'..kind))
  else
    add(redis.call('GEOSEARCH', P..'geo:'..kind, 'FROMLONLAT', lon, clamped(lat), 'BYRADIUS', radius, 'km'))
  end
end
local found, silent = split(ids, alive_since)
for _, id in ipairs(silent) do forget(id) end
return {complete(alive_since), found, silent, on_the_road(kinds, lon, clamped(lat), radius, ARGV[6], alive_since)}
"""
)

# Arguments: kinds (JSON), longitude, latitude, the minimum number of results, the widest radius in km, whether to
# include transporters without a position, the TTL in seconds, the limit on busy transporters. Returns the values that
# SEARCH returns, with one more before the last one: the radius in km within which every match was found ('' if there
# are no matches beyond that radius). The radius doubles until it holds enough, so the cost depends on how many are
# wanted.
NEAREST = (
    _SEARCH
    + """
local kinds, lon, lat = cjson.decode(ARGV[1]), ARGV[2], clamped(ARGV[3])
local count, widest, anywhere, ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7])
local alive_since = now() - ttl
local ids, add = collector()
local radius, cutoff, fewer = math.min(150, widest), nil, true
for _, kind in ipairs(kinds) do
  if redis.call('ZCARD', P..'geo:'..kind) > count then fewer = false end
end
while not fewer do
  for _, kind in ipairs(kinds) do
    local hits = redis.call('GEOSEARCH', P..'geo:'..kind, 'FROMLONLAT', lon, lat, 'BYRADIUS', radius, 'km',
                            'ASC', 'COUNT', count, 'WITHDIST')
    if #hits >= count then
      local farthest = tonumber(hits[#hits][2])
      if not cutoff or farthest < cutoff then cutoff = farthest end
    end
  end
  if cutoff or radius >= widest then break end
  radius = math.min(radius * 2, widest)
end
for _, kind in ipairs(kinds) do
  if anywhere and not cutoff then
    add(redis.call('SMEMBERS', P..'kind:'..kind))
  else
    -- Distances on the sphere and the ellipsoid differ by up to 0.7 % either way, and Redis rounds them to 0.1 m.
    local reach = cutoff and math.min(cutoff * 1.015 + 0.01, widest) or widest
    add(redis.call('GEOSEARCH', P..'geo:'..kind, 'FROMLONLAT', lon, lat, 'BYRADIUS', reach, 'km'))
  end
end
local found, silent = split(ids, alive_since)
for _, id in ipairs(silent) do forget(id) end
local busy = on_the_road(kinds, lon, lat, anywhere and not cutoff and -1 or cutoff or widest, ARGV[8], alive_since)
return {complete(alive_since), found, silent, cutoff and string.format('%.4f', cutoff) or '', busy}
"""
)

# Arguments: the TTL in seconds, transporters. Returns those online, each with "longitude,latitude" ('' if unknown).
# Removes the others from presence. So their next heartbeat causes a catch-up, which offers them what they have missed.
ONLINE_AT = (
    _SEARCH
    + """
local ids, add = collector()
for first = 2, #ARGV, 1000 do add({unpack(ARGV, first, math.min(first + 999, #ARGV))}) end
local found, silent = split(ids, now() - tonumber(ARGV[1]))
for _, id in ipairs(silent) do forget(id) end
return found
"""
)

# Arguments: the TTL in seconds, the limit. Returns transporters with a heartbeat within the TTL, newest first, each followed
# by their position and their kinds of trucks (JSON; either may be empty).
ONLINE_FLEETS = (
    _COMMON
    + """
local ids = redis.call('ZREVRANGEBYSCORE', P..'seen', '+inf', now() - ARGV[1], 'LIMIT', 0, ARGV[2])
local found = {}
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  local at = redis.call('HMGET', P..'at', unpack(ids, first, last))
  local kinds = redis.call('HMGET', P..'kinds', unpack(ids, first, last))
  for n = 1, last - first + 1 do
    found[#found + 1] = ids[first + n - 1]
    found[#found + 1] = at[n] or ''
    found[#found + 1] = kinds[n] or ''
  end
end
return found
"""
)

# Arguments: the TTL in seconds, ids. Returns for each id: the time of the last heartbeat ('' if offline), whether it is
# within the TTL, and "longitude,latitude" ('' if unknown).
STATES = (
    _COMMON
    + """
local alive_since = now() - tonumber(ARGV[1])
local states = {}
for n = 2, #ARGV do
  local seen = redis.call('ZSCORE', P..'seen', ARGV[n])
  states[#states + 1] = seen or ''
  states[#states + 1] = seen and tonumber(seen) >= alive_since and 1 or 0
  states[#states + 1] = redis.call('HGET', P..'at', ARGV[n]) or ''
end
return states
"""
)

# Argument: the TTL in seconds. Returns the ids of all transporters with a heartbeat within it.
ONLINE = (
    _COMMON
    + """
return redis.call('ZRANGEBYSCORE', P..'seen', now() - tonumber(ARGV[1]), '+inf')
"""
)

# Argument: the TTL in seconds. Returns whether presence has existed for longer than the TTL.
IS_WARM = (
    _COMMON
    + """
local since = redis.call('GET', P..'since')
return since and now() - tonumber(since) > tonumber(ARGV[1]) and 1 or 0
"""
)

# Removes transporters without a heartbeat within the TTL. Arguments: the TTL in seconds, the maximum number of
# transporters.
EVICT_STALE = (
    _COMMON
    + """
local silent = redis.call('ZRANGEBYSCORE', P..'seen', '-inf', '('..(now() - ARGV[1]), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(silent) do forget(id) end
return #silent
"""
)

# Replaces the index entry of an open broadcast, unless a newer one is stored. Arguments: id, time at which the state
# was read, kinds (JSON; none: remove the entry), longitude, latitude, radius in km, seconds until the broadcast ends.
INDEX_BROADCAST = (
    _COMMON
    + """
local id, as_of, kinds, lon, lat, radius, left = unpack(ARGV)
local about = O..'about:'..id
local shown, before = unpack(redis.call('HMGET', about, 'kinds', 'as_of'))
if before and tonumber(before) > tonumber(as_of) then return 0 end
if shown then
  for _, kind in ipairs(cjson.decode(shown)) do
    redis.call('ZREM', O..'geo:'..kind, id)
    redis.call('ZREM', O..'ends', kind..' '..id)
  end
end
left = math.max(1, math.ceil(tonumber(left)) + 5)
redis.call('HSET', about, 'kinds', kinds, 'as_of', as_of, 'radius', radius, 'ends', now() + left)
redis.call('EXPIRE', about, left)
redis.call('EXPIRE', O..'told:'..id, left)
for _, kind in ipairs(cjson.decode(kinds)) do
  redis.call('GEOADD', O..'geo:'..kind, lon, clamped(lat), id)
  redis.call('ZADD', O..'ends', now() + left, kind..' '..id)
  if tonumber(radius) > tonumber(redis.call('GET', O..'reach') or 0) then redis.call('SET', O..'reach', radius) end
end
return 1
"""
)

# Removes the entries of ended broadcasts. Argument: the maximum number of entries. Such entries are left over if a
# process dies between the commit that ends a broadcast and the removal of its entry.
EVICT_CLOSED = (
    _COMMON
    + """
local over = redis.call('ZRANGEBYSCORE', O..'ends', '-inf', now(), 'LIMIT', 0, ARGV[1])
for _, shown in ipairs(over) do
  local kind, id = shown:match('^(.*) ([^ ]+)$')
  local ends = tonumber(redis.call('HGET', O..'about:'..id, 'ends') or 0)
  if ends < now() then redis.call('ZREM', O..'geo:'..kind, id) end
  redis.call('ZREM', O..'ends', shown)
end
return #over
"""
)

# Records transporters to whom a broadcast was offered. Arguments: the id of the broadcast, seconds until it ends, ids
# of transporters.
MARK_OFFERED = (
    _COMMON
    + """
local told = O..'told:'..ARGV[1]
for first = 3, #ARGV, 1000 do redis.call('SADD', told, unpack(ARGV, first, math.min(first + 999, #ARGV))) end
redis.call('EXPIRE', told, math.max(1, math.ceil(tonumber(ARGV[2])) + 5))
return 1
"""
)

# Arguments: the id of a broadcast, seconds, ids of transporters. Snoozes the broadcast for these transporters.
SNOOZE = (
    _COMMON
    + """
for n = 3, #ARGV do redis.call('SET', O..'asked:'..ARGV[1]..':'..ARGV[n], 1, 'EX', ARGV[2]) end
return 1
"""
)

# Records that a transporter has no room for offers of far broadcasts. Arguments: id, the distance in km beyond which
# this holds, seconds to keep it. Of several distances the smallest is kept.
MARK_FULL = (
    _COMMON
    + """
local at = redis.call('HGET', P..'at', ARGV[1]) or ''
local lon, lat = at:match('([^,]+),([^,]+)')
if tonumber(ARGV[2]) < full(ARGV[1], lon, lat) then
  redis.call('SET', O..'full:'..ARGV[1], ARGV[2]..' '..at, 'EX', ARGV[3])
end
return 1
"""
)

# Arguments: TTL of presence in seconds. Returns how many transporters have sent a heartbeat within it.
COUNT_ONLINE = (
    LUA_NOW
    + """
return redis.call('ZCOUNT', 'weelo:presence:seen', now() - ARGV[1], '+inf')
"""
)

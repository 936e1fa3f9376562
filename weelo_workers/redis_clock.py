"""The clock of the system for scripts in Redis. See `clock.py`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

OFFSET_KEY = "weelo:clock:offset"
"""The offset of the sandbox's clock in seconds. PostgreSQL has the true one; this copy is for scripts in Redis."""
_RESETS_KEY = "weelo:clock:resets"

LUA_NOW = "local function now() local t = redis.call('TIME'); return t[1] + t[2] / 1e6 end"
_LUA_MOVED_NOW = f"""
local function now()
  local t = redis.call('TIME')
  return t[1] + t[2] / 1e6 + tonumber(redis.call('GET', '{OFFSET_KEY}') or 0)
end
"""

# Keys that expire by the moved clock. The keys of sockets and processes expire by the plain clock.
_EXPIRING = ("weelo:open:*", "weelo:acked:*")
# Keys whose values contain times of the moved clock. A reset of the sandbox deletes them.
_TIMED = ("weelo:open:*", "weelo:presence:*")

# Arguments: the offset in seconds, the number of resets so far, transporters who stay online. A move of the clock by an
# hour makes the keys in _EXPIRING expire an hour earlier. If no offset is stored, Redis was emptied after the last
# move, and its keys were written by the moved clock already, so their expiry stays. A reset deletes rows, so this
# script deletes the keys in _TIMED, which belong to them.
_MOVE = f"""
local function each(patterns, act)
  for _, pattern in ipairs(patterns) do
    local cursor = '0'
    repeat
      local found
      cursor, found = unpack(redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000))
      for _, key in ipairs(found) do act(key) end
    until cursor == '0'
  end
end
local before = tonumber(redis.call('GET', '{OFFSET_KEY}') or ARGV[1])
redis.call('SET', '{OFFSET_KEY}', ARGV[1])
local resets = redis.call('GET', '{_RESETS_KEY}')
redis.call('SET', '{_RESETS_KEY}', ARGV[2])
local forward = math.floor((tonumber(ARGV[1]) - before) * 1000)
if resets and resets ~= ARGV[2] then
  each({{{", ".join(f"'{pattern}'" for pattern in _TIMED)}}}, function(key) redis.call('DEL', key) end)
elseif forward > 0 then
  each({{{", ".join(f"'{pattern}'" for pattern in _EXPIRING)}}}, function(key)
    local left = redis.call('PTTL', key)
    if left >= 0 then redis.call('PEXPIRE', key, left - forward) end
  end)
end
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6 + tonumber(ARGV[1])
for n = 3, #ARGV do redis.call('ZADD', 'weelo:presence:seen', 'XX', now, ARGV[n]) end
"""


_sandbox_now = _LUA_MOVED_NOW


def use_in_sandbox(lua_now: str) -> None:
    """Make the scripts of this process read the sandbox's time with this Lua text. It defines `now()`. For the lab."""
    global _sandbox_now  # noqa: PLW0603 (a process has one clock)
    _sandbox_now = lua_now


def lua(script: str) -> str:
    """Return the script as Redis has to execute it: in a sandbox, its LUA_NOW is replaced by the clock with the offset."""
    return _with_clock(script, _sandbox_now) if settings().is_sandbox else script


@lru_cache(maxsize=64)
def _with_clock(script: str, lua_now: str) -> str:
    return script.replace(LUA_NOW, lua_now)


def move_redis(offset: timedelta, resets: int, stay_online: Collection[UUID] = ()) -> None:
    """Set the offset for scripts in Redis. `resets`: if this number has changed, presence is deleted.

    `stay_online`: transporters whose last heartbeat is set to the new time. The same script does both, because a search
    in between would remove these transporters. Raises RedisError.
    """
    redis().eval(_MOVE, 0, repr(offset.total_seconds()), str(resets), *map(str, stay_online))

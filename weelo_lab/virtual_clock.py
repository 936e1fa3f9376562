"""The clock of a run: it stands still until the scheduler moves it, in PostgreSQL, in Redis and in Python alike.

PostgreSQL: functions of the schema `sandbox` hide those that return the time (`weelo_workers/models/sandbox.py`). In a
sandbox they add an offset to the real time; here they return the time of a row. Redis: the scripts read a key, and keys
expire by this clock. Python: `weelo_workers.clock.now` reads PostgreSQL's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from weelo_workers import redis_clock
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.models.prepared import prepared
from weelo_workers.models.sandbox import CLOCK_FUNCTIONS
from weelo_workers.redis_client import redis

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
"""The time at which every run begins, a Monday."""
SECOND = 1_000_000
"""Times of a run are counted in whole microseconds after BEGIN, because sums of floats depend on their order."""

_NOW_KEY = "weelo:lab:now"
_ENDS_KEY = "weelo:lab:ends"

_TABLE = "CREATE TABLE IF NOT EXISTS sandbox.lab_clock (at timestamptz NOT NULL) WITH (fillfactor = 10)"
_FUNCTION = """
CREATE OR REPLACE FUNCTION sandbox.{name}() RETURNS timestamptz LANGUAGE sql {volatility} PARALLEL SAFE
AS 'SELECT at FROM sandbox.lab_clock'
"""
# Statements call gen_random_uuid() without a schema, so they use this function instead of the random one in pg_catalog.
_IDS = """
CREATE SEQUENCE IF NOT EXISTS sandbox.lab_ids;
CREATE OR REPLACE FUNCTION sandbox.gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE
AS $$ SELECT md5('lab ' || nextval('sandbox.lab_ids'))::uuid $$
"""
_MOVE = text("UPDATE sandbox.lab_clock SET at = CAST(:at AS timestamptz)").execution_options(
    **prepared("move_lab_clock")
)

# With a real time to live, keys would expire by the real clock. So the script stores when each key expires, and
# `_MOVE_REDIS` deletes expired keys. The members of a set are sorted, because Valkey's order differs from process to
# process.
LUA_NOW = f"""
local call = redis.call
local function now() return tonumber(call('GET', '{_NOW_KEY}')) end
local function ends(key, seconds) call('ZADD', '{_ENDS_KEY}', now() + seconds, key) end
local function members(key)
  local found = call('SMEMBERS', key)
  table.sort(found)
  return found
end
local replaced = {{
  SET = function(key, value, ...)
    local given, kept, seconds, n = {{...}}, {{}}, nil, 1
    while given[n] do
      if given[n] == 'EX' then seconds, n = tonumber(given[n + 1]), n + 2
      elseif given[n] == 'PX' then seconds, n = tonumber(given[n + 1]) / 1000, n + 2
      else kept[#kept + 1], n = given[n], n + 1 end
    end
    local done = call('SET', key, value, unpack(kept))
    if done and seconds then ends(key, seconds) end
    return done
  end,
  EXPIRE = function(key, seconds)
    if call('EXISTS', key) == 0 then return 0 end
    ends(key, tonumber(seconds))
    return 1
  end,
  SMEMBERS = members,
  SRANDMEMBER = function(key, count)
    local first = {{}}
    for n, member in ipairs(members(key)) do
      if n > tonumber(count) then break end
      first[n] = member
    end
    return first
  end,
}}
local redis = {{call = function(name, ...) return (replaced[name] or function(...) return call(name, ...) end)(...) end}}
"""
_MOVE_REDIS = f"""
redis.call('SET', '{_NOW_KEY}', ARGV[1])
local over = redis.call('ZRANGEBYSCORE', '{_ENDS_KEY}', '-inf', ARGV[1])
if #over > 0 then
  for _, key in ipairs(over) do redis.call('DEL', key) end
  redis.call('ZREMRANGEBYSCORE', '{_ENDS_KEY}', '-inf', ARGV[1])
end
"""


def time_at(micros: int) -> datetime:
    """Return the time this many microseconds after BEGIN."""
    return BEGIN + timedelta(microseconds=micros)


def install(connection: Connection) -> None:
    """Replace the clock of a sandbox's database by that of a run, and random ids in SQL by ids from a sequence."""
    connection.execute(text(_TABLE))
    connection.execute(text("INSERT INTO sandbox.lab_clock VALUES (CAST(:at AS timestamptz))"), {"at": BEGIN})
    for name, volatility in CLOCK_FUNCTIONS.items():
        connection.execute(text(_FUNCTION.format(name=name, volatility=volatility)))
    connection.execute(text(_IDS))


class VirtualClock:
    """The time of a run, which the clocks of this process's database and Redis show."""

    def __init__(self) -> None:
        redis_clock.use_in_sandbox(LUA_NOW)
        self._move_redis = redis().register_script(_MOVE_REDIS)
        self._connection = autocommit_engine().connect()
        self.micros = 0
        self._written = -1
        self.write()

    @property
    def now(self) -> datetime:
        return time_at(self.micros)

    def move(self, micros: int) -> None:
        """Set the time. It never goes back."""
        self.micros = max(self.micros, micros)

    def write(self, *, again: bool = False) -> None:
        """Set the clocks of PostgreSQL and Redis to the time of the run, unless they have this time already.

        The caller calls this before it uses PostgreSQL or Redis. `move` does not set these clocks, because that costs
        two round trips, and most functions that a scheduler runs use neither server. `again`: set them in any case,
        because Redis has lost its data.
        """
        if self._written == self.micros and not again:
            return
        self._written = self.micros
        at = self.now
        self._connection.execute(_MOVE, {"at": at})
        self._move_redis(args=[repr(at.timestamp())])

    def close(self) -> None:
        self._connection.close()

"""What lies on the server: an inbox (a Stream with one consumer group) for each agent, who takes
part, and which listener of an agent reads.

    agentmon:inbox:NAME     a Stream; `message` is the message as JSON, `host` where it was sent;
                            or `receipt`: what became of a message that this agent sent
    agentmon:agents         a hash: name → when it last listened or sent (epoch seconds)
    agentmon:reader:NAME    the listener that reads the inbox now; it expires
    agentmon:refused        a Stream of the last entries that were no messages

One listener of an agent reads at a time and the others stand by: two that read by turns would
archive what one sender sent in another order than it was sent.
"""

import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from agentmon.collab.redis_client import answer

PREFIX = b"agentmon:"
GROUP = "listeners"
AGENTS = PREFIX + b"agents"
REFUSED = PREFIX + b"refused"
REFUSED_KEPT = 1_000
HOST_BYTES = 256
FORGOTTEN_AFTER = 30 * 86_400.0
"""Seconds after which an agent that neither listened nor sent gets no messages to everybody."""

NEARLY = 0.9
"""The share of an inbox's room above which its senders are warned."""


class Parcel(Struct, frozen=True):
    """One message for one receiver; the payload is what `redis_wire` makes."""

    receiver: str
    sender: str
    payload: bytes


class Posted(Struct, frozen=True):
    """`late`: per parcel who did not get it. `near`: how full inboxes are that are nearly full."""

    late: list[list[str]]
    near: dict[str, int]


class Entry(Struct, frozen=True):
    """One entry of an inbox: a message, or what became of one that its agent sent; else neither."""

    id: bytes
    payload: bytes | None
    host: str | None
    receipt: bytes | None = None


def key(kind: bytes, name: str) -> bytes:
    return PREFIX + kind + b":" + raw(name)


def raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _name(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_POST = """
local most, now, forgotten = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full, near, result = {}, {}, {}
local agents = nil
local function put(name, payload)
  if full[name] then return false end
  local inbox = KEYS[2] .. name
  local length = redis.call('XLEN', inbox)
  if length >= most then full[name] = true near[name] = length return false end
  redis.call('XADD', inbox, 'MAXLEN', most, '*', 'message', payload, 'host', ARGV[5])
  if length + 1 >= most * tonumber(ARGV[4]) then near[name] = length + 1 end
  return true
end
local first = 7 + tonumber(ARGV[6])
for at = 7, first - 1 do full[ARGV[at]] = true end
for at = first, #ARGV, 3 do
  local receiver, sender, payload = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local late = {}
  if agents == nil then agents = redis.call('HGETALL', KEYS[1]) end
  if receiver == '*' then
    for pair = 1, #agents, 2 do
      local name = agents[pair]
      if name ~= sender and now - tonumber(agents[pair + 1]) < forgotten then
        if not put(name, payload) then late[#late + 1] = name end
      end
    end
  elseif not put(receiver, payload) then
    late[1] = receiver
  end
  redis.call('HSET', KEYS[1], sender, ARGV[2])
  result[#result + 1] = late
end
local told = {}
for name, length in pairs(near) do told[#told + 1] = name told[#told + 1] = tostring(length) end
return {result, told}
"""
"""All parcels of a call in one step: a receiver whose inbox takes no more gets none of those that
follow either, or a later one would come first. The senders are registered after that, so that a
first message to everybody goes to those who were there before it."""

_TELL = """
local result = {}
for at = 2, #ARGV, 2 do
  local inbox = KEYS[1] .. ARGV[at]
  local has_room = redis.call('XLEN', inbox) < tonumber(ARGV[1])
  if has_room then redis.call('XADD', inbox, '*', 'receipt', ARGV[at + 1]) end
  result[#result + 1] = has_room and 1 or 0
end
return result
"""

_TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder == false or holder == ARGV[1] or holder == ARGV[3] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
return holder
"""

_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


async def post(
    redis: Redis, parcels: Sequence[Parcel], *, most: int, full: Collection[str] = ()
) -> Posted:
    """Puts parcels into inboxes of at most `most` entries; those of `full` get none."""
    arguments: list[bytes | float] = [most, time.time(), FORGOTTEN_AFTER, NEARLY]
    arguments += [raw(socket.gethostname()), len(full)]
    arguments += [raw(name) for name in full]
    for parcel in parcels:
        arguments += [raw(parcel.receiver), raw(parcel.sender), parcel.payload]
    script = redis.register_script(_POST)
    late, near = await answer(script(keys=[AGENTS, PREFIX + b"inbox:"], args=arguments))
    names = [_name(name) for name in near[::2]]
    return Posted(
        [[_name(name) for name in names_] for names_ in late],
        dict(zip(names, map(int, near[1::2]), strict=True)),
    )


async def tell(redis: Redis, receipts: Sequence[tuple[str, bytes]], *, most: int) -> list[bool]:
    """Puts receipts into the inboxes of senders; which of them went. Half of an inbox's room is
    kept for messages."""
    arguments: list[bytes | int] = [max(most // 2, 1)]
    for sender, payload in receipts:
        arguments += [raw(sender), payload]
    script = redis.register_script(_TELL)
    return [bool(has_room) for has_room in await answer(script([PREFIX + b"inbox:"], arguments))]


async def take(redis: Redis, agent: str, token: str, seconds: float, dead: str = "") -> str:
    """Makes this listener the one that reads, for so many seconds; returns who does now.

    `dead` is a listener known to be gone: its turn is over.
    """
    script = redis.register_script(_TAKE)
    arguments = [token, int(seconds * 1000), dead or token]
    return _name(await answer(script(keys=[key(b"reader", agent)], args=arguments)))


async def leave(redis: Redis, agent: str, token: str) -> None:
    script = redis.register_script(_LEAVE)
    await answer(script(keys=[key(b"reader", agent)], args=[token]))


async def register(redis: Redis, agent: str) -> None:
    """Makes the inbox and its group, where they are not, and says that the agent takes part."""
    try:
        inbox = key(b"inbox", agent)
        await answer(redis.xgroup_create(inbox, GROUP, id="0", mkstream=True))
    except ResponseError as problem:
        if "BUSYGROUP" not in str(problem):
            raise
    await answer(redis.hset(AGENTS, raw(agent), str(time.time())))


async def claim(
    redis: Redis, agent: str, consumer: str, start: str, count: int
) -> tuple[str, list[Entry]]:
    """Entries that any listener of the agent was given and did not acknowledge, from `start` on:
    they are this one's now. Returns where to go on ("0-0": that was all) and the entries."""
    coming = redis.xautoclaim(
        key(b"inbox", agent), GROUP, consumer, min_idle_time=0, start_id=start, count=count
    )
    found: Any = await answer(coming)
    return _name(found[0]), _entries(found[1])


async def read(redis: Redis, agent: str, consumer: str, count: int, wait: float) -> list[Entry]:
    """Entries that no listener was given yet; waits so many seconds for the first."""
    coming = redis.xreadgroup(
        GROUP, consumer, {key(b"inbox", agent): ">"}, count=count, block=int(wait * 1000)
    )
    found = await answer(coming, wait)
    streams = cast("list[tuple[bytes, Any]]", found or [])
    return [entry for _, entries in streams for entry in _entries(entries)]


def _entries(found: Iterable[tuple[Any, Any]]) -> list[Entry]:
    """Deleted entries come as None, or without fields."""
    return [_entry(id, fields or {}) for id, fields in found if id is not None]


def _entry(id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    host = fields.get(b"host", b"")[:HOST_BYTES].decode("utf-8", "replace")
    return Entry(id, fields.get(b"message"), host or None, fields.get(b"receipt"))


async def finish(
    redis: Redis, agent: str, entries: Sequence[Entry], refused: Collection[bytes] = ()
) -> None:
    """Acknowledges entries and takes them out, all or none: what is archived needs no room here."""
    inbox = key(b"inbox", agent)
    async with redis.pipeline(transaction=True) as pipeline:
        for payload in refused:
            fields: dict[Any, Any] = {b"receiver": raw(agent), b"message": payload}
            pipeline.xadd(REFUSED, fields, maxlen=REFUSED_KEPT, approximate=True)
        pipeline.xack(inbox, GROUP, *(entry.id for entry in entries))
        pipeline.xdel(inbox, *(entry.id for entry in entries))
        await answer(pipeline.execute())


async def forget_others(redis: Redis, agent: str, consumer: str) -> None:
    """Takes listeners out of the group that are gone and left nothing behind."""
    inbox = key(b"inbox", agent)
    consumers: Any = await answer(redis.xinfo_consumers(inbox, GROUP))
    for found in consumers:
        if _name(found["name"]) != consumer and not found["pending"]:
            await answer(redis.xgroup_delconsumer(inbox, GROUP, found["name"]))

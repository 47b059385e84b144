"""A role and its password in, the line of an ACL file out: what producers, workers and monitors may do in a broker.

Nobody has a command on all keys: each grant is a selector of Redis 7, some commands on some keys. The server asks for
them inside Lua scripts too, so what a script writes its user may also write without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from common.broker.connect import PREFIX


class Role(StrEnum):
    PRODUCER = "producer"
    WORKER = "worker"
    MONITOR = "monitor"

    @property
    def user(self) -> str:
        return f"manyeyes-{self}"


@dataclass(frozen=True, slots=True)
class Grant:
    """Commands on keys, which are patterns after our prefix; or on channels of kombu's, after the database's number."""

    commands: str
    keys: str = ""
    channels: str = ""

    def selector(self, database: int) -> str:
        commands = [f"+{command}" for command in self.commands.split()]
        keys = [f"~{PREFIX}{pattern}" for pattern in self.keys.split()]
        # Subscribing to a pattern takes the very same pattern: none for all databases would do.
        channels = [f"&{PREFIX}/{database}.{pattern}" for pattern in self.channels.split()]
        return f"({' '.join([*commands, *keys, *(['resetchannels'] if channels else []), *channels])})"


#: Of detectors, whatever the protocol: see common.protocol.messages.task_queue. kombu has a list for each
#: of four priorities.
QUEUES = "queue.*"
#: Where kombu keeps which queue hears of which exchange: of events and remote control; and of detectors' queues.
_TALK = "_kombu.binding*.celeryev _kombu.binding*.celery.pidbox _kombu.binding_deadlines"
_ROUTES = f"_kombu.binding*.{QUEUES} _kombu.binding*.celery"
#: Answers to remote control: a list for each who asks.
_REPLIES = "*.reply.celery.pidbox*"

#: What everybody may on no key in particular: log in, say who they are, subscribe to nothing, run scripts of their own.
_ALWAYS = (
    "-@all +@connection -@admin -@dangerous +@transaction +unsubscribe +punsubscribe "
    "+time +acl|whoami +script|load +script|exists"
)

#: Who is there.
_PRESENCE = (
    Grant("zrange zscore", "processes workers"),
    Grant("mget pttl", "process:* worker:* detector:*"),
)
#: Who reads it for a run strikes out whose heartbeat is gone, and who ends strikes out itself. Not who only watches:
#: a live process that is struck out looks dead.
_STRIKE = (Grant("zrem", "processes workers"),)
#: Who talks by kombu declares where it leads, looks it up, and sweeps away what has run out.
_DECLARE = (Grant("evalsha sadd srem smembers zadd zrangebyscore zrem exists del", _TALK),)
#: Asking all workers by Celery's remote control, and taking their answers from a list that goes with who asked.
_ASK = (
    Grant("publish", channels="celery.pidbox"),
    Grant("brpop llen del", _REPLIES),
)

GRANTS: dict[Role, tuple[Grant, ...]] = {
    Role.PRODUCER: (
        # `producer doctor` looks for queues that nobody serves.
        Grant("info scan"),
        # The ledger, by its scripts and around them.
        Grant("evalsha", "lease:* run:* open:* shard:* done:*"),
        Grant("get set del", "lease:*"),
        Grant("hget hmget hstrlen hexists hset hsetnx persist expire", "run:*"),
        Grant("zrange zadd zrem", "open:*"),
        Grant("exists hget hmget hgetall hstrlen hexists hset hdel hincrby del", "shard:*"),
        # An item that nobody can look at gets its row from the owner, committed as any other.
        Grant("blpop lpop rpush del", "done:*"),
        # What else owners say, and to one another.
        Grant("zadd zrem zremrangebyscore zrange expire", "sharing:* runs waiting"),
        Grant("get mget set", "figures:*"),
        Grant("hgetall", "refused"),
        Grant("get set", "cargo-port"),
        Grant("hset hdel expire unlink", "cargo:*"),
        *_PRESENCE,
        *_STRIKE,
        # Sending shards, and that they were sent; taking out what a run that has ended has left, by a script.
        Grant("lpush llen evalsha lrange lset lrem", QUEUES),
        Grant("publish", channels="celeryev/*"),
        Grant("sadd smembers", _ROUTES),
        *_DECLARE,
        *_ASK,
    ),
    Role.WORKER: (
        # The ledger, by its scripts and around them.
        Grant("evalsha", "run:* shard:* done:*"),
        Grant("hget hmget hstrlen", "run:*"),
        Grant("hmget hexists hset hsetnx hincrby hdel", "shard:*"),
        Grant("rpush", "done:*"),
        Grant("hget", "cargo:*"),
        Grant("hincrby", "refused"),
        *_PRESENCE,
        *_STRIKE,
        Grant("zadd", "processes workers"),
        Grant("set del", "process:* worker:*"),
        Grant("set expire", "detector:*"),
        # Taking shards, and giving back what was not acknowledged: kombu keeps that for all workers in one place.
        Grant("brpop lpush rpush llen", QUEUES),
        Grant("hget hset hdel watch", "unacked"),
        Grant("zadd zrem zrange", "unacked_index"),
        Grant("get set del evalsha", "unacked_mutex"),
        Grant("sadd smembers", _ROUTES),
        *_DECLARE,
        # Events, questions heard, answers given.
        Grant("publish", channels="celeryev/*"),
        Grant("psubscribe", channels="celery.pidbox"),
        Grant("llen del", "*@*.celery.pidbox*"),
        Grant("lpush", _REPLIES),
    ),
    Role.MONITOR: (
        Grant("info"),
        Grant("get mget", "figures:* cargo-port"),
        Grant("zrange", "runs waiting"),
        Grant("hgetall", "refused"),
        *_PRESENCE,
        # How long queues are. Flower asks for Celery's default one too.
        Grant("llen", f"{QUEUES} celery celery??[369]"),
        # Flower.
        Grant("psubscribe", channels="celeryev/*"),
        Grant("llen del", "celeryev.*"),
        *_DECLARE,
        *_ASK,
    ),
}


def line(role: Role, password: str, database: int = 0) -> str:
    """For an ACL file, or after `ACL SETUSER` in place of `user`. It holds no secret, only the password's SHA-256."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    selectors = " ".join(grant.selector(database) for grant in GRANTS[role])
    return f"user {role.user} reset on #{digest} {_ALWAYS} {selectors}"


def lines(passwords: Mapping[str, str], database: int = 0) -> list[str]:
    """All that a broker of its own needs, by the roles' passwords: who does not log in is nobody."""
    # Nobody can be the user that is off; but Redis 7.0 and Valkey 9.1 read their append-only file as that one, and drop
    # every transaction in it that this user may not run.
    return ["user default off ~* &* +@all", *(line(role, passwords[role], database) for role in Role)]

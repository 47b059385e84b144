"""A broker that answers in; its version, its memory, what it keeps and who may come, out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis

from common.broker import sentinel, tls
from producer.cluster.hub.addresses import is_loopback
from producer.doctor import sentinels
from producer.doctor.finding import Finding, failed, note, ok, warning

#: Share of its memory at which it is time to do something.
_FULL, _FILLING = 0.9, 0.6
#: Seconds of a round trip above which processes wait for the network between two short shards.
_FAR_S = 0.02
_PINGS = 5
#: Seconds that the broker's clock may be off from this machine's: shown instants only.
_OFF_S = 2.0


def findings(client: redis.Redis, url: str, shown: str) -> Iterator[Finding]:
    """`shown` is the URL for people."""
    yield _round_trip(client, shown)
    info: dict[str, Any] = client.info()
    if sentinel.is_sentinel(url):
        address = sentinel.parse(url)
        yield from sentinels.findings(address, int(info.get("connected_slaves", 0)))
        url = address.server_url(client)
    yield _version(info)
    yield from _kind(info)
    yield _policy(info)
    yield from _memory(info)
    yield _persistence(info)
    yield from _safety(client, url)
    yield _clock(client)


def _round_trip(client: redis.Redis, shown: str) -> Finding:
    times = []
    for _ in range(_PINGS):
        begun = time.perf_counter()
        client.ping()
        times.append(time.perf_counter() - begun)
    middle = statistics.median(times)
    words = f"{shown} answers in {middle * 1000:.1f} ms"
    if middle > _FAR_S:
        return warning("broker", words, "put it nearer: each shard takes eight round trips (docs/scale.md)")
    return ok("broker", words)


def _version(info: dict[str, Any]) -> Finding:
    valkey = info.get("valkey_version")
    # Nobody comes here by one that is too old: see `common.broker.wrong_server`.
    return ok("version", f"{'Valkey' if valkey else 'Redis'} {valkey or info['redis_version']}")


def _kind(info: dict[str, Any]) -> Iterator[Finding]:
    if info.get("role") not in ("master", None):
        yield failed(
            "kind",
            f"it is a {info['role']}, which takes no writes",
            "name its primary; or wait, if it fails over just now",
        )
    if info.get("loading"):
        yield warning("kind", "it is still loading its file", "wait")


def _policy(info: dict[str, Any]) -> Finding:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy != "noeviction":
        return failed(
            "eviction",
            f"maxmemory-policy {policy}: under pressure it forgets shards and heartbeats",
            "CONFIG SET maxmemory-policy noeviction, and in its file",
        )
    return ok("eviction", "noeviction")


def _memory(info: dict[str, Any]) -> Iterator[Finding]:
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if not most:
        yield note("memory", f"{used / 1e6:.0f} MB used, without a bound", "of a server of your own, set maxmemory")
        return
    words = f"{used / 1e6:.0f} of {most / 1e6:.0f} MB used"
    if used > _FULL * most:
        yield failed("memory", words, "finish or cancel runs, or raise maxmemory; at the bound it takes no results")
    elif used > _FILLING * most:
        yield warning("memory", words, "see what fills it (docs/operations.md), or raise maxmemory")
    else:
        yield ok("memory", words)


def _persistence(info: dict[str, Any]) -> Finding:
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status") != "ok":
            return failed("persistence", "its append-only file cannot be written", "look at its disk and its log")
        return ok("persistence", "append-only file")
    return note(
        "persistence",
        "no append-only file: what a snapshot has missed is done once more after a restart",
        "appendonly yes spares that",
    )


def _safety(client: redis.Redis, url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    here = parts.scheme in ("unix", "redis+socket") or is_loopback(parts.hostname or "")
    try:
        user = str(client.acl_whoami())
    except redis.RedisError:
        user = parts.username or "default"
    if not (parts.password or "password=" in parts.query or "ssl_certfile" in tls.options(url)):
        yield warning("login", "it takes everybody without a password", "set one; `producer acl` makes users")
    elif user == "default":
        yield note("login", "the user `default`, who may do everything", "`producer acl` makes users that may do less")
    else:
        yield ok("login", f"user {user}")
    if not here and parts.scheme != "rediss":
        yield warning("encryption", "none: passwords and images pass in the clear", "use rediss:// (docs/tls.md)")


def _clock(client: redis.Redis) -> Finding:
    before = time.time()
    seconds, micros = client.time()
    off = seconds + micros / 1e6 - (before + time.time()) / 2
    words = f"the broker's is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    if abs(off) > _OFF_S:
        return warning("clock", words, "run a time service on both: shown instants are off, nothing else is")
    return ok("clock", words)

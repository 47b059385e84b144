"""A `sentinel://` URL in; whom its Sentinels name, and whether a failover can come to pass, out."""

from __future__ import annotations

from collections.abc import Iterator

from common.broker.sentinel import Address, Sentinels, shown
from producer.doctor.finding import Finding, ok, warning


def findings(address: Address, replicas: int) -> Iterator[Finding]:
    """`replicas`: of the master, now."""
    views = Sentinels(address).views()
    named = [found for _, found in views if not isinstance(found, str)]
    for place in sorted(set(named)):
        words = f"{address.master_name} is {shown(place)}, say {named.count(place)} of {len(views)} Sentinels"
        if len(set(named)) == 1:
            yield ok("sentinel", words)
        else:
            yield warning("sentinel", words, "a failover is under way, or they do not reach each other: look again")
    for where, found in views:
        if isinstance(found, str):
            yield warning("sentinel", f"{where} {found}", "without a majority of them there is no failover")
    if len(views) == 1:
        yield warning("sentinel", "the URL names only one", "name all, with commas: while it is away, none is asked")
    if not replicas:
        yield warning("sentinel", "the master has no replica now", "without one there is no failover: start one")

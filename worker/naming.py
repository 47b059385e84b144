"""The name that Celery gives a worker in, one that no other has out."""

from __future__ import annotations

import secrets

from celery.utils.nodenames import default_nodename


def own(given: str) -> str:
    """A random one where nobody has chosen any: Celery's own is the same for all workers of a host.

    Then the list, Flower and who waits for a dead one would take two for one.
    """
    usual: str = default_nodename("")
    return f"{secrets.token_hex(3)}@{given.partition('@')[2]}" if given == usual else given

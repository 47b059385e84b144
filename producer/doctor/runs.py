"""What owners last said of their runs in; those that nobody brings to their end, out."""

from __future__ import annotations

from collections.abc import Iterator

import redis

from producer.doctor.finding import Finding, note, ok, warning
from producer.scheduler import run_stats

#: Seconds without an image, after which a run with live workers stands still.
_STILL_S = 120.0


def findings(client: redis.Redis) -> Iterator[Finding]:
    seconds, _ = client.time()
    well = 0
    for one in run_stats.all_runs(client):
        state = one.state(seconds)
        where = f"run {one.run} of {one.host}"
        done = f"{one.progress.done:,} of {'?' if one.progress.items is None else format(one.progress.items, ',')}"
        if state == run_stats.INTERRUPTED:
            words = f"{where} has no owner, at {done} images"
            yield warning("runs", words, f"on {one.host}:  producer resume {one.run}")
        elif state == "running" and seconds - one.last_progress > _STILL_S:
            words = f"{where} stands still at {done} images for {seconds - one.last_progress:.0f} s"
            yield warning("runs", words, "see the workers above, and docs/operations.md")
        elif state == "paused":
            yield note("runs", f"{where} is paused at {done} images", f"producer unpause {one.run}")
        else:
            well += 1
    if well:
        yield ok("runs", f"{well} under way or at their end")

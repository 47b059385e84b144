"""`producer`, but no event for each task that it sends: the unobserved side of `benchmarks.observing`."""

from __future__ import annotations

from celery import Celery

from common import broker
from producer import cluster, entry


def _silent(url: str | None) -> Celery:
    app = broker.celery_app(url)
    app.conf.task_send_sent_event = False
    return app


if __name__ == "__main__":
    vars(cluster)["celery_app"] = _silent
    entry.main()

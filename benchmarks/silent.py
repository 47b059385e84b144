"""`producer`, but no event for each task that it sends: the unobserved side of `benchmarks.observing`."""

from __future__ import annotations

from celery import Celery

from common.broker.connect import celery_app
from producer.cli import entry
from producer.cluster import connect


def _silent(url: str | None) -> Celery:
    app = celery_app(url)
    app.conf.task_send_sent_event = False
    return app


if __name__ == "__main__":
    vars(connect)["celery_app"] = _silent
    entry.main()

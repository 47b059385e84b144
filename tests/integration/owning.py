"""An owner as a process of its own, to be killed: starts a cluster, says who is who, watches until told to end."""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

from common.errors import ManyeyesError
from producer.cluster.embedded import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
#: A real Celery worker with two pool processes.
WORKER_COMMAND = [
    *(sys.executable, "-m", "celery", "--app", "tests.integration.celery_pool", "worker"),
    *("--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "INFO"),
]


def main() -> None:
    logs = Path(sys.argv[1])
    with LocalCluster.start(worker_command=WORKER_COMMAND, environment=ENVIRONMENT, log_folder=logs) as cluster:
        pids = {"supervisor": cluster.supervisor_pid, "worker": cluster.worker_pid, "broker": cluster.broker_pid}
        print(json.dumps({"owner": os.getpid(), **pids, "url": cluster.broker_url}), flush=True)
        try:
            while not select.select([sys.stdin], [], [], 0.05)[0]:
                cluster.check()
        except ManyeyesError as error:
            print(f"error: {error}", flush=True)


if __name__ == "__main__":
    main()

"""A real Prometheus with the alerts of deploy/, which looks and thinks every second; which of them fire, out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.acceptance.brokers import free_port
from tests.acceptance.metrics import Metrics
from tests.waiting import wait_until

ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"


@dataclass(frozen=True)
class Prometheus:
    """At an address."""

    url: str

    def firing(self) -> set[str]:
        """Names of the alerts that somebody is woken for."""
        with urllib.request.urlopen(f"{self.url}/api/v1/alerts", timeout=10) as answer:
            alerts = json.loads(answer.read())["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@contextmanager
def a_prometheus(metrics: Metrics, folder: Path, impatience: int) -> Iterator[Prometheus]:
    """Alerts that wait for minutes before they fire wait for so many times less; nothing else of them is changed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus; it is in Debian's package of that name")
    rules = re.sub(r"for: (\d+)m", lambda minutes: f"for: {int(minutes[1]) * 60 // impatience}s", ALERTS.read_text())
    (folder / "alerts.yml").write_text(rules)
    target = metrics.url.split("/")[2]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "alerts.yml")],
        "scrape_configs": [{"job_name": "manyeyes", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    found = Prometheus(f"http://127.0.0.1:{free_port()}")
    log = folder / "prometheus.log"
    options = (f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}")
    with log.open("w") as words:
        command = [program, *options, f"--web.listen-address={found.url.removeprefix('http://')}"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    try:
        wait_until(lambda: process.poll() is not None or "ready to receive" in log.read_text(), what="Prometheus")
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)

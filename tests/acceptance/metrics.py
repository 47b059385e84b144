"""`producer monitor` as a process of its own, and what it says over HTTP."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.commands import BIN, environment
from tests.waiting import wait_until


@dataclass(frozen=True)
class Scrape:
    """One answer."""

    text: str

    def all(self, name: str, /, **labels: str) -> list[float]:
        """The values of the series of this name that have these labels among theirs."""
        return [
            sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def one(self, name: str, /, **labels: str) -> float:
        [value] = self.all(name, **labels)
        return value

    @property
    def names(self) -> set[str]:
        """Of all series."""
        return {s.name for family in text_string_to_metric_families(self.text) for s in family.samples}


@dataclass(frozen=True)
class Metrics:
    """What is served at an address that ends with `/metrics`."""

    url: str

    def scrape(self) -> Scrape:
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return Scrape(answer.read().decode())

    def health(self) -> int:
        with urllib.request.urlopen(self.url.replace("/metrics", "/healthz"), timeout=10) as answer:
            return int(answer.status)


@contextmanager
def a_monitor(url: str, cwd: Path) -> Iterator[Metrics]:
    log = cwd / "monitor.log"
    with log.open("w") as words:
        monitor = subprocess.Popen(
            [BIN / "producer", "monitor", "--listen", "127.0.0.1:0"],
            cwd=cwd,
            env=environment(MANYEYES_BROKER_URL=url),
            stdin=subprocess.DEVNULL,
            stderr=words,
        )
    try:
        wait_until(lambda: monitor.poll() is not None or "metrics at " in log.read_text(), what="the monitor")
        assert monitor.poll() is None, log.read_text()
        yield Metrics(log.read_text().split("metrics at ")[1].split()[0])
    finally:
        monitor.terminate()
        assert monitor.wait(timeout=10) == 0, log.read_text()

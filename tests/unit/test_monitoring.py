"""What the monitor exports; the page, alerts and dashboard that speak of it agree, and promtool takes them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.core import Metric

from common.protocol.heartbeats import Beat, WorkerBeat
from common.protocol.ledger import RunState
from producer.monitor import server
from producer.monitor.metrics import of_broker, of_reading
from producer.monitor.reading import Reading
from tests.acceptance.metrics import Scrape
from tests.owners import NOW, said

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "manyeyes.json"
PAGE = ROOT / "docs" / "metrics.md"

SILENT = said("b", NOW - 60)
READING = Reading(
    now=NOW + 1,
    runs=(said("a"), replace(SILENT, name='a "street"\n', progress=replace(SILENT.progress, items=20))),
    workers=(
        WorkerBeat("w1", "here", 1, ("hog-1234",), 4, 3, NOW),
        WorkerBeat("w2", "here", 2, ("hog-1234",), 2, 2, NOW),
    ),
    processes=(Beat("w1/7", "w1", "here", 7, ("hog-1234", "yolox-s-5678")),),
    waiting={"hog-1234": 5, "yolox-s-5678": 0},
    awaited={"hog": 40, "deer": 7},
    refused={"compressed": 3},
    memory_used=1,
    memory_max=10,
)


class Told:
    """A registry of what a reading tells."""

    def __init__(self, reading: Reading, scaled: Sequence[str] = ()) -> None:
        self.families: list[Metric] = [*of_broker(True), *of_reading(reading, scaled)]

    def collect(self) -> list[Metric]:
        return self.families


def scrape(reading: Reading = READING) -> Scrape:
    return Scrape(generate_latest(Told(reading)).decode())


def promtool(*arguments: str, text: str = "") -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool; it is in Debian's package `prometheus`")
    streams: dict[str, Any] = {"input": text, "capture_output": True, "text": True}
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, timeout=60, check=False, **streams)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def test_a_name_server_that_takes_its_time_holds_no_scrape_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over, known = threading.Event(), socket.getaddrinfo

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        return known(host, *rest, **more) if host != "slow.invalid" or over.wait(10) else []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(server, "_LOOK_S", 0.2)
    begun = time.monotonic()
    try:
        told = Scrape(generate_latest(server.Monitor("redis://slow.invalid:6379/0")).decode())
        assert told.one("manyeyes_broker_up") == 0 and time.monotonic() - begun < 5
    finally:
        over.set()


def test_figures_become_series() -> None:
    seen = scrape()
    assert seen.one("manyeyes_images_done_total", run="a") == 6
    # Of `a` nobody knows how many there are: it is still being listed.
    assert seen.all("manyeyes_run_images") == [20]
    assert seen.one("manyeyes_images_failed_total", run="a", code="empty") == 2
    assert seen.one("manyeyes_images_failed_total", run="a", code="crashed") == 0
    assert seen.one("manyeyes_shards_sent_again_total", run="a", why="lost") == 1
    assert seen.one("manyeyes_run_oldest_open_shard_seconds", run="a") == 2.5
    assert seen.one("manyeyes_run_state", run="a", state="running") == 1
    assert seen.one("manyeyes_run_state", run="b", state="interrupted") == 1
    assert sum(seen.all("manyeyes_run_state")) == 2
    assert seen.all("manyeyes_run_images_per_second") == [3.5, 0]
    assert (seen.one("manyeyes_workers"), seen.one("manyeyes_processes_missing")) == (2, 1)
    assert seen.one("manyeyes_queue_processes", detector="yolox-s", queue="yolox-s-5678") == 1
    assert seen.one("manyeyes_run_info", run="b", name='a "street"\n') == 1
    buckets = seen.all("manyeyes_stage_seconds_bucket", run="a", stage="infer")
    assert buckets == sorted(buckets) and buckets[-1] == seen.one(
        "manyeyes_stage_seconds_count", run="a", stage="infer"
    )
    assert seen.all("manyeyes_stage_seconds_bucket", run="a", stage="postprocess", le="300.0") == [0]


def test_what_is_left_counts_where_somebody_wants_a_worker_for_it() -> None:
    """Of running runs and waiting submits: not of what is paused, has ended, or has lost its owner."""
    of = replace(said("of"), progress=replace(said("of").progress, items=20))
    listing = replace(said("listing"), progress=replace(said("listing").progress, listed=8))
    begun, paused, ended = said("begun"), said("paused", state=RunState.PAUSED), said("ended", state=RunState.CANCELLED)
    seen = scrape(replace(READING, runs=(of, listing, begun, paused, ended, said("left", NOW - 60))))
    # 6 of each are on disk; of `begun` nobody knows yet that there is another.
    left = (20 - 6) + (8 - 6) + 1
    assert seen.all("manyeyes_queue_images_remaining", detector="hog", queue="hog-1234") == [left]
    assert seen.all("manyeyes_images_remaining", detector="hog") == [left + 40]
    assert seen.all("manyeyes_images_remaining", detector="deer") == [7]
    # Served, and at rest.
    assert seen.all("manyeyes_images_remaining", detector="yolox-s") == [0]


def test_what_something_scales_is_there_at_rest() -> None:
    nothing = replace(READING, runs=(), processes=(), workers=(), waiting={}, awaited={})
    assert scrape(nothing).all("manyeyes_images_remaining") == []
    told = generate_latest(Told(nothing, ("hog",))).decode()
    assert Scrape(told).all("manyeyes_images_remaining", detector="hog") == [0]


def test_a_run_that_has_ended_has_no_speed() -> None:
    assert scrape(replace(READING, runs=(said("a", state=RunState.DONE),))).one("manyeyes_run_images_per_second") == 0


def test_whoever_counts_refused_messages_makes_no_thousand_series() -> None:
    refused = {**{f"reason_{n:04d}": 1 for n in range(1000)}, "{evil}": 5, "compressed": 2}
    seen = scrape(replace(READING, refused=refused))
    assert len(seen.all("manyeyes_messages_refused_total")) == 21
    assert sum(seen.all("manyeyes_messages_refused_total")) == 1007
    assert seen.one("manyeyes_messages_refused_total", reason="compressed") == 2


def test_the_page_has_every_metric_and_no_other() -> None:
    families = {family.name + "_total" * (family.type == "counter") for family in Told(READING).families}
    infos = {name + "_info" if name in ("manyeyes_run", "manyeyes_build") else name for name in families}
    documented = re.findall(r"^\| `(manyeyes_\w+)`", PAGE.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(infos)


def test_alerts_and_dashboard_ask_for_nothing_that_is_not_exported() -> None:
    asked = [rule["expr"] for rule in rules()]
    dashboard = json.loads(DASHBOARD.read_text())
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["name"] == "run"]
    names = {name for text in asked for name in re.findall(r"manyeyes_\w+", text)}
    assert len(asked) > 30 and names <= scrape().names
    # And the other way round: what nobody looks at need not be counted. The version is for people.
    plain = {re.sub("_(count|bucket|sum)$", "", name) for name in scrape().names}
    shown = {re.sub("_(count|bucket|sum)$", "", name) for name in names}
    assert plain - shown <= {"manyeyes_build_info", "manyeyes_run_last_word_timestamp_seconds"}


def test_the_dashboard_is_whole() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels if panel["type"] != "row")
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


def test_every_alert_says_what_to_do_and_where_to_read_on() -> None:
    page, tests = PAGE.read_text(), (PROMETHEUS / "alerts_test.yml").read_text()
    for rule in rules():
        name, words = rule["alert"], rule["annotations"]
        assert words["summary"] and words["description"].endswith(".")
        assert words["runbook"] == f"docs/operations.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert f"| `{name}`" in page and f"alertname: {name}\n" in tests


def test_promtool_takes_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", "alerts.yml")


def test_alerts_come_when_they_should_and_not_otherwise() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_promtool_takes_what_the_dashboard_asks(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {"record": f"asked:{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(asked)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(file))


def test_promtool_takes_the_metrics() -> None:
    assert promtool("check", "metrics", text=scrape().text) == ""

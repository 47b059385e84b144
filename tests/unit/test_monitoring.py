"""What the monitor exports; the page, alerts and dashboard that speak of it agree, and promtool takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.core import Metric

from common.ledger import RunState
from common.presence import Beat, WorkerBeat
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
    refused={"compressed": 3},
    memory_used=1,
    memory_max=10,
)


class Told:
    """A registry of what a reading tells."""

    def __init__(self, reading: Reading) -> None:
        self.families: list[Metric] = [*of_broker(True), *of_reading(reading)]

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


def test_promtool_takes_the_metrics() -> None:
    assert promtool("check", "metrics", text=scrape().text) == ""

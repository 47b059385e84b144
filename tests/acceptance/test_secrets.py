"""A hub, runs and failures of all kinds with secrets that can be recognised: whatever is left behind is searched."""

from __future__ import annotations

import io
import json
import re
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from tests.acceptance.commands import Said, finish, marked, start
from tests.acceptance.hubs import ON_FREE_PORTS, TestHub
from tests.servers import Bucket, s3_server, web_server
from tests.waiting import wait_until

#: Each in its own words, so that a finding names its source.
S3_SECRET, S3_TOKEN, BEARER = "S3KEYxJ4pQ", "S3SESSIONm7Rw", "BEARERh2Zt"
WRONG_PASSWORD, LOGIN, SIGNATURE = "GUESSEDk9Vb", "LOGINq5Ns", "SIGNATUREd8Yc"
SECRETS = (S3_SECRET, S3_TOKEN, BEARER, WRONG_PASSWORD, LOGIN, SIGNATURE)
#: What stands before a secret that is typed.
TYPED = "--broker"
#: A list of URLs.
GIVEN = "given.txt"
#: What is given to all processes, as a user's environment would.
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": S3_SECRET,
    "AWS_SESSION_TOKEN": S3_TOKEN,
    "FSSPEC_HTTP": json.dumps({"client_kwargs": {"headers": {"Authorization": f"Bearer {BEARER}"}}}),
}


@dataclass
class Evidence:
    """All that was said, by whom."""

    secrets: tuple[str, ...]
    found: dict[str, str] = field(default_factory=dict)

    def add(self, where: str, text: str) -> None:
        self.found[where] = self.found.get(where, "") + text + "\n"

    def note(self, said: Said, command: str) -> Said:
        self.add(f"words of {command}", said.out + said.err)
        return said

    def leaks(self) -> list[str]:
        return [
            f"{where}: ...{text[max(0, at - 80) : at + 40]}"
            for where, text in self.found.items()
            for secret in self.secrets
            if (at := text.find(secret)) >= 0
        ]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with s3_server(tmp_path / "s3.log") as bucket:
        for number in range(4):
            picture = np.full((60, 80, 3), number * 50, np.uint8)
            bucket.files.pipe_file(f"photos/in/{number}.jpg", cv2.imencode(".jpg", picture)[1].tobytes())
        yield bucket


@pytest.fixture
def hub(tmp_path: Path, bucket: Bucket) -> Iterator[TestHub]:
    hub = TestHub(tmp_path / "hub")
    hub.cwd.mkdir()
    said = hub.producer("up", *ON_FREE_PORTS, "--detector", "cascade", "-c", 1, **{**bucket.environment, **ENVIRONMENT})
    assert said.code == 0, said.err
    hub.lines = said.out
    yield hub
    hub.producer("down")
    assert marked(hub.mark) == []


@pytest.mark.timeout(400)
def test_no_secret_is_left_anywhere(hub: TestHub, bucket: Bucket, tmp_path: Path) -> None:
    # All passwords that it has made for itself.
    passwords = re.findall(r'"([0-9a-f]{32})"', (hub.folder.path / "hub.json").read_text())
    assert passwords
    evidence = Evidence((*SECRETS, *passwords))
    given = {**bucket.environment, **ENVIRONMENT, "MANYEYES_BROKER_URL": hub.url}
    with watched(evidence):
        runs_well(hub, evidence, given)
        refuses(hub, evidence, given)
        fails(hub, evidence, given)
        evidence.add("Flower", "".join(flower_pages(hub)))
    evidence.note(hub.producer("down"), "down")
    evidence.add(
        "publish", "".join(read(name, bucket.files.cat_file(name)) for name in bucket.files.find("photos/out"))
    )
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in (GIVEN, "hub.json"):
            evidence.add(str(path.relative_to(tmp_path)), read(path.name, path.read_bytes()))
    # The broker's file has every message and key; of events Flower tells.
    for there in ("run.json", ".aof", "broker.log", "Flower", "images.parquet"):
        assert any(there in where for where in evidence.found), there
    assert "manyeyes.detect" in evidence.found["Flower"]
    assert evidence.leaks() == []


def runs_well(hub: TestHub, evidence: Evidence, given: dict[str, str]) -> None:
    options = ("--detector", "cascade", "--json")
    said = hub.producer("submit", "s3://photos/in/", "--publish", "s3://photos/out", *options, **given)
    assert evidence.note(said, "submit").code == 0, said.err
    asked = {
        command: start("producer", *command.split(), cwd=hub.cwd, **given)
        for command in ("status --json", "workers --json", "submit --help")
    }
    for command, process in asked.items():
        assert evidence.note(finish(process), command).code == 0
    # What is typed is not what `ps` shows, but for a moment.
    given = {name: value for name, value in given.items() if name != "MANYEYES_BROKER_URL"}
    typed = ("submit", "s3://photos/in/", "--detector", "cascade", TYPED, hub.url, "--limit", "1")
    before = len(list((hub.cwd / "runs").iterdir()))
    process = start("producer", *typed, cwd=hub.cwd, **given)
    wait_until(lambda: len(list((hub.cwd / "runs").iterdir())) > before or process.poll() is not None, what="the run")
    assert TYPED not in psutil.Process(process.pid).cmdline() and "submit" in psutil.Process(process.pid).cmdline()
    assert evidence.note(finish(process), "submit --broker").code == 0


def refuses(hub: TestHub, evidence: Evidence, given: dict[str, str]) -> None:
    """URLs that would be written into a run with what they hold."""
    with web_server(hub.cwd) as web:
        there = web.url.removeprefix("http://")
        signature = f"?X-Amz-Credential=me&X-Amz-Signature={SIGNATURE}"
        for url, words in (
            (f"http://{LOGIN}@{there}/a.jpg", "has a login in it"),
            (f"{web.url}/a.jpg{signature}", "--signed-urls"),
        ):
            (hub.cwd / GIVEN).write_text(url)
            said = evidence.note(hub.producer("submit", GIVEN, **given), "submit of a URL with a secret")
            assert said.code == 2 and words in said.error
        assert not [run for run in (hub.cwd / "runs").iterdir() if not (run / "images.parquet").exists()]


def fails(hub: TestHub, evidence: Evidence, given: dict[str, str]) -> None:
    guess = hub.url.replace(str(urlsplit(hub.url).password), WRONG_PASSWORD)
    nobody = f"redis://me:{WRONG_PASSWORD}@127.0.0.1:1/0"
    malformed = f"redis://:{WRONG_PASSWORD}#@127.0.0.1:1/0"
    asked = [
        start(*command, cwd=hub.cwd, **{**given, "MANYEYES_BROKER_URL": broker})
        for broker, command in (
            (guess, ("producer", "--debug", "workers")),
            (nobody, ("producer", "--debug", "submit", ".")),
            (malformed, ("worker", "start")),
            (f"redis://127.0.0.1:1/0?password={WRONG_PASSWORD}", ("worker", "health")),
        )
    ]
    for process in asked:
        assert evidence.note(finish(process), str(process.args)).code in (1, 2)
    # The broker dies in the middle of a run: owner, worker and Flower have much to say.
    run = start("producer", "--debug", "submit", "s3://photos/in/", "--detector", "cascade", cwd=hub.cwd, **given)
    wait_until(lambda: any(one.at for one in hub.workers()) or run.poll() is not None, what="a shard at work")
    before = hub.pids()["broker"]
    hub.kill("broker")
    wait_until(lambda: hub.part("broker").ready and hub.part("broker").pid != before, what="another broker")
    evidence.note(finish(run), "submit while the broker dies")


def flower_pages(hub: TestHub) -> Iterator[str]:
    [line] = [line for line in hub.lines.splitlines() if line.startswith("dashboard")]
    words = line.split()
    login = b64encode(f"{words[3].rstrip(',')}:{words[5]}".encode()).decode()

    def page(path: str) -> str:
        request = urllib.request.Request(f"{words[1]}/{path}", headers={"Authorization": f"Basic {login}"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    wait_until(lambda: "@" in page("api/workers?refresh=1"), what="Flower's workers")
    workers = json.loads(page("api/workers?refresh=1"))
    names = ("workers", "broker", "tasks", "metrics", "api/tasks", "api/workers", *(f"worker/{one}" for one in workers))
    for name in names:
        yield page(name)


def read(name: str, data: bytes) -> str:
    """As text, tables unpacked."""
    if name.endswith(".parquet"):
        return str(pq.read_table(io.BytesIO(data)).to_pylist())
    return data.decode("utf-8", "replace")


@contextmanager
def repeatedly(look: Callable[[], None]) -> Iterator[None]:
    """In a thread, for as long as the block runs."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            look()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def watched(evidence: Evidence) -> Iterator[None]:
    """What `ps` shows, of all processes that there are, but for the first moment of the one with a typed URL."""
    seen: set[str] = set()

    def look() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if TYPED not in words and any(secret in words for secret in evidence.secrets):
                    seen.add(words)

    with repeatedly(look):
        yield
    evidence.add("ps", "\n".join(seen))

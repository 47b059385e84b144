"""The whole way over TLS, with client certificates: worker, Flower, and each of the producer's commands."""

from __future__ import annotations

import shlex
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.broker.connect import connect
from common.errors import BrokerError
from common.protocol.relay import PORT_KEY
from tests.acceptance.commands import BIN, environment, finish, marked, producer, start
from tests.acceptance.hubs import TestHub
from tests.acceptance.workers import a_worker
from tests.authority import Authority
from tests.tlsservers import PASSWORD, tls_server
from tests.waiting import wait_until

IMAGES = 6


def test_every_command_speaks_tls_with_a_client_certificate(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(IMAGES):
        cv2.imwrite(str(photos / f"{number}.jpg"), np.full((60, 80, 3), number * 40, np.uint8))
    authority = Authority(tmp_path)
    good, client = authority.sign(["127.0.0.1"]), authority.sign(["client"])
    with tls_server(tmp_path, authority, good, True) as port, tls_server(tmp_path, authority, good, True) as cargo_port:
        # The worker finds all in the URL; the producer's commands find the files in the environment.
        bare = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0"
        url = f"{bare}?ssl_ca_certs={authority.file}&{client.as_client}"
        files = {
            "MANYEYES_BROKER_URL": bare,
            "MANYEYES_TLS_CA": str(authority.file),
            "MANYEYES_TLS_CERT": str(client.certificate),
            "MANYEYES_TLS_KEY": str(client.key),
        }
        with connect(url) as redis:
            redis.set(PORT_KEY, cargo_port)
        with a_worker(["worker", "start", "--detector", "cascade"], tmp_path, url):
            said = producer(
                *("submit", "photos", "--detector", "cascade", "--transport", "redis", "--json"), cwd=tmp_path, **files
            )
            assert said.code == 0 and said.json["ok"] == IMAGES, said.err
            for command in (("watch",), ("verify", "--deep"), ("workers",)):
                said = producer(*command, cwd=tmp_path, **files)
                assert said.code == 0, (command, said.err)
            health = finish(start("worker", "health", cwd=tmp_path, **files))
            assert health.code == 0 and "healthy" in health.out, health.err
            assert "cascade-" in flower_page(tmp_path, files, "broker")
        assert PASSWORD not in (tmp_path / "worker.log").read_text()


def flower_page(cwd: Path, files: dict[str, str], page: str) -> str:
    """As a user starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    extra = {"FLOWER_PORT": str(port), "FLOWER_ADDRESS": "127.0.0.1", "FLOWER_BASIC_AUTH": "me:word"}
    flower = subprocess.Popen(
        [BIN / "celery", "-A", "worker.app", "flower"],
        cwd=cwd,
        env=environment(**files, **extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def asked() -> str:
        login = {"Authorization": "Basic " + b64encode(b"me:word").decode()}
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/{page}", headers=login)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    try:
        return wait_until(lambda: found if "cascade-" in (found := asked()) else "", what="Flower's page")
    finally:
        flower.kill()
        flower.wait()


def test_a_hub_with_tls_carries_its_trust_in_its_url(tmp_path: Path) -> None:
    """Given `up --tls`, then all goes encrypted to who has the URL, nothing to who lacks its CA, also the next time."""
    hub = TestHub(tmp_path)
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.jpg"), np.full((60, 80, 3), 99, np.uint8))
    try:
        said = hub.up("--listen", "0.0.0.0:0", "--flower-port", 0, "--tls", "--detector", "cascade", "-c", 1)
        assert "without encryption" not in said.err
        [join] = [shlex.split(line) for line in hub.lines.splitlines() if "worker start --join" in line]
        url = hub.producer("url").out.strip()
        assert url.startswith("rediss://") and answers(join[join.index("--join") + 1])
        run = finish(hub_submission(hub, url))
        assert run.code == 0 and run.json["ok"] == 1, run.err
        [dashboard] = [line.split()[1] for line in hub.lines.splitlines() if line.startswith("dashboard")]
        trust = ssl.create_default_context(cafile=str(hub.folder.tls / "ca.pem"))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(dashboard, timeout=10, context=trust)
        with pytest.raises(BrokerError, match="no CA known here"):
            connect(url.partition("?")[0])
        with pytest.raises(BrokerError, match="write rediss://"):
            connect(url.partition("?")[0].replace("rediss://", "redis://"))
        assert {file.name: file.stat().st_mode & 0o077 for file in hub.folder.tls.glob("*.key")} == {
            "ca.key": 0,
            "server.key": 0,
        }
        hub.kill("tls")
        before = hub.pids()["tls"]
        wait_until(lambda: hub.part("tls").pid not in (None, before) and answers(url), what="another front")
        stopped = hub.producer("down").out
        assert "TLS, cargo server, broker" in stopped and "(" not in stopped, "workers first, all in good order"
        hub.up("--no-workers", "--no-flower")
        assert hub.producer("url").out.strip() == url and answers(url)
    finally:
        hub.producer("down")
    assert marked(hub.mark) == []


def hub_submission(hub: TestHub, url: str) -> subprocess.Popen[str]:
    options = ("--detector", "cascade", "--transport", "redis", "--json")
    return start("producer", "submit", "photos", *options, cwd=hub.cwd, MANYEYES_BROKER_URL=url)


def answers(url: str) -> bool:
    with suppress(BrokerError), connect(url) as client:
        return bool(client.ping())
    return False

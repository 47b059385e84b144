"""`--listen` in, hosts and ports out."""

from __future__ import annotations

import pytest

from common.errors import UsageError
from producer.cluster.acl import Role
from producer.cluster.hub.addresses import Listen, is_loopback, local_host
from producer.cluster.hub.settings import HubSettings, Wish


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0", "0.0.0.0", None),
        ("hub.lan:7000", "hub.lan", 7000),
        (":7000", None, 7000),
        ("::1", "::1", None),
        ("[fe80::1]:7000", "fe80::1", 7000),
    ],
)
def test_an_address_is_understood(text: str, host: str | None, port: int | None) -> None:
    assert Listen.parse(text) == Listen(host, port)


@pytest.mark.parametrize("text", ["", ":", "7000", "a b", "host:port", "host:65536", "[::1", "requirepass\nx"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        Listen.parse(text)


def test_own_processes_reach_a_wildcard_by_loopback() -> None:
    assert [local_host(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == ["127.0.0.1", "::1", "10.0.0.1"]
    assert [host for host in ("127.0.0.2", "::1", "localhost", "0.0.0.0", "hub.lan") if is_loopback(host)] == [
        "127.0.0.2",
        "::1",
        "localhost",
    ]


def test_what_is_not_given_is_as_last_time_but_for_another_model() -> None:
    before = {
        "passwords": {"worker": "p"},
        "host": "0.0.0.0",
        "port": 7000,
        "detector": "a.onnx",
        "labels": "a.txt",
        "weights": "a.weights",
        "workers": False,
    }
    same = HubSettings.of(Wish(listen=Listen(None, 7001), workers=True), before)
    assert (same.passwords, same.host, same.port) == (before["passwords"], "0.0.0.0", 7001)
    assert (same.labels, same.workers) == ("a.txt", True)
    assert same.launch.worker_options()[-2:] == ["--weights", "a.weights"]
    other = HubSettings.of(Wish(detector="b.onnx"), before)
    assert (other.labels, other.weights) == (None, None)
    assert HubSettings.of(Wish(), None).passwords != HubSettings.of(Wish(), None).passwords


def test_an_address_of_version_six_stands_in_brackets() -> None:
    assert HubSettings({"worker": "p"}, host="::1", port=1).url(Role.WORKER) == "redis://manyeyes-worker:p@[::1]:1/0"

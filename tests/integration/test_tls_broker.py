"""Real TLS brokers: who is let in, and what each one hears who is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.broker.connect import celery_app, connect, sibling
from common.errors import BrokerError
from producer.doctor.broker import findings
from tests.acceptance.brokers import Forgetful
from tests.authority import Authority
from tests.tlsservers import PASSWORD, tls_server


class Servers:
    """One of each kind, and the options that they want."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.authority, self.stranger = Authority(folder), Authority(folder, "stranger")
        good = self.authority.sign(["127.0.0.1", "localhost"])
        start = lambda pair, clients=False: stack.enter_context(  # noqa: E731
            tls_server(folder, self.authority, pair, clients)
        )
        self.ports = {
            "good": start(good),
            "mutual": start(good, True),
            "expired": start(self.authority.sign(["127.0.0.1"], days=-1)),
            "elsewhere": start(self.authority.sign(["broker.example"])),
        }
        self.ca = f"ssl_ca_certs={self.authority.file}"
        self.client = self.authority.sign(["client"]).as_client
        self.strange_client = self.stranger.sign(["client"]).as_client

    def url(self, name: str, *options: str, scheme: str = "rediss") -> str:
        return f"{scheme}://:{PASSWORD}@127.0.0.1:{self.ports[name]}/0?{'&'.join(options)}".rstrip("?")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("tls"), stack)


def test_both_clients_are_let_in_and_reach_the_server_beside(servers: Servers) -> None:
    for url in (servers.url("good", servers.ca), servers.url("mutual", servers.ca, servers.client)):
        with connect(url) as client:
            assert client.ping() and sibling(client, servers.ports["mutual" if "certfile" in url else "good"]).ping()
        with celery_app(url).connection_for_read() as connection:
            connection.ensure_connection(max_retries=1)


def test_celery_takes_no_certificate_that_is_not_right(servers: Servers) -> None:
    """kombu's own default is to take any."""
    for url in (servers.url("good"), servers.url("elsewhere", servers.ca)):
        with celery_app(url).connection_for_read() as connection, pytest.raises(Exception, match="VERIFY_FAILED"):
            connection.ensure_connection(max_retries=1, interval_start=0)


def test_a_client_certificate_is_a_login_too(servers: Servers) -> None:
    """Only what the URL says is looked at: the servers' password is nobody's business here."""
    for url, level in (
        (servers.url("good", servers.ca), "warning"),
        (servers.url("mutual", servers.ca, servers.client), "note"),
    ):
        with connect(url) as client:
            found = {one.part: one.level for one in findings(client, url.replace(f":{PASSWORD}@", ""), "the broker")}
        assert found["login"] == level


def test_a_broker_that_is_not_verified_is_warned_of(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), connect(servers.url("expired", "ssl_cert_reqs=none")) as client:
        assert client.ping()
    assert "is not verified" in caplog.text and PASSWORD not in caplog.text


def refused(url: str) -> str:
    with pytest.raises(BrokerError) as caught:
        connect(url)
    text = str(caught.value)
    assert PASSWORD not in text and "\n" not in text and "127.0.0.1:" in text
    return text


def test_each_fault_is_one_line_with_its_remedy(servers: Servers) -> None:
    url, ca = servers.url, servers.ca
    wrong_ca = f"ssl_ca_certs={servers.stranger.file}"
    for unsigned in (url("good"), url("good", wrong_ca)):
        assert "no CA known here has signed: name its CA's file" in refused(unsigned)
    assert "has expired: renew it" in refused(url("expired", ca))
    assert "for other names than 127.0.0.1" in refused(url("elsewhere", ca))
    assert "wants a client certificate; give ssl_certfile and ssl_keyfile" in refused(url("mutual", ca))
    assert "hangs up on the client certificate" in refused(url("mutual", ca, servers.strange_client))
    assert "write rediss:// instead of redis://" in refused(url("good", scheme="redis"))
    assert "another user or password" in refused(url("good", ca).replace(PASSWORD, "guess"))


def test_a_port_without_tls_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It hears the handshake out and says nothing.
    monkeypatch.setattr("common.broker.connect.CONNECT_TIMEOUT_S", 0.3)
    plain = Forgetful(tmp_path)
    try:
        assert "speaks no TLS on this port" in refused(plain.url.replace("redis://:secret", f"rediss://:{PASSWORD}"))
    finally:
        plain.end()

"""What a broker's URL says of TLS, and what is wrong with it."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest

from common.broker import tls
from common.broker.connect import check_url
from common.errors import UsageError
from tests.authority import Authority

URL = "rediss://:secret@broker:6379/0"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_broker_is_verified_unless_said_otherwise() -> None:
    assert tls.options("redis://broker/0") == {}
    assert tls.options(URL) == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert tls.options(URL + "?ssl_cert_reqs=none") == {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    assert not tls.is_unverified(URL)
    assert tls.is_unverified(URL + "?ssl_cert_reqs=none") and tls.is_unverified(URL + "?ssl_cert_reqs=CERT_NONE")


def test_the_environment_speaks_where_the_url_does_not(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = authority.sign(["client"])
    monkeypatch.setenv("MANYEYES_TLS_CA", "of-the-environment")
    monkeypatch.setenv("MANYEYES_TLS_CERT", str(pair.certificate))
    monkeypatch.setenv("MANYEYES_TLS_KEY", str(pair.key))
    found = tls.options(f"{URL}?ssl_ca_certs={authority.file}")
    assert (found["ssl_ca_certs"], found["ssl_certfile"], found["ssl_keyfile"]) == (
        str(authority.file),
        str(pair.certificate),
        str(pair.key),
    )
    with pytest.raises(UsageError, match=r"of-the-environment cannot be read .*MANYEYES_TLS_CA"):
        check_url(URL)


def test_a_url_may_carry_the_authority_itself(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYEYES_TLS_CA", "of-another-broker")
    der = ssl.PEM_cert_to_DER_cert(authority.file.read_text())
    text = base64.urlsafe_b64encode(der).decode().rstrip("=")
    assert tls.options(f"{URL}?ssl_ca_data={text}")["ssl_ca_data"].startswith("-----BEGIN CERTIFICATE-----")
    for damaged in (text[:-8], "!" + text):
        with pytest.raises(UsageError, match="ssl_ca_data is cut off"):
            check_url(f"{URL}?ssl_ca_data={damaged}")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://broker/0?ssl_ca_certs=ca.pem", "write rediss:// instead of redis://"),
        (URL + "?ssl_check_hostname=no", "ssl_check_hostname is no option"),
        (URL + "?ssl_cert_reqs=maybe", "neither required nor none"),
        (URL + "?ssl_ca_certs={folder}/none.pem", "none.pem cannot be read .No such file"),
        (URL + "?ssl_ca_certs={key}", "holds no certificate"),
        (URL + "?ssl_keyfile={key}", "MANYEYES_TLS_CERT"),
        (URL + "?ssl_certfile={certificate}", "no certificate and key"),
        (URL + "?ssl_certfile={ca}&ssl_keyfile={key}", "is not its key"),
        (URL + "?ssl_certfile={locked}&ssl_keyfile={locked_key}", "has a passphrase"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_connects(url: str, words: str, authority: Authority) -> None:
    pair, locked = authority.sign(["client"]), authority.locked()
    names = {"folder": Path("/nowhere"), "ca": authority.file, "certificate": pair.certificate, "key": pair.key}
    url = url.format(**names, locked=locked.certificate, locked_key=locked.key)
    with pytest.raises(UsageError, match=words) as caught:
        check_url(url)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)

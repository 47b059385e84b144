"""A `rediss://` URL in; how redis-py and kombu are to verify the broker, and to show who they are, out."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic_settings import BaseSettings, SettingsConfigDict

from common.errors import UsageError
from common.typed_path import expand

#: A parameter of the URL to the field that says it for URLs without.
_FILES = {"ssl_ca_certs": "ca", "ssl_certfile": "cert", "ssl_keyfile": "key"}
#: The CA's certificate itself, DER in URL-safe base64: what a hub's URL carries.
CA_DATA = "ssl_ca_data"
_VERIFY = "ssl_cert_reqs"
_VERIFIES = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
_CUT_OFF = f"broker URL: {CA_DATA} is cut off or damaged; copy the whole URL, in quotes"
_KNOWN = (*_FILES, CA_DATA, _VERIFY)


class TlsFiles(BaseSettings):
    """For broker URLs that say nothing themselves. Every field is `MANYEYES_TLS_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="MANYEYES_TLS_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def options(url: str) -> dict[str, Any]:
    """What redis-py's SSLConnection takes, `ssl_...`; empty for a URL without TLS.

    Raises UsageError for a file that is missing or not what it should be, and for an option that is not known.
    """
    parts = urlsplit(url)
    said = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    if parts.scheme != "rediss":
        if said:
            raise UsageError(f"broker URL: {', '.join(said)} is for TLS; write rediss:// instead of {parts.scheme}://")
        return {}
    if unknown := [name for name in said if name not in _KNOWN]:
        raise UsageError(f"broker URL: {unknown[0]} is no option of TLS here; there are {', '.join(_KNOWN)}")
    twins = TlsFiles()
    found: dict[str, Any] = {
        name: expand(said.get(name) or getattr(twins, twin) or "") for name, twin in _FILES.items()
    }
    if CA_DATA in said:
        # The URL has its own: a file of the environment's is for another broker.
        found |= {"ssl_ca_certs": expand(said.get("ssl_ca_certs", "")), CA_DATA: _pem(said[CA_DATA])}
    found = {name: value for name, value in found.items() if value}
    found[_VERIFY] = _verify(said.get(_VERIFY, "required"))
    # Outright: whether redis-py does so by itself has changed between its versions.
    found["ssl_check_hostname"] = found[_VERIFY] != ssl.CERT_NONE
    _check(found)
    return found


def is_unverified(url: str) -> bool:
    return bool(options(url).get(_VERIFY, ssl.CERT_REQUIRED) == ssl.CERT_NONE)


def _verify(word: str) -> ssl.VerifyMode:
    # As Celery spells it, too.
    found = _VERIFIES.get(word.lower().removeprefix("cert_"))
    if found is None:
        raise UsageError(f"broker URL: {_VERIFY}={word} is neither required nor none")
    return found


def _pem(text: str) -> str:
    try:
        return ssl.DER_cert_to_PEM_cert(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except ValueError:
        raise UsageError(_CUT_OFF) from None


def _check(found: dict[str, Any]) -> None:
    """Here, once: libraries would say it at each connection in OpenSSL's words, or ask the terminal for a phrase."""
    for name in _FILES:
        if name in found:
            _check_file(name, Path(found[name]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, data = found.get("ssl_ca_certs"), found.get(CA_DATA)
    if file or data:
        try:
            context.load_verify_locations(file, cadata=data)
        except ssl.SSLError:
            words = f"TLS: {file} holds no certificate in PEM; name the CA's" if file else _CUT_OFF
            raise UsageError(words) from None
    certificate, key = found.get("ssl_certfile"), found.get("ssl_keyfile")
    if key and not certificate:
        raise UsageError(f"TLS: key {key} has no certificate beside it; give ssl_certfile or MANYEYES_TLS_CERT too")
    if certificate:
        _check_pair(context, certificate, key)


def _check_file(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        said = f"{name}, or MANYEYES_TLS_{_FILES[name].upper()}"
        raise UsageError(f"TLS: {path} cannot be read ({error.strerror}); mend {said}") from None


def _check_pair(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def passphrase() -> str:
        raise UsageError(f"TLS: key {key or certificate} has a passphrase; give one without, readable by its user only")

    try:
        context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        why = "is not its key" if "MISMATCH" in str(error) else "is no certificate and key in PEM"
        raise UsageError(f"TLS: {certificate} with {key or 'itself'} {why}; give both of one pair") from None

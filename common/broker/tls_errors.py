"""A broker's URL and what its connection failed with in; what is amiss about TLS, and the remedy, out."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from common.broker import tls

#: Seconds for a look at who answers there.
_LOOK_S = 2.0
_DEFAULT_PORT = 6379
#: What OpenSSL and the kernel say of a peer that went in the middle of things.
_HUNG_UP = ("EOF", "reset", "closed", "alert", "Broken pipe")


def explain(url: str, error: Exception) -> str | None:
    """What to say after the broker's name; None where it is no matter of TLS. Looks at what listens there."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        return None
    there = (parts.hostname, parts.port or _DEFAULT_PORT)
    if parts.scheme == "redis":
        return "speaks TLS on this port: write rediss:// instead of redis://" if _speaks_tls(there) else None
    text = " ".join(str(error).split())
    if words := _unverified(text, parts.hostname):
        return words
    if _speaks_plainly(there):
        return "speaks no TLS on this port: give its TLS port, or write redis:// where the network is trusted"
    if not any(sign in text for sign in _HUNG_UP) or not _speaks_tls(there):
        return None
    if certificate := tls.options(url).get("ssl_certfile"):
        return f"hangs up on the client certificate {certificate}: give one that it knows, signed by its own CA"
    return "hangs up: it wants a client certificate; give ssl_certfile and ssl_keyfile, or MANYEYES_TLS_CERT and _KEY"


def _unverified(text: str, host: str) -> str | None:
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return None
    if "has expired" in text:
        return "has a certificate that has expired: renew it there; a hub does so at `producer down; producer up`"
    if "not yet valid" in text:
        return "has a certificate that is not valid yet: set the clock of this machine, or the broker's"
    if "mismatch" in text:
        return f"has a certificate for other names than {host}: use a name that is in it, or have one made for {host}"
    return (
        "has a certificate that no CA known here has signed: name its CA's file, ?ssl_ca_certs=FILE or MANYEYES_TLS_CA"
    )


def _speaks_tls(there: tuple[str, int]) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is told to it.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(there, _LOOK_S) as connection, context.wrap_socket(connection):
            return True
    except OSError:
        return False


def _speaks_plainly(there: tuple[str, int]) -> bool:
    """A Redis answers, if only that it wants a password."""
    try:
        with socket.create_connection(there, _LOOK_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False

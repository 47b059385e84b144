"""A text in, the same without passwords, keys and signatures out: for people, logs and files."""

from __future__ import annotations

import os
import re
import sys
import urllib.parse
from collections.abc import Sequence

#: Of URLs' queries: the parameters whose values let whoever reads them in; and a hub's certificate, which nobody reads.
_SECRET = re.compile(
    r"(?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|googleaccessid|awsaccesskeyid"
    r"|signature|sig|sas|token|[a-z]+[_-]token|jwt|(?:[a-z]+[_-])?(?:password|passwd|pwd|username)"
    r"|secret|[a-z]+[_-]secret"
    r"|(?:[a-z]+[_-])*(?:api|access)?key|auth|code|session|ssl_ca_data)",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"([?&;])([^?&;=#\s\"'<>]+)=[^&;#\s\"'<>]*")
#: Up to the last `@` of a word: a password may hold any of what ends a URL. It begins no other URL.
_LOGIN = re.compile(r"(://)(?:(?!://)\S)*@")
_MALFORMED = re.compile(r"//.*@")


def redact(text: str) -> str:
    """URLs in it are without name, password and signature; also one that no parser takes."""
    shown = _LOGIN.sub(r"\1***@", text) if "://" in text else _MALFORMED.sub("//***@", text)
    return _PARAMETER.sub(lambda found: f"{found[1]}{found[2]}=***" if _is_secret(found) else found[0], shown)


def redact_broker(named: str) -> str:
    """The same for what was given as a broker and is nothing else: whatever stands before its last `@` is hidden."""
    before, at, rest = named.rpartition("@")
    scheme = re.match(r"[a-z+]+://", before, re.IGNORECASE)
    return redact(f"{scheme[0] if scheme else ''}***@{rest}" if at else named)


def is_signed(url: bytes) -> bool:
    """Whether its query holds a signature, a key or a token."""
    return any(map(_is_secret, _PARAMETER.finditer(url.decode("utf-8", "surrogateescape"))))


def _is_secret(parameter: re.Match[str]) -> bool:
    """By its name, as servers read it: escapes undone."""
    return _SECRET.fullmatch(urllib.parse.unquote(parameter[2])) is not None


def hide(options: Sequence[str], variable: str, module: str) -> None:
    """`ps` shows what was typed, of every child too: begin again without a URL that holds a password.

    It goes into the environment variable that is the options' twin. Returns where there is nothing to hide.
    """
    words = iter(sys.argv[1:])
    kept: list[str] = []
    given: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if name in options:
            given.append(value if equals else next(words, ""))
        else:
            kept.append(word)
    if any(redact_broker(url) != url for url in given):
        os.environ[variable] = given[-1]
        # -P: a folder here that is called as one of our packages is not ours.
        os.execv(sys.executable, [sys.executable, "-P", "-m", module, *kept])

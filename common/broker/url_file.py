"""A broker's URL, or the name of a file that holds it, in; the URL, and a login that is read anew each time, out."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import redis

from common.broker.sentinel import is_sentinel
from common.errors import UsageError
from common.redaction import redact_broker
from common.typed_path import expand


def is_url(broker: str) -> bool:
    return "://" in broker


def absolute(broker: str) -> str:
    """The same, also after a change of folder."""
    return broker if is_url(broker) else str(Path(expand(broker)).absolute())


def url_of(broker: str) -> str:
    """The URL, or what the file of that name holds now. Raises UsageError, also for one that no parser takes."""
    if is_url(broker):
        return _checked(broker)
    try:
        url = Path(expand(broker)).read_text().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise UsageError(
            f"broker {redact_broker(broker)} is neither redis://HOST:PORT/0 nor a file that can be read ({why}); "
            "`producer url worker` prints what belongs there"
        ) from None
    if not is_url(url):
        raise UsageError(f"{broker} holds no URL; `producer url worker` prints what belongs there")
    return _checked(url)


def invalid(url: str) -> UsageError:
    # Not a parser's own words: they quote pieces of the password.
    return UsageError(
        f"broker {redact_broker(url)} is not a valid URL; write # / : ? @ % and blanks in a password as "
        "%23 %2F %3A %3F %40 %25 %20"
    )


def _checked(url: str) -> str:
    """Whoever has it from here may take it apart, and name it among other words: it has no blank before its host."""
    try:
        # Of several Sentinels, ports are behind commas: their own parser looks at them.
        fits = is_sentinel(url) or (urlsplit(url).port or 0) >= 0
    except ValueError:
        fits = False
    if not fits or any(map(str.isspace, url.rpartition("@")[0])):
        raise invalid(url)
    return url


class FileLogin(redis.CredentialProvider):
    """User and password of the URL in a file, as they are there whenever a connection is made."""

    def __init__(self, file: str) -> None:
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Raises redis.ConnectionError for a file that cannot be read just now: it may be on its way."""
        try:
            parts = urlsplit(url_of(self._file))
        except (UsageError, ValueError) as error:
            raise redis.ConnectionError(str(error)) from None
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        # Nothing at all: no login is sent.
        return (user, password) if user else (password,) if password else ()  # type: ignore[return-value]


def login_of(broker: str) -> FileLogin | None:
    """None for a URL: it has its own."""
    return None if is_url(broker) else FileLogin(absolute(broker))


def without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

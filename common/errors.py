"""One tree of errors, and the stable codes that the tables carry."""

from __future__ import annotations

from enum import StrEnum

from common import os_errors
from common.broker import error_text, wrong_server
from common.redaction import redact


class ItemCode(StrEnum):
    """Why an item failed: the `error_code` column of `images.parquet`. Codes are never renamed."""

    NOT_FOUND = "not_found"
    NO_PERMISSION = "no_permission"
    #: Outside what the worker may read.
    FORBIDDEN = "forbidden"
    NOT_A_FILE = "not_a_file"
    READ_ERROR = "read_error"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    OUT_OF_MEMORY = "out_of_memory"
    DETECTOR_ERROR = "detector_error"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    #: Never in a table: it ends the run, which another worker can complete.
    MISSING_PACKAGE = "missing_package"


class ExitCode:
    """What `producer` exits with. 3, 4 and 5 leave complete, readable outputs."""

    OK = 0
    ERROR = 1
    USAGE = 2
    SOME_FAILED = 3
    STOPPED = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


class ManyeyesError(Exception):
    """Anything a user can be told in one line: it names the thing, the value and the remedy."""

    exit_code = ExitCode.ERROR


class UsageError(ManyeyesError):
    """What was asked for cannot be done as asked."""

    exit_code = ExitCode.USAGE


class ModelError(UsageError):
    """A model file that is missing, broken, not a detector, or ambiguous."""


class ProtocolError(ManyeyesError):
    """A message or key of another version, or of no form that we know."""


class BrokerError(ManyeyesError):
    """The broker cannot be reached, or refuses what a run needs. `url`: where it was looked for."""

    def __init__(self, text: str, url: str | None = None) -> None:
        super().__init__(text)
        self.url = url


class BrokerAway(BrokerError):
    """It hangs, is away, or says that it is for later: waiting may help.

    `mistakable`: nothing is there at all, so that the URL may be wrong.
    """

    def __init__(self, text: str, mistakable: bool = False) -> None:
        super().__init__(text)
        self.mistakable = mistakable


class FencedError(ManyeyesError):
    """Another owner holds the run's lease: this one must write nothing more."""


class ItemError(Exception):
    """One image that cannot be looked at. It becomes a row, and never stops its shard."""

    def __init__(self, code: ItemCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def line_of(error: Exception) -> str | None:
    """What to tell the user of an error of theirs, or of what is around us; None for a defect of ours."""
    if os_errors.is_no_thread(error):
        return os_errors.no_process()
    of_broker = type(error).__module__.partition(".")[0] in ("redis", "kombu")
    if not of_broker and not isinstance(error, (ManyeyesError, OSError, MemoryError)):
        return None
    if of_broker:
        return redact(f"the broker {wrong_server.sentence(error) or f'fails: {error_text.reason(error)}'}")
    said = os_errors.explain(error) if isinstance(error, OSError) else str(error)
    return redact(" ".join(said.split())) or type(error).__name__

"""What a Redis client has raised in; the server's own reason, without what was sent to it, out."""

from __future__ import annotations

import re

#: redis-py puts the beginning of a pipeline's command before the reason: keys, bytes of images, whatever it held.
_COMMAND = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ")
#: The server quotes what it was sent with a command that it does not know, and names the script that it was in.
_QUOTED = re.compile(r",? with args beginning with:.*")
_SCRIPT = re.compile(r"\s*script: (?:[0-9a-f]{40}, )?on @user_script:\d+\.?")


def cause(error: BaseException) -> BaseException:
    """kombu's errors have Redis's for a cause."""
    of_kombu = type(error).__module__.partition(".")[0] == "kombu"
    return error.__cause__ or error if of_kombu else error


def reason(error: BaseException) -> str:
    """On one line, without a full stop; the name of the error where it says nothing."""
    return plain(" ".join(str(cause(error)).split())).rstrip(". ") or type(error).__name__


def plain(text: str) -> str:
    """Lines that may hold such an error, without what was sent."""
    return _SCRIPT.sub("", _QUOTED.sub("", _COMMAND.sub("", text)))


class Unannotated:
    """Before redis-py's pipeline: its errors say what the server said, and nothing of what was sent."""

    def annotate_exception(self, exception: Exception, number: int, command: object) -> None:
        """Leaves the error as it came."""

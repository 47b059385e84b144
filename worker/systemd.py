"""A word in, a datagram to systemd out, where it is systemd that has started this process; see sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(word: str) -> None:
    """`READY=1`, `WATCHDOG=1` and so on. What nobody hears is no fault."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address and hasattr(socket, "AF_UNIX"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.setblocking(False)
            wire.sendto(word.encode(), "\0" + address[1:] if address.startswith("@") else address)

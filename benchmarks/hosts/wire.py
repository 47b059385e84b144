"""Frames of a host in, the same frames out a while later, or never: the wire between each host and the bridge.

A process of its own, because a kernel without `netem` has nothing that delays; standard library only. A line on stdin,
`NAME SECONDS` or `NAME cut`, changes what becomes of a host's frames from then on.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

#: Of <linux/if_packet.h> and <linux/if_ether.h>.
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ETH_P_ALL = 0x0003
#: Of <asm-generic/socket.h>: beyond the system's limit, for who may.
_SO_RCVBUFFORCE = 33
#: Bytes that may wait while this process does not have its turn: some milliseconds at 1 GB/s.
_BUFFER_BYTES = 8 << 20
#: Bytes. With segmentation left to the receiver, a frame has up to 64 KiB of payload.
_FRAME_BYTES = 80 << 10
#: Frames that are taken from one socket before the others are looked at.
_BURST = 64


@dataclass
class _Way:
    """One direction of one wire."""

    source: socket.socket
    target: socket.socket
    #: Seconds; None: cut off.
    delay: float | None = 0.0
    #: (instant when it is due, frame), in that order.
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self) -> None:
        for _ in range(_BURST):
            try:
                frame = self.source.recv(_FRAME_BYTES)
            except OSError:  # none is left
                return
            if self.delay is not None:
                self.waiting.append((time.monotonic() + self.delay, frame))

    def change(self, delay: float | None) -> None:
        """What is on its way is lost with a cut, and else goes before what follows."""
        self.delay = delay
        if delay is None:
            self.waiting.clear()

    def pass_on(self, now: float) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            # A full queue loses a frame, as a switch does; the sender sends it again.
            with contextlib.suppress(OSError):
                self.target.send(self.waiting.popleft()[1])


def _open(device: str) -> socket.socket:
    """With the kernel's notes on checksums and segments before each frame, which go with it to the other side."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    found.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    found.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    try:
        found.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    except PermissionError:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    found.bind((device, _ETH_P_ALL))
    found.setblocking(False)
    return found


def _ways(wires: list[str]) -> dict[str, list[_Way]]:
    """Of NAME,DEVICE,DEVICE each: a host, the wire's end towards it, and the one towards the bridge."""
    found = {}
    for wire in wires:
        name, *devices = wire.split(",")
        host, bridge = map(_open, devices)
        found[name] = [_Way(host, bridge), _Way(bridge, host)]
    return found


def _exact_timers() -> None:
    """A sleep ends on time, not up to 50 us later, nor when others have had their turn."""
    import ctypes

    set_timer_slack = 29
    ctypes.CDLL(None).prctl(set_timer_slack, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.nice(-20)


def _told(wires: dict[str, list[_Way]]) -> bool:
    """Do what stdin says; False at its end."""
    words = os.read(sys.stdin.fileno(), 4096).decode()
    for line in words.splitlines():
        name, _, what = line.partition(" ")
        for way in wires[name]:
            way.change(None if what == "cut" else float(what))
        print("ready", flush=True)
    return bool(words)


def main() -> None:
    """Ends with its stdin."""
    _exact_timers()
    wires = _ways(sys.argv[1:])
    ways = [way for pair in wires.values() for way in pair]
    by_descriptor = {way.source.fileno(): way for way in ways}
    print("ready", flush=True)
    while True:
        due = min((way.waiting[0][0] for way in ways if way.waiting), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        readable, _, _ = select.select([sys.stdin.fileno(), *by_descriptor], [], [], wait)
        for descriptor in readable:
            if descriptor in by_descriptor:
                by_descriptor[descriptor].take()
            elif not _told(wires):
                return
        now = time.monotonic()
        for way in ways:
            way.pass_on(now)


if __name__ == "__main__":
    main()

"""TLS connections in, plain ones on the loopback out: what stands before a hub's servers, whose wheel has no TLS.

Runs as a process of its own. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from producer.cluster.log_tail import error_line

#: Seconds for a handshake: who only opens connections must not hold them.
_HANDSHAKE_S = 10.0
#: Bytes at a time, and in the buffers of each connection.
_CHUNK = 1 << 18
#: Connections that wait to be let in: after a restart of the front, those of all processes at once.
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Gate:
    """Where others come to, and the loopback's port that they are led to."""

    host: str
    port: int
    inner_port: int


@dataclass(frozen=True, slots=True)
class FrontPlan:
    """All gates, with one certificate."""

    certificate: str
    key: str
    gates: tuple[Gate, ...]

    def to_text(self) -> str:
        """It holds no secret: it may be an argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> FrontPlan:
        data = json.loads(text)
        return cls(data["certificate"], data["key"], tuple(Gate(**gate) for gate in data["gates"]))

    def context(self) -> ssl.SSLContext:
        """Raises OSError for files that cannot be read, or are no pair."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


async def serve(gates: Sequence[Gate], context: ssl.SSLContext) -> None:
    """For ever. Raises OSError for a port that is taken."""
    servers = [
        await asyncio.start_server(
            partial(_lead, gate.inner_port),
            gate.host,
            gate.port,
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_S,
            limit=_CHUNK,
            backlog=_BACKLOG,
        )
        for gate in gates
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _lead(inner_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, until either side closes it."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", inner_port, limit=_CHUNK)
    except OSError:
        # The broker is being started again: who asks hears that at once.
        writer.close()
        return
    ways = [
        asyncio.ensure_future(_pass_on(reader, inner_writer)),
        asyncio.ensure_future(_pass_on(inner_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        inner_writer.close()
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        return


def main() -> None:
    # Told to end: the workers have handed back through it what they had.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Two files a connection, and several of those a process.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        plan = FrontPlan.from_text(sys.argv[2])
        asyncio.run(serve(plan.gates, plan.context()))
    except OSError as error:
        sys.exit(error_line(error))

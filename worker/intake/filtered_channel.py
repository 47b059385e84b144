"""What Redis delivers in; only what the gate lets through reaches Celery: kombu's channel with a gate before it.

kombu parses, decompresses and believes a message before Celery looks at it, and much of what can be wrong with one ends
the worker. So the gate stands where the bytes come in.
"""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Gossip, Mingle

from common.broker import transport
from common.broker.connect import PREFIX
from common.protocol.rejections import Reason, Refused
from worker.intake import message_filter
from worker.intake.rejection_counter import Refusals

#: The broadcast that carries remote commands: kombu's name for it.
_COMMANDS = b".celery.pidbox"


def guard(refusals: Refusals, remote_control: bool) -> None:
    """From now on, in this process: all channels that are opened have the gate."""

    class Guarded(transport.Channel):
        """Refused messages were taken off their list by the server: they are gone, not delivered again."""

        def _create_client(self, asynchronous: bool = False) -> Any:
            client = super()._create_client(asynchronous)  # type: ignore[misc]
            client.set_response_callback("BRPOP", _from_queue)
            return client

        def _handle_message(self, client: Any, response: list[Any]) -> dict[str, Any]:
            payload: dict[str, Any] = super()._handle_message(client, response)  # type: ignore[misc]
            if payload["type"] in (b"message", b"pmessage") and payload["data"]:
                payload["data"] = _from_broadcast(payload["channel"], payload["data"])
            return payload

    def _from_queue(response: list[bytes] | None, **_: Any) -> tuple[bytes, bytes] | None:
        if not response:
            return None
        key, raw = response
        # Lists of other priorities are kombu's: <queue>\x06\x16<priority>.
        queue = key.decode().removeprefix(PREFIX).partition(transport.Channel.sep)[0]
        try:
            return key, message_filter.task(raw, queue)
        except Refused as why:
            refusals.note(why)
            return None

    def _from_broadcast(channel: bytes, raw: bytes) -> bytes:
        """Nothing where it is refused: kombu passes over an empty message."""
        try:
            if not channel.endswith(_COMMANDS):
                raise Refused(Reason.CONTROL, "a broadcast to which workers do not listen")
            return message_filter.control(raw, remote_control)
        except Refused as why:
            refusals.note(why)
            return b""

    transport.Transport.Channel = Guarded
    # Workers have nothing to tell each other: they listen to no events, and ask nobody what is revoked.
    Gossip.compatible_transports = Mingle.compatible_transports = set()

"""Celery's consumer in; one that waits for a broker as all else here does: soon again, one line before, one after.

Celery's own waits up to 30 s between two tries, starts again at once where the broker answers and does nothing, with a
traceback each time, and asks for ever what will never be done.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections import deque
from typing import Any

import redis
from celery.events.dispatcher import EventDispatcher
from celery.exceptions import CPendingDeprecationWarning, WorkerShutdown
from celery.worker.consumer import Consumer as CelerysConsumer
from celery.worker.consumer import consumer as _celerys
from celery.worker.state import maybe_shutdown
from kombu.common import ignore_errors
from kombu.exceptions import KombuError

from common import logs
from common.errors import ExitCode, line_of
from worker.pool.outage import Outage

log = logging.getLogger("manyeyes.worker")
celerys: Any = _celerys

#: Seconds before the second try, twice as many before each further one, and the most; more where the broker does not
#: know us: see `common.broker.outage`.
_AGAIN_S, _AGAIN_MOST_S = 0.25, 2.0
#: Seconds for which a connection must have done its work before the broker is called back.
_SETTLED_S = 3.0
#: Seconds between looks whether the worker is to end.
_LOOK_S = 0.25
#: Events that wait for the next connection; older ones are dropped, since only Flower wants them.
_EVENTS_KEPT = 1000


class Consumer(CelerysConsumer):
    """See the module."""

    connection_errors: tuple[type[Exception], ...]
    amqheartbeat: Any
    hub: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outage = Outage(log, "the worker")
        self._tries = 0
        self._settling: Any = None

    def start(self) -> None:
        """Raises WorkerShutdown where the broker will never do what is asked."""
        try:
            super().start()
        except (redis.RedisError, KombuError) as error:
            logs.last_words(line_of(error) or str(error), logs.wanted())
            raise WorkerShutdown(ExitCode.ERROR) from None

    def connect(self) -> Any:
        """Celery's, which forgets a connection that is made and then refused its first command, and leaves it open."""
        conn = self.connection_for_read(heartbeat=self.amqheartbeat)
        try:
            if self.hub:
                conn.transport.register_with_event_loop(conn.connection, self.hub)
        except self.connection_errors:
            ignore_errors(conn, conn.close)
            raise
        return conn

    def ensure_connected(self, conn: Any) -> Any:
        while True:
            maybe_shutdown()
            try:
                conn.ensure_connection(max_retries=0, reraise_as_library_errors=False)
            except self.connection_errors as error:
                self._wait(error)
            else:
                self.first_connection_attempt = False
                return conn

    def on_ready(self) -> None:
        super().on_ready()
        self._outage.let_in()
        self._settling = self.timer.call_after(_SETTLED_S, self._settled)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._wait(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        if self._settling is not None:
            self._settling.cancel()
        super().on_connection_error_after_connected(exc)
        self._wait(exc)

    def _settled(self) -> None:
        self._tries = 0
        self._outage.worked()

    def _wait(self, error: Exception) -> None:
        until = time.monotonic() + max(self._outage.failed(error), min(_AGAIN_MOST_S, _AGAIN_S * 2**self._tries))
        self._tries = min(self._tries + 1, 16)
        while (left := until - time.monotonic()) > 0:
            maybe_shutdown()
            time.sleep(min(_LOOK_S, left))


class Dispatcher(EventDispatcher):
    """Sends Celery's events, each once; those that cannot be sent go out with the next connection.

    Celery's sends its heartbeat again and again while the broker refuses it, sleeping up to 30 s between two tries in
    the very loop that takes messages and ends the worker.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outbound_buffer: deque[Any] = deque(maxlen=_EVENTS_KEPT)

    def send(self, *args: Any, **options: Any) -> Any:
        return super().send(*args, **{**options, "retry": False})


def _said_otherwise(record: logging.LogRecord) -> bool:
    """Celery's words on a lost connection, one for each try: `Consumer` has its own."""
    words = (
        celerys.CONNECTION_RETRY,
        celerys.CONNECTION_ERROR,
        "Temporarily reducing",
        "Skipping prefetch",
        "Resuming normal",
    )
    return not record.getMessage().startswith(tuple(word.partition("%")[0] for word in words))


celerys.logger.addFilter(_said_otherwise)
# Of what tasks do when the connection is lost: it is decided, in `common.broker.connect`.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, module=__name__)

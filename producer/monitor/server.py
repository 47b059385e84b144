"""A broker's URL and an address in; `/metrics` for Prometheus and `/healthz` out, until told to end."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from common.broker.connect import client, unhurried
from common.broker.outage import Outage
from common.broker.silence import within
from common.redaction import redact
from producer.cluster.hub.addresses import in_url
from producer.monitor.metrics import of_broker, of_reading
from producer.monitor.reading import Reading, read

log = logging.getLogger(__name__)

#: Seconds that one command may take, and all of a look, a name server's time included. A scrape that takes ten is given
#: up, so say before that the broker is away.
_PATIENCE_S, _LOOK_S = 3.0, 8.0
#: Seconds for which what was read is what is said: however many scrape, Redis is asked once.
_FRESH_S = 1.0
#: Seconds for which a connection may say nothing.
_SILENT_S = 10.0


class Monitor:
    """Reads Redis when it is asked. A broker that is away is a figure too."""

    def __init__(self, url: str, scaled: Sequence[str] = ()) -> None:
        """`scaled`: see `of_reading`. Raises UsageError for what is no broker's URL. Connects to nothing."""
        self._scaled = scaled
        shown = f"broker {redact(url)}"
        self._outage = Outage(log, shown, f"{shown} answers again")
        self._client = unhurried(client(url), _PATIENCE_S)
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._fresh_until = 0.0

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._reading, pause_s = self._look()
                self._fresh_until = time.monotonic() + max(_FRESH_S, pause_s)
            reading = self._reading
        yield from of_broker(reading is not None)
        if reading is not None:
            yield from of_reading(reading, self._scaled)

    def _look(self) -> tuple[Reading | None, float]:
        """And the seconds before the next look."""
        try:
            reading = within(_LOOK_S, lambda: read(self._client))
        except redis.RedisError as error:
            return None, self._outage.failed(error)
        self._outage.worked()
        return reading, 0.0


class Server(ThreadingHTTPServer):
    """Listens from its construction on."""

    daemon_threads = True

    def __init__(self, host: str, port: int, monitor: Monitor) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.monitor = monitor
        super().__init__((host, port), _Answer)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{in_url(str(host))}:{port}/metrics"

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has gone: a scrape was given up. All else is a defect of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("a scrape failed")

    def serve(self) -> None:
        """Returns when told to end by TERM; KeyboardInterrupt passes through."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # A wrong login is said at once, not at the first scrape.
        threading.Thread(target=lambda: list(self.monitor.collect()), name="first look", daemon=True).start()
        with self:
            self.serve_forever()


class _Answer(BaseHTTPRequestHandler):
    server: Server
    timeout = _SILENT_S
    server_version = "manyeyes"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._say(200, content_type, encode(self.server.monitor))
        elif path == "/healthz":
            # Whether this process serves. Of the broker `manyeyes_broker_up` tells: to start again would not mend it.
            self._say(200, "text/plain; charset=utf-8", b"ok\n")
        else:
            self._say(404, "text/plain; charset=utf-8", b"there are /metrics and /healthz\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _say(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A line a scrape helps nobody."""

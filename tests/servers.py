"""Servers that tests start: one that speaks S3, and a web server that fails as it is told."""

from __future__ import annotations

import contextlib
import gzip
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import s3fs

from tests.waiting import wait_until

KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Bucket:
    """An S3 server with an empty bucket, `photos`."""

    environment: Mapping[str, str]

    @property
    def files(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(
            key=KEYS["AWS_ACCESS_KEY_ID"],
            secret=KEYS["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            use_listings_cache=False,
        )


@contextmanager
def s3_server(log: Path) -> Iterator[Bucket]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as words:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=words, stderr=words
        )
    try:
        bucket = Bucket({**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        wait_until(lambda: server.poll() is not None or _listens(port), what="the S3 server")
        assert server.poll() is None, log.read_text()
        bucket.files.mkdir("photos")
        yield bucket
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Web:
    """A folder by HTTP. A path (without the first slash) that is to fail does so that often, then works."""

    url: str
    #: Path to what happens: a status, `cut` (in the middle of the body), `hang`, `endless` (a body), `bomb` (one of a
    #: few bytes, 50 MB when unpacked), or a URL to go to; and how often.
    faults: dict[str, tuple[int | str, int]] = field(default_factory=dict)
    #: Every path that was asked for, in order.
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def take(self, path: str) -> int | str | None:
        self.asked.append(path)
        fault, times = self.faults.get(path, (None, 0))
        if times <= 0:
            return None
        assert fault is not None
        self.faults[path] = (fault, times - 1)
        return fault


@contextmanager
def web_server(folder: Path, host: str = "127.0.0.1") -> Iterator[Web]:
    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            path = urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/")
            match web.take(path):
                case int(status):
                    self.send_error(status)
                case "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", str((folder / path).stat().st_size))
                    self.end_headers()
                    self.wfile.write((folder / path).read_bytes()[:100])
                    self.close_connection = True
                case "endless":
                    self.send_response(200)
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        while not web.ended.is_set():
                            self.wfile.write(bytes(1 << 16))
                    self.close_connection = True
                case "bomb":
                    body = gzip.compress(bytes(50_000_000))
                    self.send_response(200)
                    self.send_header("Content-Encoding", "gzip")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        self.wfile.write(body)
                    self.close_connection = True
                case str(url) if "://" in url:
                    self.send_response(302)
                    self.send_header("Location", url)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                case "hang":
                    web.ended.wait()
                    self.close_connection = True
                case _:
                    super().do_GET()

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer((host, 0), Handler)
    web = Web(f"http://{host}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()

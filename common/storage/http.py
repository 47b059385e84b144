"""http(s): a GET for an object, and the links of an index page for a folder."""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from typing import Any, TypeVar

from common import __version__
from common.datasets.files import check_size, within_bounds
from common.limits import CONNECT_S, MAX_REDIRECTS, SILENCE_S
from common.storage.access import Allowed, forbidden
from common.storage.blocked_hosts import guarded_socket
from common.storage.retry import Kind
from common.storage.urls import canonical, to_send

T = TypeVar("T")


class WebStore:
    """Connections are kept, and shared by all threads."""

    def __init__(self, file_system: Any, allowed: Allowed | None = None) -> None:
        import aiohttp
        from fsspec.config import conf

        #: What the user has configured for fsspec, such as credentials, goes before ours.
        given = {**conf.get("http", {}), **conf.get("https", {})}.get("client_kwargs", {})
        # The bytes as they are stored: a digest is taken of them.
        headers = {"User-Agent": f"manyeyes/{__version__}", "Accept-Encoding": "identity"}
        ours = {
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
            "trust_env": True,
            **given,
            "headers": {**headers, **given.get("headers", {})},
        }
        self._allowed = allowed
        guarded = allowed is not None and not allowed.urls
        self._file_system = file_system(client_kwargs=ours, **({"get_client": _guarded_client} if guarded else {}))

    def read(self, url: bytes, seconds: float) -> bytes:
        return self._get(url, _body, seconds)

    def kind(self, url: bytes, seconds: float) -> Kind:
        """A page is a folder."""

        async def look(answer: Any) -> Kind:
            return Kind.FOLDER if answer.content_type == "text/html" and b"?" not in url else Kind.OBJECT

        return self._get(url, look, seconds)

    def names(self, folder: bytes, after: bytes, seconds: float) -> list[bytes]:
        async def links(answer: Any) -> list[bytes]:
            # The page may have been moved: links are relative to where it is.
            return links_below(str(answer.url), await _body(answer))

        return sorted(name for name in set(self._get(folder, links, seconds)) if name > after)

    def _get(self, url: bytes, use: Callable[[Any], Awaitable[T]], seconds: float) -> T:
        from fsspec.asyn import sync
        from yarl import URL

        async def get() -> T:
            session = await self._file_system.set_session()
            checks = () if self._allowed is None else (_each_hop(self._allowed),)
            options = {"max_redirects": MAX_REDIRECTS, "middlewares": checks, **self._file_system.kwargs}
            async with session.get(URL(to_send(url), encoded=True), **options) as answer:
                answer.raise_for_status()
                return await use(answer)

        found: T = sync(self._file_system.loop, get, timeout=seconds)
        return found


async def _guarded_client(**options: Any) -> Any:
    """Connects to no address of this machine's own, whatever a name or a redirect says."""
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=guarded_socket), **options)


def _each_hop(allowed: Allowed) -> Callable[[Any, Any], Awaitable[Any]]:
    """Looks at a request and at each that a redirect makes of it. Raises ItemError: forbidden."""
    before = "http"

    async def hop(request: Any, go_on: Callable[[Any], Awaitable[Any]]) -> Any:
        nonlocal before
        if before == "https" != request.url.scheme:
            raise forbidden()
        before = request.url.scheme
        allowed.check_url(str(request.url).encode())
        return await go_on(request)

    return hop


async def _body(answer: Any) -> bytes:
    """Raises ItemError: too_large."""
    check_size(answer.content_length or 0)
    return await within_bounds(answer.content.iter_any())


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def links_below(page: str, html: bytes) -> list[bytes]:
    """Names, escapes undone, of what a page links to directly below itself: no query, no parent, no other host."""
    parser = _Links()
    parser.feed(html.decode("utf-8", "replace"))
    base = urllib.parse.urlsplit(page)
    folder = canonical(f"{base.scheme}://{base.netloc}{base.path}".encode())
    names = []
    for link in parser.found:
        try:
            parts = urllib.parse.urlsplit(urllib.parse.urljoin(page, link.strip()))
        except ValueError:
            continue
        if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            continue
        there = canonical(f"{base.scheme}://{parts.netloc}{parts.path}".encode())
        name = there.removeprefix(folder)
        if there != name and name and b"/" not in name[:-1]:
            names.append(name)
    return names

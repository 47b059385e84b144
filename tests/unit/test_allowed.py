"""What a worker may read, by its roots: no link, no race, no redirect and no name leads out of them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from common.datasets import Allowed, fetch, files, glance, of_owner, url_root
from common.errors import ItemCode, ItemError, UsageError
from common.limits import MAX_REDIRECTS
from common.protocol.file_probe import look
from common.protocol.relay import Cargo
from common.storage.blocked_hosts import is_refused
from producer.relay.shipper import Shipper
from tests.servers import Web, web_server
from worker.reading.roots import Roots

SECRET = b"a secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Beside it lie a secret, and a folder whose name begins alike."""
    root, outside = tmp_path / "root", tmp_path / "root2"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    (root / "a.jpg").write_bytes(b"an image")
    (root / "inner").symlink_to("sub/../a.jpg")
    (root / "leads-out").symlink_to(outside / "secret")
    (root / "folder-out").symlink_to(outside)
    (root / "to-nothing").symlink_to(outside / "nothing")
    (root / "magic").symlink_to(f"/proc/self/root{outside}")
    os.mkfifo(root / "pipe")
    return root


def code(roots: Roots, folder: bytes | Path, path: bytes) -> ItemCode:
    with pytest.raises(ItemError) as caught:
        roots.read(os.fsencode(folder), path)
    assert "root2" not in str(caught.value)
    return caught.value.code


def test_a_file_below_a_root_is_read_by_whatever_name(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    for roots in (Roots.parse(f"{tmp_path}/alias", ""), Roots.parse(f" {root}/ ,{root}/sub", "")):
        for path in (b"a.jpg", b"inner", b"sub/../a.jpg", b"folder-out/../root/a.jpg"):
            assert roots.read(os.fsencode(root), path) == b"an image"
        assert roots.read(os.fsencode(tmp_path), b"alias/a.jpg") == b"an image"


@pytest.mark.parametrize(
    "path",
    [
        *(b"../root2/secret", b"leads-out", b"folder-out/secret", b"magic/secret", b"to-nothing", b"../root2/nothing"),
        *(b"../root2", b"/etc/passwd", b"../../../../../../etc/passwd", b"folder-out/nothing/at/all"),
    ],
)
def test_nothing_leads_out_and_what_is_there_is_not_told(root: Path, path: bytes) -> None:
    roots = Roots.parse(str(root), "")
    where = b"/" if path.startswith(b"/") else root
    assert code(roots, where, path) is ItemCode.FORBIDDEN
    assert look([(os.fsencode(where), path)], roots.read) == ("forbidden",)


def test_what_fails_inside_fails_as_before(root: Path) -> None:
    roots = Roots.parse(str(root), "")
    assert code(roots, root, b"gone.jpg") is ItemCode.NOT_FOUND
    assert code(roots, root, b"pipe") is ItemCode.NOT_A_FILE
    assert code(roots, root, b"sub") is ItemCode.NOT_A_FILE
    assert code(roots, root, b"a\0.jpg") is ItemCode.NOT_FOUND


def test_without_a_root_there_is_no_file(root: Path) -> None:
    assert code(Roots.parse("", ""), root, b"a.jpg") is ItemCode.FORBIDDEN
    assert code(Roots.parse("s3://bucket/", ""), root, b"gone") is ItemCode.FORBIDDEN
    assert Roots.parse("*", "").read(os.fsencode(root), b"leads-out") == SECRET
    assert code(Roots.parse("", f"/there={root}"), "/there", b"../root2/secret") is ItemCode.FORBIDDEN
    assert Roots.parse("", f"/there={root}").read(b"/there", b"a.jpg") == b"an image"


def test_a_link_that_changes_meanwhile_changes_nothing(root: Path) -> None:
    roots, ended = Roots.parse(str(root), ""), threading.Event()
    links = [root / "one", root / "other"]

    def change() -> None:
        while not ended.is_set():
            for target in ("a.jpg", "../root2/secret"):
                links[0].symlink_to(target)
                links[0].rename(links[1])

    thread = threading.Thread(target=change)
    thread.start()
    seen = set()
    try:
        while not seen >= {b"an image", b"forbidden"}:
            for _ in range(3000):
                try:
                    seen.add(roots.read(os.fsencode(root), b"other"))
                except ItemError as error:
                    seen.add(error.code.encode())
    finally:
        ended.set()
        thread.join()
    assert seen <= {b"an image", b"forbidden", b"not_found"}


@pytest.mark.parametrize("text", ["/nowhere/at/all", "file:///tmp", "https://", "https://me@host/", "http://h/a/../b"])
def test_a_root_that_makes_no_sense_is_refused_and_named(text: str) -> None:
    with pytest.raises(UsageError, match=f"--root {text}"):
        Roots.parse(text, "")


ROOT = "HTTPS://Host:443/Photos%2d1/"


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://host/Photos-1/a.jpg", True),
        ("https://HOST.:443/Photos%2D1/a.jpg?signed=%2F..%2F", True),
        ("https://host/Photos-1", True),
        ("https://host/Photos-10/a.jpg", False),
        ("https://host/photos-1/a.jpg", False),
        ("http://host/Photos-1/a.jpg", False),
        ("https://host:444/Photos-1/a.jpg", False),
        ("https://host:0443x/Photos-1/a.jpg", False),
        ("https://host.evil/Photos-1/a.jpg", False),
        ("https://host@evil/Photos-1/a.jpg", False),
        ("https://me@host/Photos-1/a.jpg", False),
        ("https://evil\\@host/Photos-1/a.jpg", False),
        ("https://host/Photos-1/../a.jpg", False),
        ("https://host/Photos-1/%2e%2E/a.jpg", False),
        ("https://host/Photos-1/%252e%252e%252fa.jpg", False),
        ("https://host/Photos-1/..;x/a.jpg", False),
        ("https://host/Photos-1/..\\a.jpg", False),
        ("https://host/Photos-1%2F..%2Fa.jpg", False),
        ("s3://host/Photos-1/a.jpg", False),
        ("s3://bucket/in/a.jpg", True),
        ("s3://bucket/int/a.jpg", False),
        ("S3://bucket/in/a%2Fb..jpg", True),
        ("s3://bucket/in/../a.jpg", False),
        ("memory://pile/a.jpg", False),
    ],
)
def test_beginnings_of_urls_are_compared_in_one_form(url: str, fine: bool) -> None:
    allowed = Allowed((), (url_root(ROOT.encode()), url_root(b"s3://bucket/in")))
    assert passes(allowed, url) is fine


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        *((f"{scheme}://name/a.jpg", True) for scheme in ("http", "https", "s3", "gs", "HTTPS")),
        *((f"{scheme}://name/a.jpg", False) for scheme in ("file", "local", "memory", "ftp", "sftp", "smb", "github")),
        ("data:;base64,AAAA", False),
        ("zip://a.jpg::file:///tmp/a.zip", False),
        ("simplecache::https://host/a.jpg", False),
        ("reference://host/a.jpg", False),
        ("http://10.1.2.3/a.jpg", True),
        ("http://[2001:db8::1]/a.jpg", True),
        *(
            (f"http://{host}/a.jpg", False)
            for host in ("localhost", "a.localhost.", "127.0.0.1:8000", "127.1", "2130706433", "0x7f.1", "0177.0.0.1")
        ),
        *(
            (f"http://{host}/a.jpg", False)
            for host in (
                "[::1]",
                "[::ffff:7f00:1]",
                "[::127.0.0.1]",
                "[fe80::1%25eth0]",
                "[fd00:ec2::254]",
                "0",
                "0.0.0.0",
            )
        ),
        ("http://169.254.169.254/latest/meta-data/", False),
        ("http://metadata.google.internal/computeMetadata/v1/", False),
        ("http://[64:ff9b::a9fe:a9fe]/", False),
        ("http://[64:ff9b::808:808]/", True),
        ("http://me:word@host/a.jpg", False),
    ],
)
def test_without_url_roots_what_is_public_may_be_read(url: str, fine: bool) -> None:
    assert passes(Allowed(), url) is fine


def passes(allowed: Allowed, url: str) -> bool:
    try:
        allowed.check_url(url.encode())
    except ItemError as error:
        assert error.code is ItemCode.FORBIDDEN
        return False
    return True


def test_an_address_that_is_none_is_refused() -> None:
    assert is_refused("2130706433") and is_refused("name") and is_refused("") and not is_refused("93.184.216.34")


@pytest.fixture
def web(root: Path) -> Iterator[Web]:
    with web_server(root.parent) as web:
        yield web


def read(roots: str, url: str) -> bytes | ItemCode:
    root, _, path = url.rpartition("/")
    try:
        return Roots.parse(roots, "").read(root.encode(), path.encode())
    except ItemError as error:
        assert "127.0.0.1" not in str(error)
        return error.code


def test_every_redirect_is_looked_at(web: Web) -> None:
    there, inside = f"{web.url}/root/", f"{web.url}/root/sub/x.jpg"
    web.faults |= {"root/sub/x.jpg": (f"{there}a.jpg", 1), "root/out.jpg": (f"{web.url}/root2/secret", 1)}
    web.faults |= {"root/round.jpg": (f"{there}round.jpg", 99), "root/file.jpg": ("file:///etc/passwd", 99)}
    assert read(there, inside) == b"an image"
    assert read(there, f"{there}out.jpg") is ItemCode.FORBIDDEN and "root2/secret" not in web.asked
    assert (
        read(there, f"{there}round.jpg") is ItemCode.READ_ERROR and web.asked.count("root/round.jpg") == MAX_REDIRECTS
    )
    assert read(there, f"{there}file.jpg") is ItemCode.READ_ERROR
    assert read("", f"{there}a.jpg") is ItemCode.FORBIDDEN


def test_a_name_that_leads_home_is_refused_where_it_is_connected_to(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the name has led to before."""
    real = socket.getaddrinfo
    names = {"photos.example": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real(names.get(host, host), *a, **k))
    url = web.url.replace("127.0.0.1", "photos.example") + "/root/a.jpg"
    assert read("", url) is ItemCode.FORBIDDEN and web.asked == []
    assert read(url, url) == b"an image", "a root names that very host"


@pytest.fixture
def elsewhere(root: Path) -> Iterator[Web]:
    addresses = [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET and not is_refused(address.address)
    ]
    if not addresses:
        pytest.skip("this machine has no address but its own loopback")
    with web_server(root, addresses[0]) as elsewhere:
        yield elsewhere


def test_a_server_elsewhere_cannot_send_a_worker_home(web: Web, elsewhere: Web) -> None:
    elsewhere.faults |= {"b.jpg": (f"{web.url}/root/a.jpg", 1)}
    assert read("", f"{elsewhere.url}/a.jpg") == b"an image"
    assert read("", f"{elsewhere.url}/b.jpg") is ItemCode.FORBIDDEN and web.asked == []


def test_nor_an_owner_unless_its_user_named_this_machine(web: Web, elsewhere: Web, client: redis.Redis) -> None:
    """What it reads goes to workers: a page of this machine must not."""
    elsewhere.faults |= {"b.jpg": (f"{web.url}/root/a.jpg", 2)}
    assert glance(f"{elsewhere.url}/b.jpg".encode()) is None
    cargo = Cargo(client, "run")
    shipper = Shipper(cargo, elsewhere.url.encode(), 1 << 20)
    try:
        assert shipper.load(0, [b"a.jpg", b"b.jpg"], 1) == 2
        assert cargo.fetch(0) == b"an image"
        with pytest.raises(ItemError) as caught:
            cargo.fetch(1)
    finally:
        shipper.end()
    assert caught.value.code is ItemCode.FORBIDDEN and web.asked == []
    assert glance(f"{web.url}/root/a.jpg".encode()) == b"an image"


@pytest.mark.parametrize(
    ("url", "guarded"),
    [
        *((f"{scheme}://host/a.jpg", True) for scheme in ("http", "https")),
        *((f"http://{host}/a.jpg", False) for host in ("localhost:80", "127.1", "[::1]", "169.254.169.254")),
        ("http://[x/a.jpg", True),
        ("s3://bucket/a.jpg", False),
        ("memory://pile/a.jpg", False),
    ],
)
def test_an_owner_is_guarded_where_somebody_else_says_where_to_go(url: str, guarded: bool) -> None:
    assert of_owner(url.encode()) == (Allowed() if guarded else None)


def test_a_fetch_is_of_bounded_size_whatever_the_server_says(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1_000_000)
    web.faults |= {"root/a.jpg": ("endless", 1), "root/b.jpg": ("bomb", 1)}
    begun = psutil.Process().memory_info().rss
    for name in ("a", "b"):
        assert read("*", f"{web.url}/root/{name}.jpg") is ItemCode.TOO_LARGE
    assert psutil.Process().memory_info().rss - begun < 40_000_000


def test_a_file_that_grows_is_read_as_it_was_opened(tmp_path: Path) -> None:
    """So are those of which the system says that they are empty, and which never end."""
    assert fetch(b"/proc", b"self/environ") == b""

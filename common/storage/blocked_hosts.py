"""A host's name or address in; a refusal out, where it is this machine, its link, or a cloud's own service."""

from __future__ import annotations

import ipaddress
import socket

from common.errors import ItemCode, ItemError

#: This machine, its link, many at once, and what clouds tell their machines of themselves, secrets included.
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),
        *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
        *("::/96", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128"),
    )
)
_REFUSED_NAMES = ("localhost", "metadata.google.internal")
#: IPv4 addresses in the last 32 bits: mapped, and translated by a gateway.
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))

_TEXT = "its host is the worker's own, or a cloud's; start the worker with --root URL to read from there"


class RefusedAddress(OSError):
    """How a connection fails that would have gone there: of the kind that HTTP clients expect of a connection."""

    def __init__(self) -> None:
        super().__init__(_TEXT)


def refusal() -> ItemError:
    return ItemError(ItemCode.FORBIDDEN, _TEXT)


def check_host(host: str) -> None:
    """By the name alone, for a proxy may be what connects. Raises ItemError: forbidden."""
    host = host.lower().rstrip(".")
    if any(host == name or host.endswith("." + name) for name in _REFUSED_NAMES):
        raise refusal()
    try:
        # As the system takes them: 127.1, 2130706433 and 0x7f.1 are addresses too.
        address = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    if is_refused(address):
        raise refusal()


def is_refused(address: str) -> bool:
    """Also what is no plain address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address) and any(ip in carrier for carrier in _CARRIERS):
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return any(ip in network for network in _REFUSED)


def guarded_socket(info: tuple[int, int, int, str, tuple[str | int, ...]]) -> socket.socket:
    """For a connection to an address of `getaddrinfo`, be it a redirect's or of a name that changes: the last look."""
    family, kind, protocol, _, address = info
    if is_refused(str(address[0])):
        raise RefusedAddress
    return socket.socket(family, kind, protocol)

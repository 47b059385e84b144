"""This machine in; what `unshare` needs here to make hosts, or why there can be none, out."""

from __future__ import annotations

import shutil
import subprocess
import sys

from common.errors import ManyeyesError

#: A namespace of each kind, and an init in it whose end is the end of all.
_NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
#: As root; else as root of a user namespace, where the kernel lets everybody make one.
_AS = ((), ("--user", "--map-root-user"))
#: What a lab needs, tried once.
_PROBE = (
    "ip link add me0 type bridge && ip link add me1 type veth peer name me2 && ip link set me1 master me0 && "
    "{python} -I -S -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)' && mount -t tmpfs none /tmp"
)


def why_not() -> str | None:
    """Why this process may not have a lab; None: it may."""
    try:
        unshare()
    except ManyeyesError as error:
        return str(error)
    return None


def unshare() -> list[str]:
    """The command under which a lab's init runs. Raises ManyeyesError, with the words of the refusal."""
    if sys.platform != "linux":
        raise ManyeyesError("no hosts here: network namespaces are Linux's")
    if missing := [name for name in ("unshare", "nsenter", "ip", "mount") if shutil.which(name) is None]:
        raise ManyeyesError(f"no hosts here: install {', '.join(missing)} (packages util-linux and iproute2)")
    words = ""
    for more in _AS:
        command = ["unshare", *more, *_NAMESPACES]
        probe = ["sh", "-c", _PROBE.format(python=sys.executable)]
        said = subprocess.run([*command, *probe], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if said.returncode == 0:
            return command
        words = " ".join(said.stderr.split())
    raise ManyeyesError(f"no hosts here: namespaces are refused ({words}); be root, or allow user namespaces")

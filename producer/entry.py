"""The console script: Ctrl-C while the rest is still being imported is no traceback either."""

from __future__ import annotations

import sys

from common import streams
from common.secrecy import hide


def main() -> None:
    streams.settle()
    try:
        hide(("--broker",), "MANYEYES_BROKER_URL", "producer.cli")
        from producer.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()

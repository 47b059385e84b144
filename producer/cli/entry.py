"""The console script: Ctrl-C while the rest is still being imported is no traceback either."""

from __future__ import annotations

import sys

from common import standard_streams
from common.redaction import hide


def main() -> None:
    standard_streams.settle()
    try:
        hide(("--broker",), "MANYEYES_BROKER_URL", "producer.cli.app")
        from producer.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()

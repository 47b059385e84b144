"""The console script: Ctrl-C while the rest is still being imported is no traceback either."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from producer.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()

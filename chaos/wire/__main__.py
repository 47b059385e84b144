"""`python -m chaos.wire`: hostile messages to a real worker, a real run beside them, and what became of both out."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from chaos.wire.siege import Plan, Siege
from common.errors import ManyeyesError


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            outcome = Siege(Plan(options.count, options.seed, options.images), folder, _say).hold()
        except ManyeyesError as error:
            sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps(asdict(outcome)))
    else:
        print(outcome.text())
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    sys.exit(bool(outcome.faults))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.wire", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="hostile messages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same kinds (default: %(default)s)")
    parser.add_argument("--images", type=int, help="of the real run beside them (default: a tenth of --count)")
    parser.add_argument("--folder", type=Path, help="keep runs and logs there (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    main()

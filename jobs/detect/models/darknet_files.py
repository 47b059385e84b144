"""Finds and reads the two files of a Darknet model, a .cfg and its .weights, as training leaves them in a folder."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from common.errors import ModelError
from jobs.detect.models import model_file

CFG, WEIGHTS = ".cfg", ".weights"
#: What AlexeyAB's darknet appends to a cfg's stem: the best by its own measure, the end of training, the last state,
#: and the state after so many batches. The first that is there is taken.
_STATES = ("_best", "_final", "_last")
_STATE = re.compile(r"(.+)_(?:best|final|last|[0-9]+)", re.IGNORECASE)
#: Files that an error lists.
_SHOWN = 8
#: The copy of a cfg that is set up for looking at images, one at a time.
_TEST = re.compile(r"[-_](?:test|testing)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DarknetFiles:
    """A model's two files, and what is in them."""

    cfg: Path
    weights: Path
    cfg_data: bytes
    weights_data: bytes

    @property
    def sha256(self) -> str:
        """Over every byte that is loaded."""
        return hashlib.sha256(self.cfg_data + self.weights_data).hexdigest()

    @property
    def same_stem(self) -> bool:
        return self.cfg.stem == self.weights.stem


def read(given: Path, weights: Path | None = None) -> DarknetFiles:
    """Of the two files one, and the weights where they cannot be told. Raises ModelError."""
    is_cfg = given.suffix.lower() == CFG
    if weights is not None and not is_cfg:
        raise ModelError(f"--weights {weights} goes with a .cfg, and --detector is {given}; give the .cfg there")
    data = model_file.read(given)
    if not is_cfg:
        cfg = _cfg_of(given)
        return DarknetFiles(cfg, given, model_file.read(cfg), data)
    weights = weights or _weights_of(given)
    return DarknetFiles(given, weights, data, model_file.read(weights))


def _weights_of(cfg: Path) -> Path:
    there = _beside(cfg, WEIGHTS)
    stems = [cfg.stem, _TEST.sub("", cfg.stem)]
    for stem in (*stems, *(f"{stem}{state}" for state in _STATES for stem in stems)):
        if found := _called(there, stem):
            return found
    snapshots = [file for file in there if (state := _STATE.fullmatch(file.stem)) and state[1] in stems]
    if len(only := snapshots or there) == 1 and (snapshots or len(_beside(cfg, CFG)) == 1):
        return only[0]
    if not there:
        raise ModelError(
            f"model {cfg}: {cfg.stem}{WEIGHTS} is not beside it; put both files into one folder, or give --weights FILE"
        )
    raise ModelError(
        f"model {cfg}: which of {_names(there)} are its weights? Choose, "
        f"such as  --detector {shlex.quote(str(cfg))} --weights {shlex.quote(str(there[-1]))}"
    )


def _cfg_of(weights: Path) -> Path:
    there = _beside(weights, CFG)
    state = _STATE.fullmatch(weights.stem)
    stems = [weights.stem, *([state[1]] if state else [])]
    for stem in stems:
        for ending in ("", "-test", "_test", "-testing", "_testing"):
            if found := _called(there, stem + ending):
                return found
    if len(there) == 1 and len(_beside(weights, WEIGHTS)) == 1:
        return there[0]
    if not there:
        raise ModelError(f"model {weights}: {stems[-1]}{CFG} is not beside it; put both files into one folder")
    raise ModelError(
        f"model {weights}: which of {_names(there)} is its cfg? Give both, "
        f"such as  --detector {shlex.quote(str(there[-1]))} --weights {shlex.quote(str(weights))}"
    )


def _beside(path: Path, suffix: str) -> list[Path]:
    try:
        return sorted(file for file in path.parent.iterdir() if file.suffix.lower() == suffix and file.is_file())
    except OSError as error:
        raise ModelError(f"folder {path.parent} cannot be listed: {error.strerror}; check its permissions") from None


def _names(files: list[Path]) -> str:
    shown = ", ".join(file.name for file in files[:_SHOWN])
    return shown if len(files) <= _SHOWN else f"{shown} and {len(files) - _SHOWN} more"


def _called(files: list[Path], stem: str) -> Path | None:
    """The file of that stem, in any case of letters where that is the only one."""
    if exact := [file for file in files if file.stem == stem]:
        return exact[0]
    alike = [file for file in files if file.stem.lower() == stem.lower()]
    return alike[0] if len(alike) == 1 else None

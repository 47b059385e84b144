"""Reads an ONNX model and the files beside it that hold its weights (external data)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import ModelError
from jobs.detect.models import model_file

#: TensorProto.EXTERNAL, and the key under which such a tensor names its file.
_EXTERNAL = 1
_LOCATION = b"location"
#: Where a model's weights hang. Elsewhere, in a branch of an `If` for example, the engine reads no files from memory.
_WEIGHTS = ".graph.initializer"
#: Bytes. Smaller tensors are put into the graph: ONNX's shape inference wants to see those that are shapes.
_SMALL = 1 << 16
#: Bytes an element by TensorProto.DataType, for tensors whose entry has no length.
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2}


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFiles:
    """A model as it lay on the disk, read once: what is hashed is what is loaded."""

    #: The .onnx file itself.
    data: bytes
    #: What the engine is to be given: `data`, with all external tensors in it but large ones of the main graph.
    graph: bytes
    #: The files of those, by the location that the graph names them by.
    external: dict[str, bytes]
    #: Over every byte that is loaded; of a model in one file that file's SHA-256.
    sha256: str


def read(path: Path) -> OnnxFiles:
    """Raises ModelError, which names the file that is missing, short, or not the model's to read."""
    data = model_file.read(path)
    own = hashlib.sha256(data).hexdigest()
    # Keys stand in the file as they are, so most models need not be parsed here.
    if _LOCATION not in data:
        return OnnxFiles(data, data, {}, own)
    model = _parse(data, path)
    beside = _Beside(path)
    external: dict[str, bytes] = {}
    changed = False
    for where, tensor in _tensors(model, "ModelProto"):
        if tensor.data_location != _EXTERNAL:
            continue
        place = _Place.of(tensor, path)
        content = beside.read(place.location)
        part = place.cut(content, path)
        if where == _WEIGHTS and len(part) >= _SMALL:
            external[place.location] = content
        else:
            tensor.raw_data = bytes(part)
            tensor.data_location = 0
            del tensor.external_data[:]
            changed = True
    if not beside.digests:
        return OnnxFiles(data, data, {}, own)
    lines = [own, *(f"{location}\0{sha}" for location, sha in sorted(beside.digests.items()))]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return OnnxFiles(data, model.SerializeToString() if changed else data, external, digest)


def _parse(data: bytes, path: Path) -> Any:
    # Imported now: few models need it.
    from google.protobuf.message import DecodeError

    from jobs.detect.models.onnx_schema import ModelProto

    try:
        return ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError(f"{path} is not a whole ONNX model ({error}); copy, download or export it again") from None


def _tensors(message: Any, kind: str, trail: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor of a message, and where it hangs: initializers, attributes, those of subgraphs and functions."""
    from jobs.detect.models.onnx_schema import FIELDS

    for member, (_, type_) in FIELDS[kind].items():
        part, repeated = type_.rstrip("*"), type_.endswith("*")
        if part not in FIELDS or not (repeated or message.HasField(member)):
            continue
        value = getattr(message, member)
        for one in value if repeated else (value,):
            if part == "TensorProto":
                yield f"{trail}.{member}", one
            else:
                yield from _tensors(one, part, f"{trail}.{member}")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's bytes are. `length` is None where neither the entry nor the tensor's type says it."""

    location: str
    offset: int
    length: int | None

    @classmethod
    def of(cls, tensor: Any, path: Path) -> _Place:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        try:
            location = entries[_LOCATION].decode()
            offset = int(entries.get(b"offset", b"0"))
            length = int(entries[b"length"]) if b"length" in entries else _length(tensor)
            if not location or offset < 0 or (length or 0) < 0:
                raise ValueError
        except (KeyError, ValueError):
            name = tensor.name.decode(errors="replace")
            raise ModelError(
                f"{path} is not a whole ONNX model (it does not say where its tensor {name!r} lies); export it again"
            ) from None
        return cls(location, offset, length)

    def cut(self, content: bytes, path: Path) -> memoryview:
        end = len(content) if self.length is None else self.offset + self.length
        if max(self.offset, end) > len(content):
            raise ModelError(
                f"model {path}: its weights in {self.location} are cut short, or another model's: {len(content):,} "
                f"bytes, and {max(self.offset, end):,} are needed; copy or export both files again"
            )
        return memoryview(content)[self.offset : end]


def _length(tensor: Any) -> int | None:
    size = _ITEM_BYTES.get(tensor.data_type)
    return None if size is None else size * math.prod(tensor.dims)


@dataclass(slots=True)
class _Beside:
    """The files that lie beside a model, each read once."""

    model: Path
    #: By location.
    digests: dict[str, str] = field(default_factory=dict)
    _read: dict[Path, tuple[bytes, str]] = field(default_factory=dict)

    def read(self, location: str) -> bytes:
        """Raises ModelError for a file that is missing, or that lies outside the model's folder."""
        file = self._inside(location)
        if file not in self._read:
            if not _is_file(file):
                raise ModelError(self._missing(location))
            content = model_file.read(file)
            self._read[file] = content, hashlib.sha256(content).hexdigest()
        content, self.digests[location] = self._read[file]
        return content

    def _inside(self, location: str) -> Path:
        """The file itself, behind all links. A model must not read what else its user may read.

        Where the model is a link, as in the cache of Hugging Face, its data may lie where the model itself does.
        """
        try:
            file = (self.model.parent / location).resolve()
            if any(file.is_relative_to(home.resolve()) for home in (self.model.parent, self.model.resolve().parent)):
                return file
        except (OSError, RuntimeError, ValueError):  # a name too long, a circle of links, a NUL
            pass
        raise ModelError(
            f"model {self.model} wants its weights from {location[:200]!r}, which is not in its own folder; "
            "export it again with its weights in one file, or beside it"
        )

    def _missing(self, location: str) -> str:
        wanted = self.model.parent / location
        renamed = self.model.with_name(f"{self.model.name}.data")
        hint = f" ({renamed.name} is there: if that is it, give it this name)" if renamed.is_file() else ""
        return f"model {self.model}: its weights are missing: put them beside it, as {wanted}{hint}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for a file
        return False

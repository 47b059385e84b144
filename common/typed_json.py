"""Parsed JSON in, a frozen dataclass whose fields are of the types that it declares out; or ProtocolError.

For what others have written: a field of another type would end who uses it, far from here.
"""

from __future__ import annotations

import math
import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from common.errors import ProtocolError

T = TypeVar("T")


def read(cls: type[T], data: object, spare: bool = False) -> T:
    """`spare`: fields that there are not, of another version, are passed over."""
    if not isinstance(data, dict):
        raise ProtocolError(f"no {cls.__name__}: a {type(data).__name__}")
    known = _fields(cast(Hashable, cls))
    if not spare and (extra := data.keys() - known.keys()):
        raise ProtocolError(f"a {cls.__name__} with {ascii(sorted(map(str, extra)))[:80]}")
    found = {}
    for name, (kind, needed) in known.items():
        if name in data:
            found[name] = _value(kind, data[name], f"{cls.__name__}.{name}")
        elif needed:
            raise ProtocolError(f"a {cls.__name__} without {name}")
    return cls(**found)


@cache
def _fields(cls: Hashable) -> dict[str, tuple[Any, bool]]:
    hints = get_type_hints(cls)
    return {
        f.name: (hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(cast(Any, cls))
    }


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, types.UnionType):
        # There are no others than `X | None`.
        if value is None:
            return None
        [kind] = (one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, where)
    if get_origin(kind) is Mapping:
        # JSON's: of names.
        return {name: _value(get_args(kind)[1], one, where) for name, one in _dict(value, where).items()}
    if is_dataclass(kind):
        return read(kind, value, spare=True)  # type: ignore[arg-type]
    # Whole numbers stand for others as they are: a digest is over them as they were written.
    good = type(value) in (int, float) and math.isfinite(value) if kind is float else type(value) is kind
    if not good or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63):
        _wrong(value, where)
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        _wrong(value, where)
    if kinds[1:] == (Ellipsis,):
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        _wrong(value, where)
    return tuple(_value(kind, one, where) for kind, one in zip(kinds, value, strict=True))


def _dict(value: Any, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else _wrong(value, where)


def _wrong(value: Any, where: str) -> Any:
    raise ProtocolError(
        f"{where} is {ascii(value)[:60] if isinstance(value, (str, float, bool)) else type(value).__name__}"
    )

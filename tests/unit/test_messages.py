"""Messages and results: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from common.errors import ItemCode, ProtocolError
from common.limits import PROTOCOL
from common.protocol.messages import (
    DETECTION_DTYPE,
    ItemRecord,
    ItemTiming,
    ShardId,
    ShardMessage,
    ShardResult,
    pack_items,
    unpack_items,
)
from common.protocol.spec import Spec
from tests.unit.tabled import spec


def a_result() -> ShardResult:
    detections = np.zeros(3, DETECTION_DTYPE)
    detections["row"] = [0, 0, 1]
    detections["score"] = [0.9, 0.1, 0.5]
    timing = ItemTiming(1_700_000_000.5, 0.001, 0.002, 0.003, 0.004, 0.005)
    return ShardResult(
        shard=ShardId(0, 10, 2),
        attempt=3,
        worker="w@host",
        process=77,
        records=(
            ItemRecord(100, "ab" * 32, 640, 480, 6, timing=timing, deep=True),
            ItemRecord(bytes=0, error_code=ItemCode.EMPTY, error="0 bytes"),
        ),
        detections=detections,
        cpu_s=0.25,
        busy_s=0.5,
    )


def test_a_result_is_read_back_as_it_was_written() -> None:
    before = a_result()
    after = ShardResult.decode(before.encode())
    assert after.records == before.records
    assert after.detections.tobytes() == before.detections.tobytes()
    assert (after.shard, after.attempt, after.worker, after.process) == (before.shard, 3, "w@host", 77)
    assert (after.cpu_s, after.busy_s) == (0.25, 0.5)


def test_a_result_from_the_journal_of_protocol_2_is_read() -> None:
    """Which had no word for deep images."""
    old = ShardResult.decode(with_head({"records": [row[:-1] for row in record()]}))
    assert old.records == ShardResult.decode(with_head({"records": record()})).records
    assert not old.records[0].deep


@pytest.mark.parametrize("cut", [0, 3, 8, 40, -1])
def test_a_result_that_is_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ProtocolError):
        ShardResult.decode(a_result().encode()[:cut])


def test_detections_outside_the_shard_are_refused() -> None:
    result = a_result()
    result.detections["row"][2] = 2
    with pytest.raises(ProtocolError, match="outside its items"):
        ShardResult.decode(result.encode())


def test_a_message_survives_its_way() -> None:
    message = ShardMessage("20260101-000000-abcdefgh", ShardId(0, 5, 7), 2, "d" * 64)
    assert ShardMessage.from_kwargs(message.to_kwargs()) == message


@pytest.mark.parametrize(
    "change",
    [
        {"v": PROTOCOL + 1},
        {"v": None},
        {"shard": "5+7"},
        {"shard": "0:5+0"},
        {"shard": "0:5+99999999"},
        {"attempt": "1"},
        {"attempt": True},
        {"run": 1},
        {"extra": 1},
    ],
)
def test_other_messages_are_refused(change: dict[str, object]) -> None:
    message = ShardMessage("run", ShardId(0, 5, 7), 2, "d" * 64)
    with pytest.raises(ProtocolError):
        ShardMessage.from_kwargs({**message.to_kwargs(), **change})


def test_another_protocol_is_named_with_the_remedy() -> None:
    with pytest.raises(ProtocolError, match="same manyeyes version"):
        ShardMessage.from_kwargs({"v": 99})


def test_any_path_survives_packing() -> None:
    paths = [b"a.jpg", b"new\nline.jpg", b"\xff\xfe.png", "\N{GRINNING FACE}.jpg".encode(), b'quo"te,.jpg']
    assert unpack_items(pack_items(paths), ShardId(0, 0, len(paths))) == paths


def test_halves_cover_their_parent() -> None:
    left, right = ShardId(1, 10, 5).halves()
    assert (left, right) == (ShardId(1, 10, 2), ShardId(1, 12, 3))


def with_head(change: dict[str, object]) -> bytes:
    """A result whose head says other things, its detections as they were."""
    data = a_result().encode()
    length = int.from_bytes(data[4:8], "little")
    head = json.dumps({**json.loads(data[8 : 8 + length]), **change}).encode()
    return data[:4] + len(head).to_bytes(4, "little") + head + data[8 + length :]


def record(**change: object) -> list[list[object]]:
    """Both records of the result, the first of them changed: name by place."""
    names = ("bytes", "sha", "width", "height", "orientation", "code", "error", "started", "fetch_s", "deep")
    places = {name: place for place, name in enumerate(names)} | {"deep": -1}
    first: list[object] = [100, "ab" * 32, 640, 480, 6, None, None, *[0.0] * 6, False]
    for name, value in change.items():
        first[places[name]] = value
    return [first, [0, None, None, None, None, "empty", "0 bytes", *[0.0] * 6, False]]


FORGED_HEADS: list[dict[str, object]] = [
    *({"attempt": value} for value in (1e400, -1, 2**31, None, [], "x")),
    *({"worker": value} for value in ("\x1b[2J", "x" * 9999, "a\nb")),
    *({"process": -1}, {"cpu_s": float("nan")}, {"busy_s": 1e300}, {"records": None}, {"shard": "0:10+3"}),
    *({"records": record(**{name: 2**80})} for name in ("bytes", "width", "height", "orientation", "started")),
    *({"records": record(**{name: -1})} for name in ("bytes", "width", "height", "orientation", "started")),
    *({"records": record(**{name: "x"})} for name in ("bytes", "width", "code", "started", "fetch_s")),
    *({"records": record(sha=value)} for value in (7, "x" * 65, "\ud800")),
    *({"records": record(error=text)} for text in ("\ud800", "x" * 9999, 7)),
    *({"records": record(started=value)} for value in (float("nan"), float("inf"), True, None)),
    *({"records": record(deep=value)} for value in (None, 1, "true", [])),
]


@pytest.mark.parametrize("change", FORGED_HEADS, ids=lambda change: str(change)[:60])
def test_a_result_that_no_worker_writes_is_refused(change: dict[str, object]) -> None:
    """Whatever would end the owner later, or make a table that cannot be written."""
    assert ShardResult.decode(with_head({"records": record()})).records[0].width == 640
    with pytest.raises(ProtocolError):
        ShardResult.decode(with_head(change))


@pytest.mark.parametrize(("name", "value"), [("score", np.nan), ("x2", np.inf), ("y1", -np.inf), ("class_id", -1)])
def test_detections_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    result = a_result()
    result.detections[name][1] = value
    with pytest.raises(ProtocolError, match="no numbers"):
        ShardResult.decode(result.encode())


@pytest.mark.parametrize("head", [b"[" * 100_000, b"[]," * (6 << 20), b'"\xff"', b"1" * 9000, b""])
def test_a_head_that_is_none_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        ShardResult.decode(b"MEy1" + len(head).to_bytes(4, "little") + head)


@pytest.mark.parametrize("packed", [b"", b"a\0b", b"a\0\0c", b"a\0b\0" + b"c" * 4097, b"a\0b\0c\0d"])
def test_items_that_nobody_packed_are_refused(packed: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_items(packed, ShardId(0, 0, 3))


def test_a_field_that_came_later_changes_no_digest_of_a_run_without_it() -> None:
    """`verify` compares the digest that run.json has with the one of its spec."""
    assert "scale" not in spec().to_text()
    assert spec(scale="0:4000").digest != spec().digest
    assert Spec.from_text(spec(scale="0:4000").to_text()) == spec(scale="0:4000")
    with pytest.raises(ProtocolError, match="scale"):
        Spec.from_text(spec(scale="4000:0").to_text())

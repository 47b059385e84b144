"""Messages and results: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import ItemCode, ProtocolError
from common.limits import PROTOCOL
from common.messages import (
    DETECTION_DTYPE,
    ItemRecord,
    ItemTiming,
    ShardId,
    ShardMessage,
    ShardResult,
    pack_items,
    unpack_items,
)


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
            ItemRecord(100, "ab" * 32, 640, 480, 6, timing=timing),
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

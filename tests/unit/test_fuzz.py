"""Damaged images in, exactly one record each out: the process lives, its memory is bounded, nothing is unforeseen."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.fuzz.mutate import mutate
from chaos.fuzz.originals import Breeder, made, real
from chaos.fuzz.reading import Reader, ReaderError, is_unforeseen

SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
DATA = SHARED / "data"
#: Pixels, and the bytes that a process may come to hold for that, over what it held before the first image.
MAX_PIXELS = 2_000_000
MOST_MEMORY = 150 << 20

ORIGINALS = made()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(MAX_PIXELS) as reader:
        yield reader


def look(reader: Reader, names: list[str], images: list[bytes]) -> None:
    try:
        rows = reader.read(images)
    except ReaderError as error:
        pytest.fail(f"{names[error.at]}: {error}")
    assert len(rows) == len(images)
    for name, row in zip(names, rows, strict=True):
        assert not is_unforeseen(row.code, row.error), f"{name}: {row}"
        assert (row.code is None) == (row.error is None)
        assert row.code is not None or row.width * row.height <= MAX_PIXELS
    grown = reader.peak - reader.first
    assert grown < MOST_MEMORY, f"{grown >> 20} MiB, one of {names}"


def test_whole_images_are_looked_at(reader):
    refused = {
        "made .hdr float32 3",
        "made .ras uint8 3",
        "made .tiff float32 3",
        "made JPEG2000 L no_jp2",
        "made TIFF uint8 minisblack contig",
        "made PF",
    }
    rows = reader.read([original.data for original in ORIGINALS])

    assert {o.name for o, row in zip(ORIGINALS, rows, strict=True) if row.code} == refused


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    batch=st.lists(
        st.tuples(st.sampled_from(ORIGINALS), st.sampled_from(ORIGINALS), st.integers(0, 1 << 32)),
        min_size=1,
        max_size=12,
    )
)
def test_any_damage_gives_a_row_each(reader, batch):
    mutants = [mutate(Random(seed), original.data, other.data) for original, other, seed in batch]
    names = [f"{o.name}, seed {seed}: {', '.join(how)}" for (o, _, seed), (_, how) in zip(batch, mutants, strict=True)]

    look(reader, names, [data for data, _ in mutants])


def test_the_same_seed_makes_the_same_mutants():
    mutants = [Breeder.of(ORIGINALS, 7).mutant(number) for number in range(50)]

    assert mutants == [Breeder.of(ORIGINALS, 7).mutant(number) for number in range(50)]
    assert len({mutant.data for mutant in mutants}) > 45
    assert mutants[0] != Breeder.of(ORIGINALS, 8).mutant(0)


def look_at_all(reader: Reader, breeder: Breeder, count: int) -> None:
    for first in range(0, count, 20):
        mutants = [breeder.mutant(number) for number in range(first, first + 20)]
        look(reader, [mutant.name for mutant in mutants], [mutant.data for mutant in mutants])


def test_damaged_images_of_every_format_give_a_row_each(reader):
    # Two of these killed the process before `common.images.apng` was there.
    look_at_all(reader, Breeder.of(ORIGINALS, seed=2), 2200)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data beside the checkout")
def test_a_thousand_damaged_real_files_give_a_row_each(reader, caplog):
    # One of these took 4 GiB before `common.images.headers.overruns` was there.
    caplog.set_level(logging.CRITICAL, "PIL")
    look_at_all(reader, Breeder.of(real(DATA), seed=1), 1020)

"""A finished run's outputs in; the same files at a URL, or in a folder, out, `run.json` last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from common import folder_tree
from common.datasets import is_url
from common.datasets.base import display_path
from common.errors import ItemCode, ManyeyesError, UsageError
from common.limits import FETCH_ATTEMPTS, FETCH_TIMEOUT_S
from common.protocol.ledger import RunState
from common.storage import retry
from common.storage.errors import fault_of
from common.storage.retry import file_system_class
from common.storage.urls import canonical
from common.typed_path import expand
from jobs.detect.exports import DEFAULT_NAMES
from jobs.detect.exports.coco import DATASET_NAME
from jobs.detect.reports.preview import PREVIEW_FILE
from jobs.detect.tables.parquet import DETECTIONS_FILE, IMAGES_FILE, TIMINGS_FILE
from producer.results.assemble import Outcome
from producer.results.timings import TIMINGS_JSON
from producer.rundir.run_directory import RUN_FILE, RunDir

T = TypeVar("T")

#: What a run leaves for others, as far as it is there; folders with all that is in them. RUN_FILE comes after it.
_OUTPUTS = (IMAGES_FILE, DETECTIONS_FILE, TIMINGS_FILE, TIMINGS_JSON, PREVIEW_FILE, DATASET_NAME)
#: Bytes a second. A slower upload counts as hung.
_SLOWEST = 100_000


@dataclass(frozen=True, slots=True)
class _Target:
    """A folder somewhere, through fsspec. Raises whatever its library raises."""

    files: Any
    #: As fsspec names it, without a slash at the end.
    folder: str

    @classmethod
    def of(cls, url: str) -> _Target:
        file_system = file_system_class(url.encode() if is_url(url.encode()) else b"file://")
        options = file_system._get_kwargs_from_urls(url)
        files = file_system(**options)
        return cls(files, files._strip_protocol(url).rstrip("/"))

    def put(self, source: Path, name: str) -> None:
        """Checked by its size."""
        size = source.stat().st_size
        if getattr(self.files, "local_file", False):
            folder_tree.make(Path(self._path(name)).parent)
        self._call("put_file", str(source), self._path(name), seconds=FETCH_TIMEOUT_S + size / _SLOWEST)
        self.files.invalidate_cache()
        there = self._call("info", self._path(name))["size"]
        if there != size:
            raise OSError(f"{name} has {there} bytes there, and {size} here")

    def remove(self, name: str) -> None:
        try:
            self._call("rm_file", self._path(name))
        except (FileNotFoundError, PermissionError):
            # Not there yet; or it may be written, but not removed: then it is overwritten in the end.
            return

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _call(self, verb: str, *arguments: Any, seconds: float = FETCH_TIMEOUT_S) -> Any:
        if not self.files.async_impl:
            return getattr(self.files, verb)(*arguments)
        from fsspec.asyn import sync

        return sync(self.files.loop, getattr(self.files, f"_{verb}"), *arguments, timeout=seconds)


def check_target(given: str, folder: Path) -> str:
    """What was given, absolute. Raises UsageError where nothing can be written: better before a long run than after.

    `folder` will be the run's own, which cannot be published to itself.
    """
    run = folder.name
    if is_url(given.encode(errors="surrogateescape")):
        url = display_path(canonical(given.encode(errors="surrogateescape"))).rstrip("/")
        if url.startswith(("http://", "https://")):
            raise UsageError(f"--publish {given}: a web server takes no files; give s3://, gs://, or a folder")
    else:
        url = str(Path(expand(given)).absolute())
        if Path(url, run).resolve() == folder.resolve():
            raise UsageError(f"--publish {given}: the run itself is there; give another folder, or leave it out")
    try:
        target = _Target.of(url)
        with tempfile.NamedTemporaryFile() as nothing:
            _patiently(lambda: target.put(Path(nothing.name), f".{run}"))
            _patiently(lambda: target.remove(f".{run}"))
    except UsageError as error:
        raise UsageError(f"--publish {given}: {error}") from None
    except Exception as error:
        raise UsageError(f"--publish {given} cannot be written to: {_words(error)}") from None
    return url


def publish(rundir: RunDir, outcome: Outcome) -> Outcome:
    """Of a run that is done, and was told to: copies all outputs, and says so. A failure undoes nothing."""
    data = rundir.read()
    url = data.get("publish")
    if url is None or outcome.state != RunState.DONE:
        return outcome
    there = f"{url}/{rundir.run}"
    try:
        if Path(there).resolve() == rundir.path.resolve():
            raise UsageError("the run itself is there")
        _copy(rundir, _Target.of(there), {**data, "published": there})
    except Exception as error:
        text = f"not published to {there}: {_words(error)}; nothing is lost, to try again:  {rundir.command('resume')}"
        return replace(outcome, unpublished=text, notices=(*outcome.notices, f"error: {text}"))
    rundir.write({**data, "published": there})
    return replace(outcome, published=there, notices=(*outcome.notices, f"published: {there}"))


def _copy(rundir: RunDir, target: _Target, data: dict[str, Any]) -> None:
    # Whoever looks while a run is published again must not take the new half for the whole.
    _patiently(lambda: target.remove(RUN_FILE))
    for name in _outputs(rundir.path):
        _patiently(partial(target.put, rundir.path / name, name))
    with tempfile.TemporaryDirectory(dir=rundir.path, prefix=".publish-") as folder:
        copy = RunDir(Path(folder))
        copy.write(data)
        _patiently(lambda: target.put(copy.path / RUN_FILE, RUN_FILE))


def _outputs(folder: Path) -> Iterator[str]:
    for name in (*_OUTPUTS, *DEFAULT_NAMES.values()):
        if (folder / name).is_dir():
            yield from sorted(f"{name}/{file}" for file in folder_tree.files(folder / name))
        elif (folder / name).is_file():
            yield name


def _patiently(do: Callable[[], T]) -> T:
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        try:
            return do()
        except Exception as error:
            if attempt == FETCH_ATTEMPTS or not fault_of(error).passing:
                raise
            retry.rest(attempt)
    raise AssertionError("at least one attempt")


def _words(error: Exception) -> str:
    """One line, of what went wrong there."""
    if isinstance(error, ManyeyesError):
        return str(error)
    fault = fault_of(error)
    match fault.code:
        case ItemCode.NOT_FOUND:
            return "there is no such bucket or folder; make it, or correct the URL"
        case ItemCode.NO_PERMISSION:
            return "no permission; give this machine the credentials to write there"
    return "the connection fails" if fault.passing else " ".join(str(error).split()) or type(error).__name__

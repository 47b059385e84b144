"""Datasets by URL, and outputs to one: the same bytes as from a folder, whatever the servers do in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import s3fs

from common.storage.s3 import S3Store
from tests.acceptance.commands import Said, finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.servers import KEYS, Bucket, Web, s3_server, web_server
from tests.unit import pictures
from tests.waiting import wait_until

#: Whose bytes are the same from wherever the images came.
SAME = ("images.parquet", "detections.parquet", "detections.coco.json", "dataset.coco.json", "detections.csv")
SUBMIT = ("submit", "--detector", "cascade", "-c", "1", "--json")
WORKER = ["worker", "start", "--detector", "cascade", "-c", "1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree") / "photos"
    files = {f"{number % 3}/{number:02}.jpg": pictures.jpeg() for number in range(12)}
    files |= {"a b \N{CAMERA}.jpg": pictures.jpeg(), "cut.jpg": pictures.cut(pictures.jpeg()), "empty.jpg": b""}
    files |= {"note.md": b"no image", ".hidden/1.jpg": pictures.jpeg(), "a-b.png": pictures.png()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def local(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the folder itself."""
    cwd = tmp_path_factory.mktemp("local")
    assert producer(*SUBMIT, photos, cwd=cwd).code == 3
    return only_run(cwd)


@pytest.fixture(scope="module")
def bucket(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as bucket:
        bucket.files.put(str(photos), "photos/in/tree", recursive=True)
        yield bucket


@pytest.fixture
def web(photos: Path) -> Iterator[Web]:
    with web_server(photos) as web:
        yield web


def same(run: Path, other: Path) -> None:
    assert [name for name in SAME if (run / name).read_bytes() != (other / name).read_bytes()] == []


def codes(run: Path) -> dict[str, str]:
    rows = pq.read_table(run / "images.parquet").to_pylist()
    return {row["path"]: row["error_code"] for row in rows if row["error_code"]}


def test_a_bucket_gives_what_its_folder_gives(bucket: Bucket, local: Path, tmp_path: Path) -> None:
    out = ("--publish", "s3://photos/out")
    said = producer(*SUBMIT, "s3://photos/in/tree/", *out, cwd=tmp_path, **bucket.environment)
    assert said.code == 3, said.err
    run = only_run(tmp_path)
    same(run, local)
    assert (run / "preview.jpg").stat().st_size > 5000
    there = f"s3://photos/out/{run.name}"
    assert said.json["published"] == there and f"published: {there}" in said.err
    for name in (*SAME, "run.json", "timings.parquet", "timings.json", "preview.jpg"):
        assert bucket.files.cat(f"{there}/{name}") == (run / name).read_bytes(), name
    assert len(bucket.files.ls(there)) == len(SAME) + 4, "and no more"
    assert len(bucket.files.find("photos/out")) == len(SAME) + 4, "nor of the trial at the beginning"
    deep = producer("verify", "--deep", "--json", cwd=tmp_path, **bucket.environment)
    assert deep.code == 0 and deep.json["files"] == 16, deep.err


def test_a_long_listing_goes_on_where_it_was(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two names; the list of a folder is broken off by an error that passes."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    store = S3Store(s3fs.S3FileSystem(skip_instance_cache=True))
    store._file_system.req_kw["MaxKeys"] = 2
    whole = list(store.names(b"s3://photos/in/tree/", b"", 30))
    assert whole == sorted(whole) and len(whole) == 9 and whole[:2] == [b".hidden/", b"0/"]
    for number, name in enumerate(whole):
        assert list(store.names(b"s3://photos/in/tree/", name, 30)) == whole[number + 1 :]


def test_a_server_that_fails_now_and_then_leaves_no_trace(web: Web, local: Path, tmp_path: Path) -> None:
    web.faults |= {"0/00.jpg": (503, 2), "0/03.jpg": ("cut", 2), "0/06.jpg": ("hang", 1), "1/": (500, 1)}
    said = producer(*SUBMIT, f"{web.url}/", cwd=tmp_path, MANYEYES_FETCH_TIMEOUT="2")
    assert said.code == 3, said.err
    same(only_run(tmp_path), local)
    assert {times for _, times in web.faults.values()} == {0}, "all of it has happened"
    assert web.asked.count("2/02.jpg") <= 2, "one GET for the detector, and one for the preview"


def test_what_cannot_be_read_is_a_row_with_the_codes_of_files(web: Web, tmp_path: Path) -> None:
    web.faults |= {"0/00.jpg": (404, 99), "0/03.jpg": (403, 99), "0/06.jpg": (503, 99)}
    said = producer(*SUBMIT, f"{web.url}/0/", "--shard-size", "4", cwd=tmp_path)
    assert said.code == 3, said.err
    assert codes(only_run(tmp_path)) == {"00.jpg": "not_found", "03.jpg": "no_permission", "06.jpg": "read_error"}
    assert "127.0.0.1" not in "".join(
        row["error"] or "" for row in pq.read_table(only_run(tmp_path) / "images.parquet").to_pylist()
    )


def test_a_list_of_urls_and_a_kill(web: Web, tmp_path: Path) -> None:
    names = [f"{number % 3}/{number:02}.jpg" for number in range(12)]
    lines = [f"{web.url}/{name}?signature=a%2Fb%3D" for name in (*names, names[0], "gone.jpg")]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    web.faults["2/11.jpg"] = ("hang", 1)
    first = start("producer", *SUBMIT, "list.txt", "--shard-size", "1", "--signed-urls", cwd=tmp_path)
    wait_until(lambda: "2/11.jpg" in web.asked, what="the one that hangs")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    said = producer("resume", "--json", cwd=tmp_path)
    assert said.code == 3, said.err
    assert (said.json["items"], said.json["ok"], said.json["errors"]) == (13, 12, {"not_found": 1})
    spec = json.loads((only_run(tmp_path) / "run.json").read_text())["spec"]
    assert spec["root"] == web.url and codes(only_run(tmp_path)) == {"gone.jpg?signature=a%2Fb%3D": "not_found"}


def test_what_only_the_producer_may_read_ends_the_run_and_not_the_images(
    bucket: Bucket, redis_url: str, tmp_path: Path
) -> None:
    there = {"MANYEYES_BROKER_URL": redis_url, **bucket.environment}
    with a_worker(WORKER, tmp_path, redis_url):  # without the bucket's credentials and endpoint
        said = submit_to(there, "s3://photos/in/tree/0/", tmp_path, "--transport", "url")
        assert said.code == 1 and "producer resume" in said.error
        # Or the producer's bytes go through Redis.
        again = producer("resume", "--transport", "auto", "--json", cwd=tmp_path, **there)
    assert (again.code, again.json["ok"]) == (0, 4), again.err
    assert "which this machine can" in said.error


def test_a_worker_that_lacks_the_package_ends_the_run_and_not_the_images(
    bucket: Bucket, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/s3fs.py").write_text("raise ImportError('not here')")
    there = {"MANYEYES_BROKER_URL": redis_url, **bucket.environment}
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path / "without"))
        with a_worker(WORKER, tmp_path, redis_url):
            patch.undo()
            said = submit_to(there, "s3://photos/in/tree/0/", tmp_path, "--transport", "url")
    assert said.code == 1 and "pip install 'manyeyes[s3]' on that machine" in said.error, said.err
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    with a_worker(WORKER, tmp_path, redis_url):
        again = producer("resume", "--json", cwd=tmp_path, **there)
    assert (again.code, again.json["ok"]) == (0, 4), again.err


def submit_to(environment: dict[str, str], url: str, cwd: Path, *options: str) -> Said:
    return producer("submit", "--detector", "cascade", url, *options, cwd=cwd, **environment)


def test_a_producer_that_lacks_the_package_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "s3fs.py").write_text("raise ImportError('not here')")
    said = producer("submit", "s3://photos/", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert said.code == 2 and "pip install 'manyeyes[s3]'" in said.error
    assert not (tmp_path / "runs").exists()


def test_publishing_that_fails_is_made_good_by_resume(web: Web, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    # All images are there but one, which is waited for until nothing can be written any more.
    web.faults["0/00.jpg"] = ("hang", 1)
    running = start("producer", *SUBMIT, f"{web.url}/0/", "--publish", target, "--format", "csv,voc", cwd=tmp_path)
    wait_until(lambda: "0/00.jpg" in web.asked, what="the work")
    assert list(target.iterdir()) == [], "tried, and cleared away"
    target.rmdir()
    target.write_text("in the way")
    web.ended.set()
    said = finish(running)
    assert said.code == 1 and "not published" in said.error and "producer resume" in said.error, said.err
    assert said.json["published"] is None and said.json["state"] == "done" and said.json["ok"] == 4
    run = only_run(tmp_path)
    target.unlink()
    again = producer("resume", "--json", cwd=tmp_path)
    assert again.code == 0 and again.json["published"] == str(target / run.name), again.err
    published = {str(file.relative_to(target / run.name)) for file in (target / run.name).rglob("*") if file.is_file()}
    tables = {"images.parquet", "detections.parquet", "timings.parquet", "timings.json", "preview.jpg", "run.json"}
    assert published == tables | {"detections.csv"} | {f"voc/{name}.xml" for name in ("00", "03", "06", "09")}
    assert (target / run.name / "run.json").read_bytes() == (run / "run.json").read_bytes()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("foo://there", "no scheme"),
        ("https://host/there", "takes no files"),
        ("s3://nowhere/there", "no such bucket"),
        ("gs://there", "manyeyes[gs]"),
        ("/proc/there", "cannot be written to"),
    ],
)
def test_where_nothing_can_be_published_is_found_before_the_work(
    target: str, words: str, bucket: Bucket, photos: Path, tmp_path: Path
) -> None:
    block = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "gcsfs.py").write_text("raise ImportError('not here')")
    said = producer("submit", photos, "--publish", target, cwd=tmp_path, **bucket.environment, **block)
    assert said.code == 2 and words in said.error and target in said.error, said.err
    assert not (tmp_path / "runs").exists()


def test_many_threads_and_a_forked_process_read_at_once(bucket: Bucket, web: Web) -> None:
    """As a pool process does, which fetches ahead: the parent has read before, so has connections open."""
    program = f"""
import os
from concurrent.futures import ThreadPoolExecutor
from common.datasets import fetch
def all_of_it():
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(fetch, root, b"0/00.jpg") for root in (b"s3://photos/in/tree", {web.url.encode()!r}) * 20]
        return {{len(job.result()) for job in jobs}}
here = all_of_it()
if (child := os.fork()) == 0:
    os._exit(0 if all_of_it() == here else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and len(here) == 1
"""
    environment = {**KEYS, "AWS_ENDPOINT_URL": bucket.environment["AWS_ENDPOINT_URL"], "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_run_is_not_published_to_itself(tmp_path: Path) -> None:
    """Its own run.json, which goes first, would be gone, and with it the run."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no image")
    said = producer("submit", "photos", "--json", "--publish", "./runs", cwd=tmp_path)
    assert said.code == 2 and "--publish ./runs" in said.error
    assert not list(tmp_path.glob("runs/*"))

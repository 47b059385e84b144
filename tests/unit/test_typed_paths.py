"""Tests that a `~` is expanded in everything that takes a path: options, arguments, the environment, lists and maps."""

from __future__ import annotations

import getpass
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo

from common import typed_path
from common.broker.tls import options as tls_options
from common.broker.url_file import url_of as broker_url
from common.errors import UsageError
from common.settings import Settings
from common.typed_path import expand
from producer.cli.app import cli as producer_cli
from producer.cluster.hub.settings import absolute_roots
from producer.rundir.run_directory import find
from worker.cli import cli as worker_cli
from worker.reading.roots import Roots

#: Options and arguments that take text and no path. Whoever adds an option says here that it takes none, or gives it
#: a parser of `common.typed_path`.
NO_PATHS = {
    *("broker", "classes", "formats", "format", "head", "imgsz", "log", "loglevel", "listen", "max_failures", "name"),
    *("priority", "scale", "scaled", "shard_size", "transport", "worker"),
}
#: Those that hold paths among other things, with what takes them apart: each has a test below or in its own file.
TAKEN_APART = {"detector", "exclude", "map_", "root"}


def parameters() -> Iterator[tuple[str, str, str, OptionInfo | ArgumentInfo]]:
    """Command, parameter, the text of its type, and what typer was told of it."""
    for program, cli in (("producer", producer_cli), ("worker", worker_cli)):
        for app in (cli, *(group.typer_instance for group in cli.registered_groups)):
            assert app is not None
            for command in app.registered_commands:
                assert command.callback is not None
                for name, parameter in inspect.signature(command.callback, eval_str=True).parameters.items():
                    if parameter.annotation is not typer.Context:
                        kind, told = get_args(parameter.annotation)[:2]
                        yield f"{program} {command.callback.__name__} {name}", name, str(kind), told


def test_every_parameter_that_takes_a_path_expands_the_home_folder() -> None:
    expanded = set()
    for where, name, kind, told in parameters():
        if "Path" in kind:
            assert told.parser is typed_path.path, f"{where} takes a path"
        elif "str" in kind and name not in NO_PATHS | TAKEN_APART:
            assert told.parser is typed_path.text, f"{where} takes text: does it take a path?"
        if told.parser is not None:
            expanded.add(name)
    assert expanded == {"datasets", "labels", "output", "publish", "run", "state", "to", "truth", "weights"}


def test_a_tilde_is_what_a_shell_makes_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~snapshot").mkdir()
    (tmp_path / "~").mkdir()

    assert [expand(one) for one in ("~", "~/a", "a/~", "./~", "~snapshot/a", "a~b")] == [
        "/h", "/h/a", "a/~", "./~", "~snapshot/a", "a~b",
    ]  # fmt: skip
    assert expand(f"~{getpass.getuser()}/a") != f"~{getpass.getuser()}/a"
    with pytest.raises(UsageError, match=r"no user 'nobody-of-this-name' here; write '\./~nobody-of-this-name/a'"):
        expand("~nobody-of-this-name/a")
    with pytest.raises(UsageError, match="is empty"):
        typed_path.path("")


def test_without_a_home_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**30)
    with pytest.raises(UsageError, match="'~/runs': this user has no home folder; set HOME"):
        expand("~/runs")


def test_lists_maps_urls_and_settings_expand_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "a").mkdir(parents=True)
    (home / "hub.url").write_text("redis://host/0\n")
    monkeypatch.setenv("HOME", str(home))
    real = bytes(home.resolve())

    roots = Roots.parse("~/a, ~", "~/there=~/a")
    assert roots.allowed is not None and roots.allowed.folders == (real + b"/a", real, real + b"/a")
    assert roots.pairs == ((bytes(home) + b"/there", bytes(home) + b"/a"),)
    assert absolute_roots("~/a,s3://b/~,*") == f"{home}/a,s3://b/~,*"
    assert broker_url("~/hub.url") == "redis://host/0"
    monkeypatch.setenv("MANYEYES_LABELS", "~/names.txt")
    monkeypatch.setenv("MANYEYES_CACHE", "~/models")
    assert (Settings().labels, Settings().cache) == (home / "names.txt", home / "models")
    for given in ("rediss://h/0?ssl_ca_certs=~/ca.pem", "rediss://h/0?ssl_certfile=~/ca.pem"):
        with pytest.raises(UsageError, match=f"{home}/ca.pem cannot be read"):
            tls_options(given)
    with pytest.raises(UsageError, match=f"no runs in {home}/runs"):
        find(typed_path.path("~/runs"), "latest")

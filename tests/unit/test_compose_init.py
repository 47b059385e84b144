"""`make compose-init`: passwords that nobody has had before, in a file for its user only, and never over another."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


def compose_init(folder: Path) -> subprocess.CompletedProcess[str]:
    """With no more than any machine has: the target needs no Python."""
    given = (f"ENV_FILE={folder}/.env", f"DATA={folder}/my photos", f"RUNS={folder}/runs")
    command = ["make", "--no-print-directory", "compose-init", *given]
    return subprocess.run(
        command, cwd=CHECKOUT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )


def values(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (folder / ".env").read_text(), re.MULTILINE))


def test_it_writes_random_passwords_for_its_user_only_and_nothing_over_them(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    for folder in (first, other):
        folder.mkdir()
        said = compose_init(folder)
        assert said.returncode == 0 and "docker compose up" in said.stdout, said.stderr
        assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
        assert [path.name for path in sorted(folder.iterdir())] == [".env", "my photos", "runs"]
    secrets = [value for folder in (first, other) for name, value in values(folder).items() if "PASSWORD" in name]
    assert len(set(secrets)) == len(secrets) == 10 and all(re.fullmatch("[0-9a-f]{32}", one) for one in secrets)
    assert not any(secret in compose_init(first).stdout for secret in secrets)
    assert values(first)["DATA"] == f"{first}/my photos"
    before = (first / ".env").read_bytes()
    again = compose_init(first)
    assert again.returncode != 0 and "is there already" in again.stderr
    assert (first / ".env").read_bytes() == before


def test_the_compose_file_asks_for_what_it_writes_and_mounts_what_there_is(tmp_path: Path) -> None:
    assert compose_init(tmp_path).returncode == 0
    text = (CHECKOUT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) <= set(values(tmp_path))
    mounted = re.findall(r"- (\./[^:]+):", text)
    assert len(mounted) == 4 and all((CHECKOUT / path).exists() for path in mounted), mounted


def test_the_image_is_labelled_with_the_version_of_what_is_in_it() -> None:
    [version] = re.findall(r'^version = "(.+)"$', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"ARG VERSION={version}\n" in (CHECKOUT / "Dockerfile").read_text()

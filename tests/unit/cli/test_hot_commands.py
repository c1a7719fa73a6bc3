"""What the commands that people wait for load and call: counted, since no clock tells it on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_FOR_OTHERS = (
    "sealrun.web",
    "sealrun.recording",
    "sealrun.derivers",
    "sealrun.bootstrap.board",
    "sealrun.bootstrap.doctor",
    "sealrun.bootstrap.products",
    "sealrun.bootstrap.service",
    "sealrun.bootstrap.metering",
    "sealrun.services.collection",
    "sealrun.services.daemon",
    "sealrun.services.keeping",
    "sealrun.services.oversight.notifying",
    "sealrun.services.sources",
    "sealrun.adapters.telling.exposition",
    "sealrun.adapters.telling.mailing",
    "sealrun.adapters.telling.metering.",
    "sealrun.adapters.run_folders.watching",
    "sealrun.adapters.telling.webhooks",
    "sealrun.domain.presets.plain_yaml",
    "sealrun.adapters.stores.s3",
    "sealrun.adapters.stores.fsspec",
)
"""What a daemon, a page, an alarm or another command needs, and none of these."""
_HEAVY = {
    "asyncio",
    "difflib",
    "email",
    "fsspec",
    "http",
    "multiprocessing",
    "pathspec",
    "pickletools",
    "shutil",
    "socket",
    "ssl",
    "tempfile",
    "zipfile",
}
"""Modules of others that take some milliseconds each, and that nothing here needs."""
_ALL_OF_OURS = 250
"""So many modules of ours a command loads at most; it was 200 when this was written."""

_LOADED = """
import json, sys
from sealrun.cli.main import run
assert run({arguments!r}) == 0
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry in a directory, with one run of one line."""
    place = tmp_path_factory.mktemp("hot")
    (place / "sealrun.toml").write_text('version = 1\n[registry.main]\nurl = "registry"\n')
    (place / "line.txt").write_text("a line\n")
    loaded_by(place, "publish", "line.txt", "--experiment", "hot")
    return place


def loaded_by(place: Path, *arguments: str) -> set[str]:
    """Names of the modules that are there after a command."""
    code = _LOADED.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", "line.txt", "--experiment", "hot"),
        ("ls",),
        ("cat", "hot@latest:line.txt"),
        ("show", "hot@latest"),
        ("verify", "--all"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_people_wait_for_loads_what_it_needs_and_little_else(
    place: Path, arguments: tuple[str, ...]
) -> None:
    loaded = loaded_by(place, *arguments)
    assert [name for name in sorted(loaded) if f"{name}.".startswith(_FOR_OTHERS)] == []
    assert loaded & _HEAVY == set()
    ours = [name for name in loaded if name.startswith("sealrun")]
    assert len(ours) <= _ALL_OF_OURS

"""`sealrun reclaim` and `sealrun mirror` as they are called: what they print, change and exit with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealrun.adapters.machine.locking import hold
from sealrun.cli.main import run

SETTINGS = """\
version = 1
[registry.main]
url = "registry"
[registry.second]
url = "second"
[[watch]]
name = "outbox"
path = "outbox"
settle = "0s"
exclude = ["*.log"]
reclaim = { after = "0s", copies = 2 }
[mirror.browse]
path = "browse"
[mirror.two]
path = "two"
keep_last = 1
"""

Call = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    for name in [name for name in os.environ if name.startswith("SEALRUN_") or name == "STATE_DIRECTORY"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sealrun.toml").write_text(SETTINGS)

    def called(*arguments: str) -> tuple[int, list[str], str]:
        capsys.readouterr()
        code = run(list(arguments))
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return called


def drop(name: str, **files: str) -> Path:
    folder = Path("outbox", name)
    folder.mkdir(parents=True)
    for file, text in {"a": name, "_SUCCESS": "", **files}.items():
        (folder / file).write_text(text)
        os.utime(folder / file, (1_768_660_252, 1_768_660_252))
    return folder


def published(call: Call, *names: str) -> None:
    for name in names:
        assert call("publish", str(drop(name)), "--experiment", "e", "--run-id", name)[0] == 0


def scanned(call: Call) -> None:
    """Have the watch take what is there; a marker counts at once, and the change times are now."""
    code, said, _ = call("scan", "--once")
    assert (code, [line for line in said if not line.startswith("published")]) == (0, [])


def test_reclaim_says_what_it_would_do_and_then_does_it(call: Call) -> None:
    one, two = drop("one"), drop("two", **{"x.log": "mine"})
    scanned(call)
    code, said, _ = call("reclaim", "-n")
    assert code == 0
    assert said[0].startswith(f"would delete  {Path.cwd() / one} (outbox/")
    assert "2 files, 3 B): published to main, second, due " in said[0]
    assert said[1].startswith(f"stays         {Path.cwd() / two} ")
    assert said[1].endswith("holds files that no registry has: 'x.log'")
    assert one.is_dir()
    rows: list[dict[str, Any]] = [json.loads(line) for line in call("reclaim", "--dry-run", "--json")[1]]
    assert [(row["due"], row["size"], row["files"]) for row in rows] == [(True, 3, 2), (False, 7, 3)]
    code, said, _ = call("reclaim")
    assert (code, len(said)) == (0, 1)
    assert said[0].startswith(f"deleted   {Path.cwd() / one} (3 B): outbox/")
    assert not one.exists()
    assert (two / "x.log").read_text() == "mine"
    code, said, _ = call("reclaim", "--json")
    assert (code, json.loads(said[0])) == (0, {"healed": [], "reclaimed": [], "refused": []})


def test_reclaim_that_is_refused_is_partly_done_and_says_why(call: Call) -> None:
    one = drop("one")
    scanned(call)
    objects = [path for path in Path("second/store").rglob("*") if path.is_file() and path.read_bytes() == b"one"]
    objects[0].chmod(0o644)
    objects[0].write_bytes(b"two")
    code, said, _ = call("reclaim")
    assert code == 3
    assert "1 verified copies, 2 are asked for" in said[0]
    assert (one / "a").read_text() == "one"
    code, said, _ = call("reclaim", "--json")
    assert code == 3
    assert json.loads(said[0])["refused"][0]["path"] == str(Path.cwd() / one)


def test_a_registry_that_was_replaced_holds_no_copy(call: Call) -> None:
    one = drop("one")
    scanned(call)
    record = Path("second/registry.json")
    text = record.read_text()
    record.chmod(0o644)
    record.write_text(text.replace(json.loads(text)["registry_id"], "0" * 32))
    assert "1 verified copies" in call("reclaim")[1][0]
    assert (one / "a").read_text() == "one"


def test_reclaim_beside_another_that_runs_says_so(call: Call) -> None:
    drop("one")
    scanned(call)
    with hold(Path(".sealrun/reclaiming")):
        assert call("reclaim")[0] == 11
        assert call("reclaim", "-n")[0] == 0


def test_mirror_says_what_it_would_do_and_then_does_it(call: Call) -> None:
    published(call, "r1", "r2")
    code, said, _ = call("mirror", "-n")
    assert code == 0
    assert said.count("would copy   e/r2 (2 B), browse: the mirror keeps every run") == 1
    assert "not copied   e/r1 (2 B), two: no rule of the mirror keeps it" in said
    assert not Path("browse").exists()
    code, said, _ = call("mirror", "browse")
    assert (code, sorted(said)) == (0, ["copied   e/r1 to browse", "copied   e/r2 to browse"])
    assert Path("browse/e/r1/a").read_text() == "r1"
    reports = [json.loads(line) for line in call("mirror", "--json")[1]]
    assert [(report["mirror"], report["copied"]) for report in reports] == [("browse", []), ("two", ["e/r2"])]
    published(call, "r3")
    assert call("mirror", "two")[1] == ["copied   e/r3 to two", "removed  e/r2 from two"]
    rows = [json.loads(line) for line in call("mirror", "browse", "-n", "--json")[1]]
    assert {row["ref"]: row["step"] for row in rows} == {"e/r1": "keep", "e/r2": "keep", "e/r3": "copy"}


def test_a_damaged_run_ends_mirror_with_twenty(call: Call) -> None:
    published(call, "r1")
    objects = [path for path in Path("registry/store").rglob("*") if path.is_file() and path.read_bytes() == b"r1"]
    objects[0].chmod(0o644)
    objects[0].write_bytes(b"XX")
    code, said, _ = call("mirror", "browse")
    assert code == 20
    assert said[0].startswith("failed   e/r1 to browse: ")
    assert not Path("browse/e").exists()


def test_a_mirror_whose_disk_is_away_does_not_stop_the_others(call: Call) -> None:
    published(call, "r1")
    call("mirror")
    shutil.rmtree("browse")
    shutil.rmtree("two/e/r1")
    code, said, complained = call("mirror")
    assert code == 5
    assert "is its disk not mounted" in complained
    assert said == ["copied   e/r1 to two"]
    code, _, complained = call("mirror", "--json")
    assert json.loads(complained)["error"]["mirror"] == "browse"
    assert call("mirror", "browse")[0] == 5


def test_a_mirror_of_another_state_folder_is_taken_over_on_demand(call: Call) -> None:
    published(call, "r1")
    call("mirror", "browse")
    shutil.rmtree(".sealrun")
    code, _, complained = call("mirror", "browse")
    assert code == 78
    assert "--take-over" in complained
    assert call("mirror", "browse", "--take-over")[0] == 0
    assert call("mirror", "browse")[0] == 0


def test_an_unknown_mirror_or_none_at_all_is_a_wrong_call(call: Call, tmp_path: Path) -> None:
    assert call("mirror", "nowhere")[0] == 2
    (tmp_path / "sealrun.toml").write_text('version = 1\nregistry.main.url = "registry"\n')
    assert call("mirror")[0] == 2

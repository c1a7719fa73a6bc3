"""sealrun gc where small files lie in packs, on a directory registry: what it foretells, does, says and remembers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.daemon.tending import Tending
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.cli.main import run
from sealrun.domain.errors import UsageError
from sealrun.settings.resolved import GcSettings, KeepingSettings

_NOW = ("--grace", "0", "--max-delete-ratio", "1")
_AT_ONCE = KeepingSettings(gc=GcSettings(grace_s=0.0, max_delete_ratio=1.0))

Command = Callable[..., list[Any]]


@pytest.fixture
def sealrun(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """A folder with a registry that holds a live run, which uses a tenth of what a retired one left in packs."""
    for name in [name for name in os.environ if name.startswith("SEALRUN_") or name == "STATE_DIRECTORY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEALRUN_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sealrun.toml").write_text('version = 1\nregistry.main.url = "registry"\n')

    def command(*arguments: str, code: int = 0) -> list[Any]:
        capsys.readouterr()
        answer = run(list(arguments))
        out, err = capsys.readouterr()
        assert answer == code, err
        return [json.loads(line) for line in out.splitlines()] if "--json" in arguments else out.splitlines()

    def publish(number: int, files: dict[str, bytes]) -> str:
        folder = tmp_path / f"run-{number}"
        (folder / ".sealrun").mkdir(parents=True)
        for name, body in files.items():
            (folder / name).write_bytes(body)
        (folder / ".sealrun" / "done.json").write_text(f'{{"finished_at": "2026-01-{number:02d}T00:00:00Z"}}')
        return str(command("publish", str(folder), "--experiment", "e", "--json")[0]["ref"])

    many = {f"part-{number:03}": b"%04d" % number * 500 for number in range(300)}
    old = publish(1, many)
    publish(2, {name: body for name, body in many.items() if name.endswith("7")})
    command("retire", old)
    return command


def _packs(folder: Path) -> list[str]:
    return [path.name for path in (folder / "registry" / "store" / "packs").rglob("*.zip")]


def test_a_dry_run_lists_packs_and_runs_with_what_is_read_written_and_freed(sealrun: Command, tmp_path: Path) -> None:
    before = _packs(tmp_path)
    rows = sealrun("gc", "-n", *_NOW, "--json")
    (pack,) = [row["pack"] for row in rows if "pack" in row]
    (repack,) = [row["repack"] for row in rows if "repack" in row]
    (summary,) = [row["summary"] for row in rows if "summary" in row]
    assert (repack["members"], repack["size"]) == (30, 60_000)
    assert pack["live"] == 60_000 + 30 * 204
    assert summary["repack"] == {
        "packs": 1,
        "runs": 1,
        "read": pack["live"],
        "written": pack["live"],
        "freed": pack["size"] - pack["live"],
        "later": 0,
        "refused": None,
    }
    said = "\n".join(sealrun("gc", "-n", *_NOW))
    assert "1 packs would be repacked: 1 runs, 64.6 KiB read and written again" in said
    assert repack["ref"] in said
    assert _packs(tmp_path) == before


def test_a_collection_repacks_and_the_next_one_frees_the_room(sealrun: Command, tmp_path: Path) -> None:
    (big,) = _packs(tmp_path)
    said = sealrun("gc", *_NOW)
    assert said[-1].startswith("repacked 1 runs out of 1 packs: 58.6 KiB written again")
    (event,) = [
        row for row in sealrun("status", "--events", "9", "--json")[0]["events"] if row["kind"] == "gc.repacked"
    ]
    assert (event["runs"], event["packs"], event["copied"], event["failures"]) == (1, 1, 60_000, 0)
    assert big in _packs(tmp_path)
    (done,) = sealrun("gc", *_NOW, "--json")
    assert (done["objects"], done["repacked"]["runs"]) == (1, [])
    assert big not in _packs(tmp_path)
    sealrun("gc", *_NOW, "--error-on-nothing", code=4)


def test_a_repacking_that_would_free_too_much_is_refused_and_said(sealrun: Command, tmp_path: Path) -> None:
    before = _packs(tmp_path)
    assert any("would be refused: repacking would free" in line for line in sealrun("gc", "-n", "--grace", "0"))
    (done,) = sealrun("gc", "--grace", "0", "--json", code=3)
    assert "max_delete_ratio" in done["repacked"]["refused"]
    assert _packs(tmp_path) == before


def test_it_can_be_turned_off(sealrun: Command, tmp_path: Path) -> None:
    settings = tmp_path / "sealrun.toml"
    settings.write_text(settings.read_text() + "[gc]\nrepack_below = 0\n")
    assert not [row for row in sealrun("gc", "-n", *_NOW, "--json") if "pack" in row]


def test_a_daemons_round_repacks_too_and_a_dry_run_cannot(sealrun: Command, tmp_path: Path) -> None:
    (big,) = _packs(tmp_path)
    sealrun("gc", "-n")
    spec = RegistrySpec(name="main", url=str(tmp_path / "registry"))
    clock, entropy = SystemClock(), SystemEntropy()
    with Parts(tmp_path / "state", {"main": spec}, ()) as parts:
        tending = Tending(parts.journal, Opener(parts.journal, clock, entropy), clock, entropy)
        for _ in range(2):
            tending.keep_round(spec, _AT_ONCE)
        assert len(parts.journal.events.recent(kind="gc.repacked")) == 1
        assert big not in _packs(tmp_path)
        tending.keep_round(spec, KeepingSettings(gc=GcSettings(grace_s=0.0)))
        assert not parts.journal.events.recent(kind="gc.refused")
        keeper = parts.keeper(dry_run=True)
        with pytest.raises(UsageError, match="dry run"):
            keeper.repack(keeper.plan_repack(keeper.plan_collection(keeper.collector())))

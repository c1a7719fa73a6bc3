"""cache ls and cache clean, and that what is fetched stays within its limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.builders.places import a_place

from sealrun.cli.main import run

Capture = pytest.CaptureFixture[str]
READ = """
import random, sealrun, sys
chance, there = random.Random(int(sys.argv[1])), {}
for _ in range(12):
    number = chance.randrange(4)
    ref = f"e/r{number}" + chance.choice(["", ":a", ":b"])
    there[ref] = sealrun.get(ref), number
    for path, number in there.values():  # whatever was cleaned meanwhile
        for file in path.iterdir() if path.is_dir() else [path]:
            assert set(file.read_bytes()) == {number}, file
"""
GET = "import sealrun, sys; print(sealrun.get(sys.argv[1]))"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """Packs have no files to show, so everything is fetched."""
    made = a_place(tmp_path, monkeypatch)
    settings = made / "sealrun.toml"
    settings.write_text("version = 1\n[registry.main]\nurl = 'registry'\npacks = { least = 1 }\n")
    for number in range(4):
        folder = made / f"run-{number}"
        folder.mkdir()
        (folder / "a").write_bytes(bytes([number]) * 1000)
        (folder / "b").write_bytes(bytes([number]) * 2000)
        assert run(["publish", str(folder), "--experiment", "e", "--run-id", f"r{number}"]) == 0
    capsys.readouterr()
    return made


def fetch(ref: str) -> Path:
    """Fetch in a process of its own, which ends."""
    done = subprocess.run([sys.executable, "-c", GET, ref], capture_output=True, check=True, text=True)
    return Path(done.stdout.strip())


def aged(place: Path, name: Path, seconds: int) -> None:
    entry = name.parent
    while entry.parent.parent.parent != place / "cache":
        entry = entry.parent
    os.utime(entry, (seconds, seconds))


def rows(capsys: Capture, *arguments: str) -> list[dict[str, object]]:
    assert run([*arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_is_kept_is_listed_and_cleaned_as_a_dry_run_has_said(place: Path, capsys: Capture) -> None:
    assert run(["cache", "ls", "--error-on-nothing"]) == 4
    folder, file = fetch("e/r0"), fetch("e/r1:b")
    aged(place, folder, 1_000_000)
    aged(place, file, 2_000_000)
    capsys.readouterr()
    listed = rows(capsys, "cache", "ls")
    assert [(row["kind"], row["name"], row["size"], row["held"]) for row in listed] == [
        ("folder", folder.name, 3000, False),
        ("file", "b", 2000, False),
    ]
    assert listed[0]["used_at"] == "1970-01-12T13:46:40Z"
    planned = rows(capsys, "cache", "clean", "--keep", "2KB", "--dry-run")
    assert [(row["name"], row["deleted"]) for row in planned] == [(folder.name, False)]
    assert folder.is_dir()
    assert run(["cache", "clean", "-n"]) == 0
    printed = capsys.readouterr()
    assert "would delete  folder" in printed.out
    assert "4.9 KiB would be freed" in printed.err
    done = rows(capsys, "cache", "clean", "--keep", "2000")
    assert [(row["name"], row["deleted"]) for row in done] == [(folder.name, True)]
    assert not folder.exists()
    assert file.exists()
    assert rows(capsys, "cache", "clean", "--older-than", "30000d") == []  # nothing is that old
    assert file.exists()
    assert run(["cache", "clean"]) == 0
    assert not file.exists()


def test_what_is_fetched_stays_within_the_limit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALRUN_CACHE_LIMIT", "7000")
    paths = []
    for number in range(4):
        paths.append(fetch(f"e/r{number}"))
        aged(place, paths[-1], 1000 + number)
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert (fetch("e/r0") / "a").read_bytes() == bytes(1000)


def test_a_limit_that_is_no_size_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("SEALRUN_CACHE_LIMIT", "much")
    assert run(["cache", "ls"]) == 78
    assert "SEALRUN_CACHE_LIMIT" in capsys.readouterr().err
    assert run(["cache", "clean", "--keep", "some"]) == 2
    assert place.is_dir()


def test_what_a_process_was_given_stays_while_others_fetch_and_clean(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALRUN_CACHE_LIMIT", "1000")
    readers = [
        subprocess.Popen([sys.executable, "-c", READ, str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    while any(reader.poll() is None for reader in readers):
        assert run(["cache", "clean", "-q"]) == 0
    assert [(reader.returncode, reader.communicate()[1]) for reader in readers] == [(0, "")] * 3
    assert run(["cache", "clean", "-q"]) == 0
    assert [path for path in (place / "cache").rglob("*") if path.is_file()] == [place / "cache/leases.lock"]

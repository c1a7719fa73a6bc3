from __future__ import annotations

import hashlib
import os
import shutil
import socket
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.folders import a_folder
from tests.fakes.journal import FakeHashes
from tests.fakes.stage import MemoryStage

from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError, RunRejectedError, UnavailableError
from sealrun.domain.paths import are_plain, path_problem
from sealrun.domain.patterns import Patterns
from sealrun.domain.runs.manifest import Entry, Link
from sealrun.ports import Copying, FileFacts, HashCache


def nothing(_path: str, _facts: FileFacts) -> bool:
    return False


def everything(_path: str, _facts: FileFacts) -> bool:
    return True


def open_run(path: Path, patterns: Patterns | None = None, hashes: HashCache | None = None) -> LocalFolder:
    return LocalFolder(str(path), patterns=patterns, hashes=hashes or NoHashes(), workers=3)


def digests(folder: LocalFolder) -> dict[str, str]:
    hashed = folder.hash(folder.scan())
    return {entry.path: entry.sha256 for entry in hashed.entries}


def test_a_scan_lists_files_empty_folders_and_inner_links(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a.txt": "1", "deep/er/b.txt": "22", ".hidden": "333"})
    (run / "empty/inner").mkdir(parents=True)
    (run / "deep/link").symlink_to("../a.txt")
    (run / "a.txt").chmod(0o755)

    tree = open_run(run).scan()

    assert {path: (f.size, f.executable) for path, f in tree.files.items()} == {
        "a.txt": (1, True),
        "deep/er/b.txt": (2, False),
        ".hidden": (3, False),
    }
    assert tree.directories == ("empty/inner",)
    assert tree.links == (Link("deep/link", "../a.txt"),)


def test_markers_of_the_run_are_never_content(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "_SUCCESS": "", ".sealrun/done.json": "{}", "sub/.sealrun/x": "2"})
    assert set(open_run(run).scan().files) == {"a", "_SUCCESS", "sub/.sealrun/x"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("../../etc/passwd", "leaves the run"),
        ("../run/a", "leaves the run"),
        ("home/../..", "through another link"),
    ],
)
def test_a_link_that_leaves_the_run_rejects_it(tmp_path: Path, target: str, reason: str) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "deep/x": "1"})
    (run / "deep/home").symlink_to("..")
    (run / "deep/evil" if target.startswith("home") else run / "evil").symlink_to(target)
    with pytest.raises(RunRejectedError, match=reason) as caught:
        open_run(run).scan()
    assert "evil" in str(caught.value)


def test_a_dangling_link_inside_the_run_is_recorded_as_it_is(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1"})
    (run / "b").symlink_to("not/there")
    assert open_run(run).scan().links == (Link("b", "not/there"),)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _not_utf8(path: Path) -> None:
    path.with_name(os.fsdecode(b"caf\xe9")).write_bytes(b"x")


def _not_utf8_folder(path: Path) -> None:
    path.with_name(os.fsdecode(b"caf\xe9")).mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [(_fifo, "named pipe"), (_socket, "socket"), (_not_utf8, "UTF-8"), (_not_utf8_folder, "UTF-8")],
)
def test_what_no_run_may_hold_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    run = a_folder(tmp_path / "run", {"a": "1"})
    make(run / "odd")
    with pytest.raises(RunRejectedError, match=reason) as caught:
        open_run(run).scan()
    str(caught.value).encode()  # printable whatever the name was
    assert "exclude it" in str(caught.value)


@pytest.mark.parametrize("make", [_fifo, _socket, _not_utf8, _not_utf8_folder])
def test_an_excluded_entry_is_not_even_looked_at(tmp_path: Path, make: Callable[[Path], None]) -> None:
    run = a_folder(tmp_path / "run", {"a": "1"})
    make(run / "odd")
    assert set(open_run(run, Patterns(exclude=("odd", "caf*"))).scan().files) == {"a"}


def test_a_survey_tells_the_problem_and_still_lists_the_rest(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "b/c": "2"})
    os.mkfifo(run / "b/pipe")
    survey = open_run(run).survey()
    assert set(survey.tree.files) == {"a", "b/c"}
    assert survey.problem is not None
    assert "b/pipe" in survey.problem


def test_an_unreadable_file_rejects_the_run_and_an_io_error_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "b": "2"})
    real_open = os.open

    def refuse(code: int) -> None:
        def opened(path: str, flags: int, *args: int, dir_fd: int | None = None) -> int:
            if path == "b":
                raise OSError(code, os.strerror(code))
            return real_open(path, flags, *args, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", opened)

    refuse(13)
    with pytest.raises(RunRejectedError, match="permission") as caught:
        digests(open_run(run))
    assert str(run / "b") in str(caught.value)
    refuse(5)
    with pytest.raises(UnavailableError, match="tried again"):
        digests(open_run(run))


def test_gitignore_layers_decide_from_the_strongest() -> None:
    patterns = Patterns(
        exclude=("*.log", "!keep.log"),
        inner=("keep.log", "cache/", "!late.bin"),
        outer=("*.bin", "run/only-here"),
        outer_prefix="run",
    )
    excluded = {
        path: patterns.excludes(path, folder=False) for path in ("a.log", "keep.log", "x.bin", "late.bin", "only-here")
    }
    assert excluded == {"a.log": True, "keep.log": False, "x.bin": True, "late.bin": False, "only-here": True}
    assert patterns.excludes("cache", folder=True)
    assert not patterns.excludes("cache", folder=False)


def test_include_selects_files_at_any_depth(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a.json": "1", "deep/b.json": "1", "deep/c.bin": "1", "other/d": "1"})
    (run / "empty").mkdir()
    tree = open_run(run, Patterns(include=("*.json",), exclude=("a.json",))).scan()
    assert set(tree.files) == {"deep/b.json"}
    assert tree.directories == ()


def test_digests_are_those_of_the_bytes_whatever_the_size(tmp_path: Path) -> None:
    sizes = [0, 1, 256 << 10, (256 << 10) + 1, (4 << 20) + 3]
    bodies = {f"d{i % 2}/f{size}": os.urandom(size) for i, size in enumerate(sizes)}
    bodies |= {f"many/{n}": str(n).encode() for n in range(200)}
    run = a_folder(tmp_path / "run", bodies)
    assert digests(open_run(run)) == {path: hashlib.sha256(body).hexdigest() for path, body in bodies.items()}


def test_wanted_files_are_staged_once_while_they_are_hashed(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "same", "b": "same", "big": b"x" * (5 << 20), "c": "other"})
    folder, stage = open_run(run), MemoryStage()
    hashed = folder.hash(folder.scan(), Copying(stage=stage, alone=lambda path, _: path != "c"))
    same, big = (hashlib.sha256(body).hexdigest() for body in (b"same", b"x" * (5 << 20)))
    assert sorted(stage.kept) == sorted([same, big])
    assert {digest: source.size for digest, source in hashed.staged.items()} == {same: 4, big: 5 << 20}
    assert stage.dropped == 3


def test_small_files_are_packed_while_they_are_hashed_but_for_what_is_known(tmp_path: Path) -> None:
    files = {f"d{n % 3}/{n}": f"{n}" * (n + 1) for n in range(9)} | {"same": "5" * 6, "big": "x" * (5 << 20)}
    folder, stage = open_run(a_folder(tmp_path / "run", files)), MemoryStage()
    known = hashlib.sha256(b"0").hexdigest()
    packs = [[path for path in sorted(files) if path.startswith("d0")], ["d1/1", "d1/4", "d1/7", "d2/5", "same"]]
    tree = folder.scan()
    places = {path: number for number, path in enumerate(tree.files)}
    planned = [[places[path] for path in pack] for pack in packs]
    copying = Copying(stage=stage, alone=lambda *_: False, packs=planned, known=lambda sizes: sizes.keys() & {known})
    hashed = folder.hash(tree, copying)
    digests = {path: hashlib.sha256(body.encode()).hexdigest() for path, body in files.items()}
    assert {entry.path: entry.sha256 for entry in hashed.entries} == digests
    found: dict[str, bytes] = {}
    for pack in hashed.packs:
        with pack.source.open() as source, zipfile.ZipFile(source) as archive:
            found |= {name: archive.read(name) for name in archive.namelist()}
            assert [member.digest for member in pack.members] == archive.namelist()
        assert hashlib.sha256(pack.source.open().read()).hexdigest() == pack.source.digest
    wanted = {path for pack in packs for path in pack} - {"same", "d0/0"}
    assert found == {digests[path]: files[path].encode() for path in wanted}
    assert [len(pack.members) for pack in hashed.packs] == [2, 4]


def test_what_is_known_is_asked_for_some_files_at_a_time_and_for_each_content_once(tmp_path: Path) -> None:
    files = {f"f{n:03}": f"{n % 150}" * 9 for n in range(200)} | {f"g{n}": f"{n}" * (400 << 10) for n in range(6)}
    folder, stage = open_run(a_folder(tmp_path / "run", files)), MemoryStage()
    asked: list[dict[Digest, int]] = []

    def known(sizes: Mapping[Digest, int]) -> Collection[Digest]:
        asked.append(dict(sizes))
        return list(sizes)[:1]

    copying = Copying(stage=stage, alone=nothing, packs=[range(len(files))], known=known)
    (pack,) = folder.hash(folder.scan(), copying).packs
    sizes = {hashlib.sha256(body.encode()).hexdigest(): len(body) for body in files.values()}
    assert [len(some) for some in asked] == [64, 64, 22, 3, 3]  # of the third and fourth group some were seen
    assert {digest: size for some in asked for digest, size in some.items()} == sizes
    assert {member.digest for member in pack.members} == sizes.keys() - {next(iter(some)) for some in asked}


def test_a_file_that_changes_while_it_is_packed_stops_the_sealing(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1" * (2 << 20), "b": "2"})  # more than is asked about at a time
    folder = open_run(run)
    tree = folder.scan()

    def change(_sizes: Mapping[Digest, int]) -> Collection[Digest]:
        (run / "b").write_bytes(b"3")
        return ()

    with pytest.raises(RunChangedError, match="b"):
        folder.hash(tree, Copying(stage=MemoryStage(), alone=lambda *_: False, packs=[[0, 1]], known=change))


@pytest.mark.parametrize("size", [10, 6 << 20])
def test_a_file_that_changes_while_it_is_read_stops_the_sealing(tmp_path: Path, size: int) -> None:
    run = a_folder(tmp_path / "run", {"a": b"x" * size})
    folder = open_run(run)
    tree = folder.scan()

    def grow(_path: str, _facts: FileFacts) -> bool:
        with (run / "a").open("ab") as file:
            file.write(b"!")
        return False

    with pytest.raises(RunChangedError, match="a"):
        folder.hash(tree, Copying(stage=MemoryStage(), alone=grow))


@pytest.mark.parametrize("size", [100, 6 << 20])
def test_a_read_that_ends_early_is_never_taken_for_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    run = a_folder(tmp_path / "run", {"a": b"x" * size})
    folder = open_run(run)
    tree = folder.scan()
    real_read, real_readv = os.read, os.readv
    ends = iter([1000, 0])
    monkeypatch.setattr(os, "read", lambda descriptor, _count: real_read(descriptor, 50))
    monkeypatch.setattr(os, "readv", lambda descriptor, views: real_readv(descriptor, [views[0][: next(ends)]]))
    with pytest.raises(RunChangedError):
        folder.hash(tree)


@pytest.mark.parametrize("change", ["new", "gone", "swapped", "rewritten", "new folder"])
def test_a_folder_that_changes_while_others_are_read_is_noticed(tmp_path: Path, change: str) -> None:
    run = a_folder(tmp_path / "run", {f"f{n}": "1" for n in range(5)} | {"z": "1"})
    folder = open_run(run)
    tree = folder.scan()

    def interfere(path: str, _facts: FileFacts) -> bool:
        match change if path == "f4" else "":
            case "new":
                (run / "late").write_bytes(b"")
            case "gone":
                (run / "f0").unlink()
            case "swapped":
                (run / "f0").unlink()
                (run / "f0").symlink_to("f1")
            case "rewritten":
                facts = (run / "f0").stat()
                (run / "f0").write_bytes(b"2")
                os.utime(run / "f0", ns=(facts.st_atime_ns, facts.st_mtime_ns))
            case "new folder":
                (run / "folder").mkdir()
        return False

    with pytest.raises(RunChangedError):
        folder.hash(tree, Copying(stage=MemoryStage(), alone=interfere))


def test_a_folder_swapped_for_a_link_never_leads_outside(tmp_path: Path) -> None:
    outside = a_folder(tmp_path / "outside", {"secret": "top secret"})
    run = a_folder(tmp_path / "run", {"sub/secret": "harmless!!"})
    folder = open_run(run)
    tree = folder.scan()
    hashed = folder.hash(tree)
    shutil.rmtree(run / "sub")
    (run / "sub").symlink_to(outside)

    with pytest.raises(RunChangedError):
        folder.hash(tree)
    with pytest.raises(RunChangedError):
        folder.source(hashed.entries[0]).open()
    assert folder.read_small("sub/secret", 100) is None


def test_a_source_opens_only_the_file_that_was_hashed(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"d/a": "body"})
    folder = open_run(run)
    tree = folder.scan()
    (entry,) = folder.hash(tree).entries
    with folder.source(entry, tree.files["d/a"]).open() as opened:
        assert opened.read() == b"body"
    (run / "d/a").write_bytes(b"BODY")
    with pytest.raises(RunChangedError, match="settle again"):
        folder.source(entry, tree.files["d/a"]).open()
    (run / "d/a").unlink()
    os.mkfifo(run / "d/a")
    with pytest.raises(RunChangedError):
        folder.source(entry).open()


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "b": "2"})
    hashes = FakeHashes()
    later = (run / "a").stat().st_ctime_ns + 3_000_000_000
    folder = LocalFolder(str(run), hashes=hashes, wall_ns=lambda: later)
    first = folder.hash(folder.scan())
    facts, _ = hashes.rooms[str(run)]["a"]
    hashes.rooms[str(run)]["a"] = (facts, Digest("f" * 64))  # a lie shows that the cache is believed

    second = {e.path: e.sha256 for e in folder.hash(folder.scan()).entries}

    assert second["a"] == "f" * 64
    assert second["b"] == {e.path: e.sha256 for e in first.entries}["b"]
    (run / "a").write_bytes(b"3")
    assert digests(folder)["a"] == hashlib.sha256(b"3").hexdigest()


def test_a_file_that_changed_just_before_it_was_hashed_is_not_remembered(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"old": "1", "racy": "2"})
    hashes = FakeHashes()
    soon = (run / "racy").stat().st_ctime_ns + 1_000_000_000
    folder = LocalFolder(str(run), hashes=hashes, wall_ns=lambda: soon)
    folder.hash(folder.scan())
    assert str(run) not in hashes.rooms


def test_what_left_the_folder_leaves_the_cache(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "b": "2"})
    hashes = FakeHashes()
    later = (run / "b").stat().st_ctime_ns + 3_000_000_000
    folder = LocalFolder(str(run), hashes=hashes, wall_ns=lambda: later)
    folder.hash(folder.scan())
    (run / "a").unlink()
    folder.hash(folder.scan())
    assert set(hashes.rooms[str(run)]) == {"b"}


def test_a_dropped_file_is_a_run_of_one_entry(tmp_path: Path) -> None:
    file = a_folder(tmp_path, {"profile.csv": "a,b\n"}) / "profile.csv"
    folder = LocalFolder(str(file), unit="file", hashes=NoHashes())
    tree = folder.scan()
    (entry,) = folder.hash(tree).entries
    assert (entry.path, entry.size, folder.name) == ("profile.csv", 4, "profile.csv")
    with folder.source(entry, tree.files["profile.csv"]).open() as opened:
        assert opened.read() == b"a,b\n"


def test_small_files_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "12345", "d/b": "1"})
    folder = open_run(run)
    assert folder.read_small("a", 5) == b"12345"
    assert folder.read_small("a", 4) is None
    assert folder.read_small("nothing", 5) is None
    assert folder.read_small("d", 5) is None
    assert folder.read_small("a/b", 5) is None


def test_a_vanished_folder_has_changed(tmp_path: Path) -> None:
    with pytest.raises(RunChangedError):
        open_run(tmp_path / "gone").scan()


_names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in {".", "..", ".sealrun"} and len(name.encode()) < 200
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(_names, st.binary(max_size=20), min_size=1, max_size=5))
def test_any_utf8_name_survives_scanning_hashing_and_opening(
    tmp_path_factory: pytest.TempPathFactory, bodies: dict[str, bytes]
) -> None:
    run = a_folder(tmp_path_factory.mktemp("run"), bodies)
    folder = open_run(run)
    hashed = folder.hash(folder.scan())
    assert {e.path: e.sha256 for e in hashed.entries} == {
        name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()
    }
    for entry in hashed.entries:
        with folder.source(Entry(entry.path, entry.size, entry.sha256)).open() as opened:
            assert opened.read() == bodies[entry.path]


def test_packs_of_which_every_file_is_known_are_left_alone(tmp_path: Path) -> None:
    a_folder(tmp_path / "run", {"a": "1", "b": "2", "c": "3", "d": "4"})
    hashes = FakeHashes()
    folder = LocalFolder(str(tmp_path / "run"), hashes=hashes, wall_ns=lambda: 1 << 62)
    first = folder.hash(folder.scan())
    (tmp_path / "run" / "d").write_bytes(b"5")
    copying = Copying(stage=MemoryStage(), alone=lambda *_: False, packs=[[0, 1], [2, 3]])
    again = folder.hash(folder.scan(), copying)
    assert list(again.entries)[:3] == list(first.entries)[:3]
    assert [len(pack.members) for pack in again.packs] == [1]
    third = folder.hash(folder.scan(), copying)
    assert (third.packs, list(third.entries)) == ((), list(again.entries))


class Calls:
    """Counts the calls of `os` that a look at a file, or reading it, is made of."""

    NAMES = ("open", "read", "readv", "fstat", "close", "stat", "lstat", "scandir", "pread", "lseek")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made: Counter[str] = Counter()
        for name in self.NAMES:
            patch.setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            self.made[name] += 1
            return call(*args, **options)

        return counted


def test_a_small_file_costs_four_calls_to_read_into_a_pack_and_one_for_each_of_two_looks(tmp_path: Path) -> None:
    made: dict[int, Counter[str]] = {}
    for count in (100, 300):
        run = a_folder(tmp_path / f"{count}", {f"d{at % 5}/{at:04}": f"{at}" for at in range(count)})
        stage = MemoryStage()
        with pytest.MonkeyPatch.context() as patch:
            calls = Calls(patch)
            folder = open_run(run)
            tree = folder.scan()
            copying = Copying(stage=stage, alone=nothing, packs=[range(count)])
            hashed = folder.hash(tree, copying)
        assert len(hashed.packs[0].members) == count
        made[count] = calls.made
    more = {name: made[300][name] - made[100][name] for name in Calls.NAMES if made[300][name] != made[100][name]}
    assert more == {"open": 200, "read": 200, "fstat": 200, "close": 200, "stat": 400}


@given(st.lists(st.text(st.sampled_from("ab./\\ \n\0é-_"), max_size=5), max_size=6))
def test_paths_are_plain_only_where_nothing_is_wrong_with_any_of_them(paths: list[str]) -> None:
    if are_plain(paths):
        assert [path_problem(path) for path in paths] == [None] * len(paths)


def test_usual_paths_are_plain_at_one_look() -> None:
    assert are_plain([f"{at // 10:03}/weights-{at}.bin" for at in range(5_000)])
    assert not are_plain(["a", "", "b"])
    assert not are_plain(["a/", "b"])
    assert not are_plain(["a", ".."])

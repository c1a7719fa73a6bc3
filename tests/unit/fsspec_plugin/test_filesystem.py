from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr
from tests.builders.libraries import Library

from sealrun.bootstrap.products.browsing import close_shared
from sealrun.domain import errors
from sealrun.domain.records import sha256
from sealrun.fsspec_plugin import SealrunFileSystem
from sealrun.fsspec_plugin.errors import NoRegistryThereError
from sealrun.fsspec_plugin.files import RunFile

_BIG = bytes(range(256)) * 8192  # more than is read whole
_FILES: dict[str, bytes | str] = {
    "metrics.csv": "a,b\n1,2\n",
    "model/weights": _BIG,
    "model/notes.txt": "fine",
    "empty": "",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Library, str]:
    """A library with one run that no test changes."""
    room = tmp_path_factory.mktemp("library")
    library = Library(room, str(room / "registry"))
    return library, library.publish(_FILES, names={"metrics.csv": "train-metrics.csv"}, best="model/weights")


@pytest.fixture
def fs(shared: tuple[Library, str]) -> SealrunFileSystem:
    return SealrunFileSystem(**shared[0].options)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library of the test's own."""
    return Library(tmp_path, str(tmp_path / "registry"))


def test_folders_are_listed_and_files_have_the_size_and_digest_of_the_manifest(
    fs: SealrunFileSystem, shared: tuple[Library, str]
) -> None:
    ref = shared[1]
    assert fs.ls("", detail=False) == ["train"]
    assert [found["name"] for found in fs.ls("train")] == [ref]
    assert sorted(fs.ls(ref, detail=False)) == [f"{ref}/{name}" for name in ("best", "empty", "metrics.csv", "model")]
    assert fs.find("train@latest/model") == ["train@latest/model/notes.txt", "train@latest/model/weights"]
    assert fs.glob("train@latest/*/w*") == ["train@latest/model/weights"]
    info = fs.info(f"sealrun://{ref}/model/weights")
    assert (info["size"], info["sha256"], info["type"]) == (len(_BIG), sha256(_BIG), "file")
    assert fs.info(ref)["root_sha256"] == fs.ukey("train@latest")
    assert fs.info("train@latest/best")["destination"] == "model/weights"
    assert fs.du("train@latest") > 2 * len(_BIG)
    assert [sorted(files) for _, _, files in fs.walk("train@latest/model")] == [["notes.txt", "weights"]]
    with pytest.raises(FileNotFoundError, match="nothing"):
        fs.info("train@latest/nothing")
    with pytest.raises(FileNotFoundError, match="train@other"):
        fs.ls("train@other")
    with pytest.raises(IsADirectoryError):
        fs.cat_file("train@latest/model")


def test_a_file_is_read_by_every_kind_of_reference(fs: SealrunFileSystem, shared: tuple[Library, str]) -> None:
    ref = shared[1]
    browser = fs._lookup.browser
    urn = browser.open(browser.resolve(ref)).view.envelope.urn
    for path in (f"{ref}/metrics.csv", f"{ref}:metrics.csv", "train@latest/metrics.csv", "train-metrics.csv"):
        assert fs.cat_file(path) == b"a,b\n1,2\n"
        assert fs.isfile(path)
    assert fs.cat_file(f"{urn}/metrics.csv") == b"a,b\n1,2\n"
    assert fs.isdir(urn)
    assert fs.pinned["train-metrics.csv"] == fs.pinned["train@latest"] == ref


def test_parts_of_files_are_what_slices_are(fs: SealrunFileSystem) -> None:
    name = "train@latest/model/weights"
    for start, end in ((0, 10), (5, None), (-7, None), (None, -3), (-9, -4), (10, 5), (len(_BIG) - 1, len(_BIG) + 9)):
        assert fs.cat_file(name, start, end) == _BIG[start:end]
    assert fs.cat_file("train@latest/empty") == b""
    found = fs.cat_ranges([name, name, "train@latest/metrics.csv", "train@latest/no"], [0, 3, 2, 0], [4, 9, None, 1])
    assert found[:3] == [_BIG[:4], _BIG[3:9], b"b\n1,2\n"]
    assert isinstance(found[3], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["train@latest/no"], 0, 1, on_error="raise")


def test_many_files_are_read_at_once(fs: SealrunFileSystem) -> None:
    found = fs.cat("train@latest", recursive=True)
    expected = {name: body.encode() if isinstance(body, str) else body for name, body in _FILES.items()}
    assert found == {f"train@latest/{name}": body for name, body in {**expected, "best": _BIG}.items()}
    assert fs.cat(["train@latest/empty", "train@latest/no"], on_error="omit") == {"train@latest/empty": b""}


def test_every_way_to_write_is_refused(fs: SealrunFileSystem, tmp_path: Path) -> None:
    here = str(tmp_path / "here")
    Path(here).write_text("x")
    name = "train@latest/new"
    attempts = [
        *(partial(fs.open, name, mode) for mode in ("w", "wb", "ab", "xb", "r+b", "w+")),
        *(partial(call, name) for call in (fs.mkdir, fs.makedirs, fs.rmdir, fs.touch, fs.rm, fs.rm_file)),
        *(partial(call, name, name) for call in (fs.copy, fs.cp_file, fs.mv, fs.rename)),
        *(partial(call, here, name) for call in (fs.put, fs.put_file, fs.upload)),
        *(partial(call, name, b"x") for call in (fs.pipe, fs.pipe_file, fs.write_bytes)),
        partial(fs.write_text, name, "x"),
        partial(fs.pipe, {name: b"x"}),
    ]
    for attempt in attempts:
        with pytest.raises(OSError, match="read-only") as refused:
            attempt()
        assert refused.value.errno == errno.EROFS


def test_a_reader_sees_one_run_while_pointers_move(library: Library) -> None:
    old = library.publish({"n": "1"})
    fs = SealrunFileSystem(**library.options)
    assert fs.cat_file("train@latest/n") == b"1"
    sent = pickle.dumps(fs)
    new = library.publish({"n": "2", "more": "x"})
    assert fs.cat_file("train@latest/n") == b"1"
    assert fs.ls("train@latest", detail=False) == ["train@latest/n"]
    arrived = pickle.loads(sent)  # noqa: S301 - made above
    assert arrived.cat_file("train@latest/n") == b"1"
    assert arrived == fs
    fresh = SealrunFileSystem(**library.options)
    assert fresh.cat_file("train@latest/n") == b"2"
    assert fresh != fs
    with fsspec.open("sealrun://train@latest/n", **library.options) as file:
        assert file.read() == b"2"
    fs.refresh()
    assert fs.cat_file("train@latest/n") == b"2"
    assert (arrived.pinned["train@latest"], fs.pinned["train@latest"]) == (old, new)


def test_threads_that_meet_a_pointer_at_once_agree_on_its_run(library: Library) -> None:
    library.publish({"n": "0"})
    fs = SealrunFileSystem(**library.options)
    with ThreadPoolExecutor(9) as pool:
        moving = pool.submit(lambda: [library.publish({"n": str(number)}) for number in range(1, 4)])
        seen = list(pool.map(lambda _: fs.cat_file("train@latest/n"), range(200)))
        moving.result()
    assert len(set(seen)) == 1


def _read_elsewhere(fs: SealrunFileSystem, answers: multiprocessing.Queue[bytes]) -> None:
    answers.put(fs.cat_file("train@latest/n"))


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_another_process_reads_the_same_run(library: Library, way: str) -> None:
    library.publish({"n": "1"})
    fs = SealrunFileSystem(**library.options)
    assert fs.cat_file("train@latest/n") == b"1"
    library.publish({"n": "2"})
    context = multiprocessing.get_context("fork") if way == "fork" else multiprocessing.get_context("spawn")
    answers = context.Queue()
    other = context.Process(target=_read_elsewhere, args=(fs, answers))
    other.start()
    assert answers.get(timeout=60) == b"1"
    other.join()
    assert other.exitcode == 0


def test_an_outage_is_never_taken_for_absence(library: Library) -> None:
    library.publish({"n": "1", "d/x": "2"})
    fs = SealrunFileSystem(**library.options)
    hidden = library.room / "elsewhere"
    (library.room / "registry").rename(hidden)
    asks = (fs.exists, fs.isfile, fs.isdir, fs.find, fs.ls, fs.cat_file, lambda path: fs.glob(f"{path}/*"))
    for ask in asks:
        with pytest.raises(OSError, match="registry") as failed:
            ask("train@latest")
        assert not isinstance(failed.value, FileNotFoundError)
    hidden.rename(library.room / "registry")
    assert fs.exists("train@latest/n")
    assert not fs.exists("train@latest/m")
    assert not fs.exists("no such: name")


def test_a_directory_that_is_no_registry_is_an_error_of_its_own(tmp_path: Path) -> None:
    fs = SealrunFileSystem(str(tmp_path), cache=False)
    with pytest.raises(OSError, match="no registry there") as failed:
        fs.exists("train@latest")
    assert type(failed.value) is NoRegistryThereError
    assert not issubclass(NoRegistryThereError, FileNotFoundError)


def _damage(library: Library, digest: str) -> None:
    """Flip a byte of the object that holds a file."""
    (stored,) = (library.room / "registry" / "store" / "objects").rglob(f"{digest[4:]}.*")
    body = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(bytes([body[0] ^ 1]) + body[1:])


def test_damaged_bytes_are_told_wherever_a_whole_file_is_read(library: Library, tmp_path: Path) -> None:
    library.publish({"big": _BIG, "small": "fine"})
    fs = SealrunFileSystem(**library.options)
    for digest in (sha256(_BIG), sha256(b"fine")):
        _damage(library, digest)
    target = tmp_path / "here"
    for name in ("train@latest/big", "train@latest/small"):
        for read in (fs.cat_file, lambda path: fs.open(path).read(), lambda path: fs.get_file(path, str(target))):
            with pytest.raises(errors.DigestMismatchError, match="verify") as failed:
                read(name)
            assert isinstance(failed.value, OSError)
            assert failed.value.errno == errno.EIO
            assert pickle.loads(pickle.dumps(failed.value)).errno == errno.EIO  # noqa: S301 - made here
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".sealrun")] == []
    found = fs.cat_ranges(["train@latest/big", "train@latest/small"], [9, 1], [12, 3])
    assert found[0] == _BIG[9:12]
    assert isinstance(found[1], errors.DigestMismatchError)


def test_a_run_that_goes_away_is_never_taken_for_missing_files(library: Library) -> None:
    """zarr reads a chunk that is not found as zeros."""
    room = library.room / "array"
    array = zarr.create_array(str(room / "a.zarr"), shape=(4,), chunks=(2,), dtype="i8", fill_value=0)
    array[:] = np.arange(4)
    library.publish(room)
    options = library.options
    held = zarr.open_array("sealrun://train@latest/a.zarr", mode="r", storage_options=options)
    assert np.asarray(held[:2]).tolist() == [0, 1]
    fs = SealrunFileSystem(**options)
    assert fs.exists("train@latest/a.zarr/c/0")
    sent = pickle.dumps(fs)
    shutil.rmtree(library.room / "registry" / "store")
    with pytest.raises(errors.IntegrityError, match="gone"):
        np.asarray(held[2:])
    shutil.rmtree(library.room / "registry" / "experiments")
    shutil.rmtree(library.room / "registry" / "attempts")
    close_shared()  # as in a process that begins now
    arrived = pickle.loads(sent)  # noqa: S301 - made above
    with pytest.raises(errors.ConflictError) as failed:
        arrived.exists("train@latest/a.zarr/c/0")
    assert isinstance(failed.value, OSError)
    assert failed.value.errno == errno.ESTALE


def test_files_are_copied_whole_or_not_at_all_and_with_usual_rights(fs: SealrunFileSystem, tmp_path: Path) -> None:
    fs.get("train@latest/model/", str(tmp_path / "model"), recursive=True)
    assert (tmp_path / "model" / "weights").read_bytes() == _BIG
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "model" / "notes.txt").stat().st_mode & 0o777 == 0o666 & ~mask
    with (tmp_path / "into").open("wb") as file:
        fs.get_file("train@latest/metrics.csv", file)
    assert (tmp_path / "into").read_bytes() == b"a,b\n1,2\n"


class Counting(fsspec.callbacks.Callback):  # type: ignore[misc] # fsspec ships no types
    """Remembers what it was told, and that nobody else told it something meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.children: dict[str, Counting] = {}
        self.threads: set[int] = set()
        self.updates: list[int] = []
        self.paths: list[str] = []
        self.closed = 0
        self.calling = threading.Lock()

    def relative_update(self, inc: int = 1) -> None:
        assert self.calling.acquire(blocking=False)
        self.threads.add(threading.get_ident())
        self.updates.append(self.value + inc)
        time.sleep(0.001)
        super().relative_update(inc)
        self.calling.release()

    def branched(self, path_1: str, path_2: str, **_options: object) -> Counting:
        child = self.children[path_1] = Counting()
        self.paths.append(path_2)
        child.calling = self.calling
        return child

    def close(self) -> None:
        self.closed += 1


def test_many_files_are_copied_at_once_and_a_callback_is_told_of_each(fs: SealrunFileSystem, tmp_path: Path) -> None:
    told = Counting()
    fs.get("train@latest/", str(tmp_path / "one"), recursive=True, callback=told)
    fs.get("train@latest/", str(tmp_path / "many"), recursive=True)
    for copy in ("one", "many"):
        found = {str(path.relative_to(tmp_path / copy)) for path in (tmp_path / copy).rglob("*") if path.is_file()}
        assert found == {*_FILES, "best"}
    assert told.value == told.size == len(told.children)
    assert told.updates == list(range(1, len(told.children) + 1))
    assert len({thread for child in told.children.values() for thread in child.threads}) > 1
    for path, child in told.children.items():
        assert child.closed == 1
        if fs.isfile(path):
            assert child.size == child.value == fs.info(path)["size"]
    with pytest.raises(FileNotFoundError):
        fs.get(["train@latest/empty", "train@latest/no"], [str(tmp_path / "a"), str(tmp_path / "b")])
    assert not (tmp_path / "b").exists()


def test_a_callback_is_told_of_no_file_that_was_not_copied(fs: SealrunFileSystem, tmp_path: Path) -> None:
    told = Counting()
    with pytest.raises(FileNotFoundError):
        fs.get(["train@latest/empty", "train@latest/no"], [str(tmp_path / "a"), str(tmp_path / "b")], callback=told)
    assert (told.size, told.value) == (2, (tmp_path / "a").exists())


def test_digests_are_keys_and_times_are_the_runs(fs: SealrunFileSystem, shared: tuple[Library, str]) -> None:
    name = "train@latest/model/weights"
    assert fs.ukey(name) == sha256(_BIG)
    assert fs.checksum(name) == int(sha256(_BIG), 16)
    assert fs.ukey("train@latest/model") != fs.ukey("train@latest")
    assert fs.ukey("train@latest/model") == fs.ukey(f"{shared[1]}/model")
    assert timedelta(0) <= datetime.now(UTC) - fs.modified(name) < timedelta(days=1)
    assert fs.created(name) == fs.modified(name)
    with pytest.raises(OSError, match="no time"):
        fs.modified("train")


def test_the_registry_is_found_in_the_settings_or_named_in_the_url(
    shared: tuple[Library, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = shared[0]
    monkeypatch.setenv("SEALRUN_CONFIG", str(library.settings()))
    for url in ("sealrun://train@latest/empty", "sealrun://train@latest/empty?registry=main"):
        with fsspec.open(url) as file:
            assert file.read() == b""
    with pytest.raises(errors.NoRegistryError, match="main"):
        fsspec.open("sealrun://train@latest/empty?registry=other")
    monkeypatch.delenv("SEALRUN_CONFIG")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(errors.NoRegistryError, match="configured"):
        fsspec.filesystem("sealrun")
    assert fsspec.filesystem("sealrun", config=str(library.room / "sealrun.toml")).exists("train@latest")
    monkeypatch.chdir(library.room)
    found = fsspec.filesystem("sealrun", registry="./registry")
    monkeypatch.chdir(tmp_path)
    assert found.exists("train@latest"), "a relative path is meant from where it was given"


def test_options_nobody_knows_are_refused() -> None:
    with pytest.raises(TypeError, match="regisrty"):
        fsspec.filesystem("sealrun", regisrty="main")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    fs = SealrunFileSystem("s3://bucket/prefix", storage_options={"key": "k", "secret": "hush"}, cache=str(tmp_path))
    for shown in (repr(fs), str(fs.__dask_tokenize__()), fs.fsid, repr(fs._lookup.spec)):
        assert "hush" not in shown


def test_an_open_file_goes_on_where_it_was_in_another_process(fs: SealrunFileSystem) -> None:
    with fs.open("train@latest/model/weights") as file:
        file.seek(1000)
        with pickle.loads(pickle.dumps(file)) as other:  # noqa: S301 - made here
            assert other.read(8) == file.read(8) == _BIG[1000:1008]
        assert file.size == file.details["size"] == len(_BIG)


def test_importing_sealrun_loads_no_fsspec() -> None:
    code = "import sys, sealrun; print('fsspec' in sys.modules, 'msgspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    code = "import sys, sealrun; sealrun.open_registry; print([m for m in ('fsspec', 's3fs') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_copy_has_the_permissions_of_any_new_file_and_nobody_sets_the_umask_to_learn_it(
    fs: SealrunFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")
            fs.get("train@latest/", str(tmp_path / "out"), recursive=True)
        modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*") if path.is_file()}
    finally:
        os.umask(before)
    assert modes == {0o640}


def test_a_file_that_another_thread_reads_can_be_read_in_a_forked_child(fs: SealrunFileSystem) -> None:
    file = fs.open("train@latest/model/weights", block_size=4096)
    assert isinstance(file, RunFile)
    file.read(10)
    entered, leave = threading.Event(), threading.Event()
    fetch = file._fetch

    def slow(offset: int, length: int) -> bytes:
        entered.set()
        assert leave.wait(60)
        return fetch(offset, length)

    file._fetch = slow
    reader = threading.Thread(target=lambda: (file.seek(1 << 20), file.read(100)))
    reader.start()
    assert entered.wait(60)
    file._fetch = fetch
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        file.seek(256)
        os._exit(0 if file.read(256) == bytes(range(256)) else 1)
    _, status = os.waitpid(child, 0)
    leave.set()
    reader.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert file.read() == _BIG[(1 << 20) + 100 :]

"""The commands of docs/how-to/recover-with-stock-tools.md, as they stand there, restore runs; sealrun is not asked."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.make_sample import EXPERIMENT, SAMPLE
from tests.docs.pages import DOCS, fences, shell
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints
from tests.fakes.stage import MemoryStage

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.adapters.stores.posix import PosixStore
from sealrun.domain.address import attempt_id
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.run import Completion
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.storage.opening import create_registry
from sealrun.services.watching.sealing import SealRequest, seal

PAGE = DOCS / "how-to" / "recover-with-stock-tools.md"
FIRST = "20260117T143052Z-ridge-a1b2c3"
REGISTRIES = {"directory": "REGISTRY=/srv/registry\n", "http": "REGISTRY=https://registry.example/prod\n"}
ODD = {
    "two words": b"1",
    " edges ": b"2",
    "line\nbreak": b"3",
    "ends with a break\n": b"4",
    "back\\slash\\n": b"5",
    "return\r": b"6",
    "quotes'\"$(touch gone)`": b"7",
    "%s %b": b"8",
    "naïve/日本語/🙂": b"9",
    "-rf": b"10",
    "empty": b"",
    "same as two words": b"1",
    "a  b/double  spaces": b"11",
}


@pytest.fixture
def serve() -> Iterator[object]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and ranges of files as any web server does."""

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            super().do_GET()
            return
        first, last = int(wanted[1]), int(wanted[2])
        body = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(body[first : last + 1])

    def log_message(self, *_: object) -> None:
        pass


def script(kind: str, find: str, registry: str) -> str:
    """The page's commands for one kind of registry and one way to find the run."""
    blocks = [(fence.mark.removeprefix("recover: "), fence.text) for fence in fences(PAGE) if "recover: " in fence.mark]
    chosen = [text for name, text in blocks if name in {kind, find, "common"}]
    assert len(chosen) == 7
    whole = "\n".join(chosen)
    assert REGISTRIES[kind] in whole
    return whole.replace(REGISTRIES[kind], f"REGISTRY='{registry}'\n")


def restored(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check(run: Path) -> None:
    """What is restored beside the bytes of the sample's runs."""
    assert (run / "artifacts" / "predict.sh").stat().st_mode & 0o100
    assert not (run / "artifacts" / "metrics.json").stat().st_mode & 0o100
    assert (run / "artifacts" / "plots").is_dir()
    assert str((run / "artifacts" / "model" / "current.bin").readlink()) == "weights.bin"


@pytest.mark.parametrize("kind", ["directory", "http"])
def test_the_latest_run_is_restored_and_verified(kind: str, serve: object, tmp_path: Path) -> None:
    registry = str(SAMPLE) if kind == "directory" else serve(SAMPLE)  # type: ignore[operator] # a function
    printed = shell(script(kind, "latest", registry), tmp_path)
    run = tmp_path / f"{FIRST}.r2"
    assert printed.count(": OK\n") == 10
    original = SAMPLE / "experiments" / EXPERIMENT / "runs" / run.name / "artifacts"
    assert restored(run / "artifacts") == restored(original)
    check(run)


def test_any_run_of_a_directory_is_restored_and_verified(tmp_path: Path) -> None:
    printed = shell(script("directory", "listing", str(SAMPLE)), tmp_path)
    assert "nightly" in printed
    original = SAMPLE / "experiments" / EXPERIMENT / "runs" / FIRST / "artifacts"
    assert restored(tmp_path / FIRST / "artifacts") == restored(original)
    check(tmp_path / FIRST)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["directory", "http"])
def test_every_name_survives(kind: str, packed: bool, serve: object, tmp_path: Path) -> None:  # noqa: FBT001 - a case
    source = tmp_path / "odd names"
    for name, body in ODD.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    (source / "-rf").chmod(0o755)
    (source / "line\nbreak").chmod(0o755)
    (source / "empty folder é").mkdir()
    (source / "a link").symlink_to("two words")
    registry = tmp_path / "registry with a space"
    publish(registry, source, packed=packed)
    assert (registry / "store" / "packs").exists() == packed
    place = str(registry) if kind == "directory" else serve(registry)  # type: ignore[operator] # a function
    here = tmp_path / "here"
    here.mkdir()
    printed = shell(script(kind, "latest", place), here)
    (run,) = (path.parent for path in here.glob("*/MANIFEST.sha256"))
    assert printed.count(": OK\n") == len(ODD) + 2
    assert restored(run / "artifacts") == ODD
    executable = {name for name in ODD if (run / "artifacts" / name).stat().st_mode & 0o100}
    assert executable == {"-rf", "line\nbreak"}
    assert (run / "artifacts" / "empty folder é").is_dir()
    assert str((run / "artifacts" / "a link").readlink()) == "two words"


@pytest.mark.parametrize("kind", ["directory", "http"])
def test_one_file_is_taken_out_of_a_pack(kind: str, serve: object, tmp_path: Path) -> None:
    source = tmp_path / "run"
    source.mkdir()
    files = {"metrics.json": b"{}", "my-metrics.json": b"other", "large": bytes(3 << 20)}
    for name, body in files.items():
        (source / name).write_bytes(body)
    registry = tmp_path / "registry"
    publish(registry, source, packed=True)
    place = str(registry) if kind == "directory" else serve(registry)  # type: ignore[operator] # a function
    here = tmp_path / "here"
    here.mkdir()
    (member,) = (fence.text for fence in fences(PAGE) if fence.mark == "recover: member")
    printed = shell(script(kind, "latest", place) + member, here)
    assert printed.count(": OK\n") == len(files) + 2
    assert hashlib.sha256(files["metrics.json"]).hexdigest() in printed.splitlines()[-1]


def publish(root: Path, folder: Path, *, packed: bool = False) -> None:
    """Publish `folder` to a new directory registry; small files in packs, if they are to be `packed`."""
    clock, entropy, store = FakeClock(), FakeEntropy(7), PosixStore(root, make=True)
    record = create_registry(store, clock, entropy)
    request = SealRequest(experiment=EXPERIMENT, completion=Completion("command", "sealrun", "declared"))
    sealing = seal(open_alone(str(folder), NoHashes()), request)
    ticket = AttemptTicket(
        attempt=attempt_id("20260117T150000Z", entropy.hex(16)),
        nonce=entropy.hex(32),
        created_at="2026-01-17T15:00:00Z",
        owner="test",
    )
    packing = Packing(PackOptions(least=1), MemoryStage) if packed else None
    publisher = Publisher(store, record.registry_id, FakeHints(), clock, entropy, "test", packing)
    publisher.publish(sealing.run, ticket, sealing.source)
    store.close()

"""Files and content in a registry that is no directory: fetched, verified, kept, and the same for everybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.builders.places import a_place
from tests.servers.endpoint import Endpoint
from tests.servers.recording import recording_requests
from tests.servers.seaweedfs import SeaweedFS

import sealrun
from sealrun.cli.main import run
from sealrun.domain.errors import ConflictError


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seaweedfs_server: SeaweedFS) -> Path:
    made = a_place(tmp_path, monkeypatch)
    (made / "sealrun.toml").write_text(
        f'version = 1\n[registry.main]\nurl = "s3://{seaweedfs_server.create_bucket()}/r"\n'
        f"storage_options = {toml(seaweedfs_server.storage_options)}\n"
    )
    return made


def test_a_file_is_published_and_fetched_by_its_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.csv").write_text("1")
    done = sealrun.publish("a.csv", section="2.3")
    assert done.path is None
    with pytest.raises(TypeError, match="in no directory on this machine"):
        open(done).close()  # noqa: PTH123 - it is no path
    path = sealrun.resolve("a.csv", section="2.3")
    assert path is not None
    assert (path.name, path.read_text()) == ("a.csv", "1")
    assert place / "cache" in path.parents
    assert sealrun.latest_manifest()[0]["path"] is None
    (place / "a.csv").write_text("2")
    with pytest.raises(ConflictError):
        sealrun.publish("a.csv", overwrite=False)
    capsys.readouterr()
    assert run(["resolve", "a.csv", "--section", "2.3"]) == 0
    assert capsys.readouterr().out.strip() == str(path)


def test_content_is_fetched_once_and_mended_if_the_copy_is_damaged(place: Path) -> None:
    made = place / "made"
    (made / "sub").mkdir(parents=True)
    (made / "a").write_text("1")
    (made / "sub/b").write_text("2")
    urn = sealrun.put(made, "dataset")
    path = sealrun.get(urn)
    assert place / "cache" in path.parents
    inode = (path / "a").stat().st_ino
    assert sealrun.get(urn) == path
    assert (path / "a").stat().st_ino == inode
    (path / "a").chmod(0o644)
    (path / "a").write_text("X")
    assert (sealrun.get(urn) / "a").read_text() == "1"
    assert sealrun.exists(urn)


GET = "import sealrun, sys; print(sealrun.get(sys.argv[1]))"


def test_processes_that_ask_for_the_same_content_fetch_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seaweedfs_server: SeaweedFS
) -> None:
    made = a_place(tmp_path, monkeypatch)
    with recording_requests(seaweedfs_server.endpoint_url) as proxy:
        endpoint = Endpoint(proxy.url, seaweedfs_server.access_key, seaweedfs_server.secret_key)
        (made / "sealrun.toml").write_text(
            f'version = 1\n[registry.main]\nurl = "s3://{seaweedfs_server.create_bucket()}/r"\n'
            f"storage_options = {toml(endpoint.storage_options)}\n"
        )
        (made / "model").mkdir()
        for name in ("one", "other"):
            (made / "model" / name).write_bytes(os.urandom(8 << 20))
        urn = sealrun.put("model", "model")
        for ref, size in ((urn, 16 << 20), (f"{urn}:one", 8 << 20)):
            proxy.take()
            askers = [
                subprocess.Popen([sys.executable, "-c", GET, ref], stdout=subprocess.PIPE, text=True) for _ in range(5)
            ]
            paths = {asker.communicate()[0].strip() for asker in askers}
            assert len(paths) == 1
            assert Path(paths.pop()).exists()
            assert size <= sum(exchange.received for exchange in proxy.take_exchanges()) < 1.3 * size


def test_who_asks_for_what_is_built_makes_a_few_requests_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seaweedfs_server: SeaweedFS
) -> None:
    made = a_place(tmp_path, monkeypatch)
    with recording_requests(seaweedfs_server.endpoint_url) as proxy:
        endpoint = Endpoint(proxy.url, seaweedfs_server.access_key, seaweedfs_server.secret_key)
        (made / "sealrun.toml").write_text(
            f'version = 1\n[registry.main]\nurl = "s3://{seaweedfs_server.create_bucket()}/r"\n'
            f"storage_options = {toml(endpoint.storage_options)}\n"
        )
        calls: list[Path] = []

        def build(folder: Path) -> None:
            calls.append(folder)
            for number in range(40):
                (folder / f"part-{number}").write_bytes(bytes([number]) * 10_000)

        first = sealrun.build_once({"lr": 0.1}, "model", build)
        proxy.take()
        again = sealrun.build_once({"lr": 0.1}, "model", build)
        assert (len(calls), again.reused, again.urn, again.path) == (1, True, first.urn, first.path)
        asked = proxy.take()
        assert {request.method for request in asked} <= {"GET", "HEAD"}
        assert len(asked) <= 16, [str(request) for request in asked]

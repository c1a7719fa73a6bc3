"""How many requests a whole `sealrun publish` sends to a bucket. A number that grows here is paid for by everybody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.servers.recording import RecordingProxy, Request, recording_requests
from tests.servers.seaweedfs import SeaweedFS

NEW_RUN = 17
"""registry.json; run.json looked for; intent; pack; run.json, manifest, MANIFEST.sha256; refs; OUTCOME; seal; row;
`latest`: list, read, next generation, projection, list; intent deleted."""
SAME_RUN = 8
"""registry.json; run.json; seals; outcome, retired; and what is learnt: manifest, refs; intent sought."""
AHEAD = 1
"""Where bytes go ahead of their run: a look whether the first of them are there."""
NAME = 6
PROBE = 110
"""A registry that this state folder has never seen is probed, once a day."""


SELDOM = "max-keys=32&"
"""One publication by command in 32, drawn by lot, looks whether as many rows wait: it is counted apart."""


class Publishing:
    """The program, a state folder, and the way to a registry of its own."""

    def __init__(self, room: Path, server: SeaweedFS, proxy: RecordingProxy, bucket: str) -> None:
        self.room = room
        self.proxy = proxy
        self.prefix = uuid4().hex
        self.url = f"s3://{bucket}/{self.prefix}"
        self._config = room / "sealrun.toml"
        self._config.write_text(
            f"""version = 1
[registry.main]
url = "{self.url}"
[registry.main.storage_options]
key = "{server.access_key}"
secret = "{server.secret_key}"
endpoint_url = "{proxy.url}"
"""
        )

    def run(self, name: str, files: int, size: int = 1000) -> Path:
        """Make the folder of a run with files that nobody has seen."""
        folder = self.room / "outbox" / name
        folder.mkdir(parents=True)
        for number in range(files):
            (folder / f"file-{number}").write_bytes(os.urandom(size))
        return folder

    def publish(self, folder: Path, *more: str, state: str = "state") -> list[Request]:
        """Publish in a process of its own; return what it asked."""
        self.proxy.take()
        home = self.room / state
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEALRUN_", "XDG_"))}
        environ = {**kept, "HOME": str(home), "SEALRUN_CONFIG": str(self._config), "SEALRUN_HOME": str(home)}
        command = [sys.executable, "-m", "sealrun", "publish", str(folder), "--experiment", "train", *more]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        asked = self.proxy.take()
        seldom = [one for one in asked if SELDOM in one.query]
        assert len(seldom) <= 1, told(asked)
        return [one for one in asked if one not in seldom]


@pytest.fixture(scope="module")
def bucket(seaweedfs_server: SeaweedFS) -> str:
    return seaweedfs_server.create_bucket()


@pytest.fixture
def publishing(tmp_path: Path, seaweedfs_server: SeaweedFS, bucket: str) -> Iterator[Publishing]:
    with recording_requests(seaweedfs_server.endpoint_url) as proxy:
        yield Publishing(tmp_path, seaweedfs_server, proxy, bucket)


def told(requests: list[Request]) -> str:
    return "\n".join(map(str, requests))


def test_a_registry_is_made_and_probed_within_a_bounded_number_of_requests(publishing: Publishing) -> None:
    asked = publishing.publish(publishing.run("first", 1))
    assert len(asked) <= NEW_RUN + PROBE, told(asked)


def test_small_files_cost_no_requests_of_their_own(publishing: Publishing) -> None:
    publishing.publish(publishing.run("first", 1))
    for name, files in (("one", 1), ("hundred", 100)):
        asked = publishing.publish(publishing.run(name, files))
        assert len(asked) <= NEW_RUN, told(asked)
        assert [one for one in asked if one.method == "HEAD"] == []


def test_a_run_that_is_there_costs_a_few_looks_also_for_a_state_folder_that_does_not_know_it(
    publishing: Publishing,
) -> None:
    folder = publishing.run("run", 50)
    publishing.publish(folder)
    asked = publishing.publish(folder)
    assert len(asked) <= SAME_RUN, told(asked)
    publishing.publish(publishing.run("other", 1), state="another")
    asked = publishing.publish(folder, state="another")
    assert len(asked) <= SAME_RUN, told(asked)
    assert sum(one.method == "PUT" for one in asked) == 0


def test_bytes_that_go_ahead_cost_a_look_and_only_that_where_the_run_is_there(publishing: Publishing) -> None:
    publishing.publish(publishing.run("first", 1))
    folder = publishing.run("large", 50)
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode() * (2 << 20))
    asked = publishing.publish(folder)
    assert len(asked) <= NEW_RUN + 2 + AHEAD, told(asked)
    publishing.publish(publishing.run("other", 1), state="another")
    asked = publishing.publish(folder, state="another")
    assert len(asked) <= SAME_RUN + AHEAD, told(asked)
    assert sum(one.method == "PUT" for one in asked) == 0


def test_a_new_run_of_known_bytes_asks_once_for_all_of_them(publishing: Publishing) -> None:
    first = publishing.run("first", 50)
    publishing.publish(first)
    again = publishing.run("again", 1)
    for file in first.iterdir():
        (again / f"copy-{file.name}").write_bytes(file.read_bytes())
    asked = publishing.publish(again)
    # Beside a new run's: what is condemned, what is in quarantine, and whether the attempt that has the bytes stands.
    assert len(asked) <= NEW_RUN + 2 + 3, told(asked)


def test_a_published_name_costs_a_few_requests(publishing: Publishing) -> None:
    publishing.publish(publishing.run("first", 1))
    asked = publishing.publish(publishing.run("named", 2), "--name", "file-0=best.bin")
    assert len(asked) <= NEW_RUN + 1 + NAME, told(asked)


def test_a_process_needs_no_more_connections_than_it_has_requests_in_flight(publishing: Publishing) -> None:
    publishing.publish(publishing.run("first", 1))
    before = publishing.proxy.connections
    publishing.publish(publishing.run("second", 1))
    # Three for records (manifest, sums and refs go side by side), one for bytes and looks: there are two clients.
    assert publishing.proxy.connections - before <= 3 + 1

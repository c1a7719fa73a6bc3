"""The parties: what each is told to do, and what it promises. sealrun and the floors here, others in `peers`."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import server
from benchmarks.workloads import Step

Target = Literal["dir", "s3"]
Argv = list[str]
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Room:
    """A fresh place for one party: `folder` for its state and, as a directory target, `store`; else a bucket."""

    folder: Path
    target: Target
    bucket: str = ""
    endpoint: str = ""

    @property
    def store(self) -> Path:
        """The directory target."""
        return self.folder / "store"

    def environment(self) -> Mapping[str, str]:
        """Return what every command runs with: no settings of the user, the server's keys, state inside the room."""
        return {
            "PATH": server.search_path(),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": server.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": server.SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "FLOOR_ENDPOINT": self.endpoint,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_S_TYPE": "s3",
            "RCLONE_CONFIG_S_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_S_ENV_AUTH": "true",
            "RCLONE_CONFIG_S_ENDPOINT": self.endpoint,
            "RESTIC_PASSWORD": "bench",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "DVC_SITE_CACHE_DIR": str(self.folder / "dvc-site"),
            "DVC_NO_ANALYTICS": "1",
            "SEALRUN_HOME": str(self.folder / "state"),
            "SEALRUN_CONFIG": str(self.folder / "sealrun.toml"),
        }


class Party:
    """One tool that brings folders into a room and back; `program` is looked for on PATH.

    `durable` says what is on disk when its command returns, before the sync that follows for everybody; `checked` what
    it knows of the content; `caches` what it keeps between two commands in a room.
    """

    name: str
    program: str
    peer = True
    targets: tuple[Target, ...] = ("dir", "s3")
    asks_version: tuple[str, ...] = ("--version",)
    durable = ""
    checked = ""
    caches = "none"

    def prepare(self, room: Room) -> list[Argv]:  # noqa: ARG002 - most need nothing
        """Do once, off the clock, what the tool demands before its first use; return commands to be run."""
        return []

    def ready(self, room: Room, source: Path, step: Step) -> list[Argv]:  # noqa: ARG002 - most need nothing
        """Return commands that bring a step's input into place, off the clock."""
        return []

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Return the command to be measured."""
        raise NotImplementedError

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:  # noqa: ARG002 - some cannot
        """Return the command that writes what was published to `destination`, which does not exist; None: it cannot."""
        return None

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:  # noqa: ARG002 - some cannot
        """Return the command that reads and checks every stored byte; None: it cannot."""
        return None

    def one_file(self, room: Room, step: Step, path: str) -> Argv | None:  # noqa: ARG002 - some cannot
        """Return the command that prints one file; None: not measured."""
        return None

    def installed(self, target: Target) -> bool:  # noqa: ARG002 - most need the same for both
        """Is it here?"""
        return shutil.which(self.program, path=server.search_path()) is not None

    def version(self) -> str:
        """Return the first line that the program says of its version."""
        argv = [shutil.which(self.program, path=server.search_path()) or self.program, *self.asks_version]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout  # noqa: S603 - see the parties
        return said.strip().split("\n", 1)[0]


class Sealrun(Party):
    """``sealrun publish``, the whole process, into a registry that a tiny run has initialised and probed."""

    name = "sealrun"
    program = sys.executable
    peer = False
    asks_version = ("-m", "sealrun", "--version")
    durable = "everything but the links of the run folder (folder); acknowledged by the server (S3)"
    checked = "sha256 of every byte, before it is named; size and identity of each file after hashing"
    caches = "digests of unchanged files, places of stored digests (SQLite)"
    _command: tuple[str, ...] = (sys.executable, "-m", "sealrun")

    def prepare(self, room: Room) -> list[Argv]:
        """Write the settings, and publish one line."""
        self._configure(room)
        line = room.folder / "line.txt"
        line.write_text("warm\n")
        return [[*self._command, "publish", str(line), "--experiment", "warm", "--json"]]

    @staticmethod
    def _configure(room: Room) -> None:
        lines = ["version = 1", "[registry.main]"]
        lines += [f"url = {json.dumps(str(room.store) if room.target == 'dir' else f's3://{room.bucket}/registry')}"]
        if room.target == "s3":
            lines += ["[registry.main.storage_options]", f"endpoint_url = {json.dumps(room.endpoint)}"]
        (room.folder / "sealrun.toml").write_text("\n".join(lines) + "\n")

    def publish(self, room: Room, source: Path, step: Step) -> Argv:  # noqa: ARG002 - the same for all
        """Name no run id: it comes from the content."""
        return [*self._command, "publish", str(source), "--experiment", "bench", "--json"]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:  # noqa: ARG002 - the same for all
        """Restore the newest run, verified."""
        return [*self._command, "get", "bench@latest", str(destination)]

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:  # noqa: ARG002 - the same for all
        """Verify the whole registry."""
        return [*self._command, "verify", "--all"]

    def one_file(self, room: Room, step: Step, path: str) -> Argv | None:  # noqa: ARG002 - the same for all
        """Print it, verified."""
        return [*self._command, "cat", f"bench@latest:{path}"]


class SealrunAnew(Sealrun):
    """The same without anything prepared: making and probing the registry and the state folder are inside."""

    name = "sealrun-new"

    def prepare(self, room: Room) -> list[Argv]:
        """Write the settings."""
        self._configure(room)
        return []

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:  # noqa: ARG002 - measured above
        """Leave that to the other one."""
        return None

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:  # noqa: ARG002 - measured above
        """Leave that to the other one."""
        return None

    def one_file(self, room: Room, step: Step, path: str) -> Argv | None:  # noqa: ARG002 - measured above
        """Leave that to the other one."""
        return None


class Floor(Party):
    """`benchmarks.floors`: the least Python work."""

    program = sys.executable
    peer = False
    form: str
    durable = "one syncfs, then the manifest (folder); acknowledged by the server (S3)"
    checked = "sha256 of every byte"
    caches = "places of stored digests (one JSON file)"

    def installed(self, target: Target) -> bool:
        """S3 needs obstore."""
        return target == "dir" or importlib.util.find_spec("obstore") is not None

    def version(self) -> str:
        """Return what it runs on."""
        return f"CPython {sys.version.split()[0]}"

    def _argv(self, room: Room, action: str) -> Argv:
        store = str(room.store) if room.target == "dir" else f"s3://{room.bucket}"
        return [sys.executable, "-m", "benchmarks.floors", self.form, action, store, str(room.folder / "index.json")]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Store under the step's name."""
        return [*self._argv(room, "publish"), str(source), "--name", step.place]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Read it back."""
        return [*self._argv(room, "restore"), str(destination), "--name", step.place]

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:  # noqa: ARG002 - it reads its store
        """Hash the store on every processor: the limit."""
        return self._argv(room, "verify")


class FloorPack(Floor):
    """Small files in packs."""

    name = "floor-pack"
    form = "pack"


class FloorCas(Floor):
    """One object for each content."""

    name = "floor-cas"
    form = "cas"

"""The parties: sealrun, the tools it is compared with, and the floors that nobody can be quicker than."""

from __future__ import annotations

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

Target = Literal["dir", "s3"]
Argv = list[str]


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
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": server.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": server.SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_S_TYPE": "s3",
            "RCLONE_CONFIG_S_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_S_ENV_AUTH": "true",
            "RCLONE_CONFIG_S_ENDPOINT": self.endpoint,
            "RESTIC_PASSWORD": "bench",
            "SEALRUN_HOME": str(self.folder / "state"),
            "SEALRUN_CONFIG": str(self.folder / "sealrun.toml"),
        }


class Party:
    """One command that brings a folder into a room; `program` is looked for on PATH."""

    name: str
    program: str
    targets: tuple[Target, ...] = ("dir", "s3")
    asks_version: tuple[str, ...] = ("--version",)

    def prepare(self, room: Room) -> list[Argv]:  # noqa: ARG002 - most need nothing
        """Do once, off the clock, what the tool demands before its first use; return commands to be run."""
        return []

    def publish(self, room: Room, source: Path, workload: str) -> Argv:
        """Return the command to be measured."""
        raise NotImplementedError

    def installed(self) -> bool:
        """Is it here?"""
        return shutil.which(self.program, path=server.search_path()) is not None

    def version(self) -> str:
        """Return the first line that the program says of its version."""
        argv = [shutil.which(self.program, path=server.search_path()) or self.program, *self.asks_version]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout  # noqa: S603 - see the parties
        return said.strip().split("\n", 1)[0]


class Sealrun(Party):
    """``sealrun publish`` with a fresh state folder and registry, start-up, probe and the making of both included."""

    name = "sealrun"
    program = sys.executable
    asks_version = ("-m", "sealrun", "--version")

    def prepare(self, room: Room) -> list[Argv]:
        """Write the settings."""
        options = {"endpoint_url": room.endpoint}
        lines = ["version = 1", "[registry.main]"]
        lines += [f"url = {json.dumps(str(room.store) if room.target == 'dir' else f's3://{room.bucket}/registry')}"]
        if room.target == "s3":
            lines += ["[registry.main.storage_options]", *(f"{key} = {json.dumps(options[key])}" for key in options)]
        (room.folder / "sealrun.toml").write_text("\n".join(lines) + "\n")
        return []

    def publish(self, room: Room, source: Path, workload: str) -> Argv:  # noqa: ARG002 - the same for all
        """Name no run id: it comes from the content."""
        return [sys.executable, "-m", "sealrun", "publish", str(source), "--experiment", "bench", "--json"]


class Cp(Party):
    """``cp -r``: no hashing, nothing checked."""

    name = "cp -r"
    program = "cp"
    targets = ("dir",)

    def publish(self, room: Room, source: Path, workload: str) -> Argv:
        """Copy for real, even where the file system could share blocks."""
        return ["cp", "-r", "--reflink=never", str(source), str(room.store / workload)]


class Sha256sum(Party):
    """``sha256sum`` over all files: the floor of hashing. It writes nothing."""

    name = "sha256sum"
    program = "sha256sum"
    targets = ("dir",)

    def publish(self, room: Room, source: Path, workload: str) -> Argv:  # noqa: ARG002 - it stores nothing
        """Hash in one process."""
        return ["sh", "-c", 'find "$1" -type f -print0 | xargs -0 sha256sum >/dev/null', "sh", str(source)]


class Rclone(Party):
    """``rclone copy`` with the flags that serve it best here; it compares checksums after each transfer."""

    name = "rclone"
    program = "rclone"
    asks_version = ("version",)

    def publish(self, room: Room, source: Path, workload: str) -> Argv:
        """Copy beside what is there; on S3, unchanged files of the run before are copied inside the server."""
        argv = ["rclone", "copy", "-q", "--checksum", str(source)]
        if room.target == "dir":
            return [*argv, str(room.store / workload), "--transfers=8", "--checkers=8"]
        root = f"s:{room.bucket}"
        argv += [f"{root}/{workload}", "--checkers=32", "--fast-list", "--s3-no-check-bucket", "--s3-no-head"]
        argv += ["--s3-chunk-size=64M", "--s3-upload-concurrency=4", f"--transfers={2 if workload == 'large' else 32}"]
        return [*argv, f"--copy-dest={root}/mixed"] if workload == "mixed again" else argv


class S5cmd(Party):
    """``s5cmd cp``."""

    name = "s5cmd"
    program = "s5cmd"
    targets = ("s3",)
    asks_version = ("version",)

    def publish(self, room: Room, source: Path, workload: str) -> Argv:
        """Use many workers for many small files, few for few big ones."""
        workers = {"small": 256, "large": 8}.get(workload, 32)
        argv = ["s5cmd", "--log=error", f"--endpoint-url={room.endpoint}", f"--numworkers={workers}"]
        return [*argv, "cp", "--concurrency=2", f"{source}/", f"s3://{room.bucket}/{workload}/"]


class Restic(Party):
    """``restic backup``: chunks, compresses, encrypts and packs."""

    name = "restic"
    program = "restic"
    asks_version = ("version",)

    def _argv(self, room: Room) -> Argv:
        where = str(room.store) if room.target == "dir" else f"s3:{room.endpoint}/{room.bucket}/restic"
        return ["restic", "--quiet", "--repo", where]

    def prepare(self, room: Room) -> list[Argv]:
        """Create the repository."""
        return [[*self._argv(room), "init"]]

    def publish(self, room: Room, source: Path, workload: str) -> Argv:  # noqa: ARG002 - the same for all
        """Back up; the second time, into the same repository."""
        return [*self._argv(room), "backup", str(source)]


PARTIES: tuple[Party, ...] = (Sealrun(), Cp(), Sha256sum(), Rclone(), S5cmd(), Restic())

# What ratios refer to.
BASES: Mapping[Target, str] = {"dir": "cp -r", "s3": "rclone"}

"""The tools that people use today, each with the flags that serve it best here."""

from __future__ import annotations

from pathlib import Path

from benchmarks.parties import Argv, FloorCas, FloorPack, Party, Room, Sealrun, SealrunAnew, Target
from benchmarks.workloads import Step

_NOTHING = "nothing (folder); acknowledged by the server (S3)"


class Cp(Party):
    """``cp -r``: no hashing, nothing checked."""

    name = "cp -r"
    program = "cp"
    targets = ("dir",)
    durable = "nothing"
    checked = "not at all"

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Copy for real, even where the file system could share blocks; again means once more."""
        return ["cp", "-r", "--reflink=never", str(source), str(room.store / step.name)]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Copy it back."""
        return ["cp", "-r", "--reflink=never", str(room.store / step.published), str(destination)]


class Sha256sum(Party):
    """``sha256sum`` over all files, in one thread. It writes nothing."""

    name = "sha256sum"
    program = "sha256sum"
    peer = False
    targets = ("dir",)
    durable = "it writes nothing"
    checked = "sha256, one thread"

    def publish(self, room: Room, source: Path, step: Step) -> Argv:  # noqa: ARG002 - it stores nothing
        """Hash in one process."""
        return ["sh", "-c", 'find "$1" -type f -print0 | xargs -0 sha256sum >/dev/null', "sh", str(source)]


class Rclone(Party):
    """``rclone copy``; it compares checksums after each transfer."""

    name = "rclone"
    program = "rclone"
    asks_version = ("version",)
    durable = _NOTHING
    checked = "checksums compared after a copy to a folder, sent along to S3"

    @staticmethod
    def _place(room: Room, name: str) -> str:
        return str(room.store / name) if room.target == "dir" else f"s:{room.bucket}/{name}"

    @staticmethod
    def _flags(room: Room, step: Step) -> Argv:
        if room.target == "dir":
            return ["-q", "--checksum", "--transfers=8", "--checkers=8"]
        few = "large" in step.place
        flags = ["-q", "--checksum", "--checkers=32", "--fast-list", "--s3-no-check-bucket", "--s3-no-head"]
        return [*flags, "--s3-chunk-size=64M", "--s3-upload-concurrency=4", f"--transfers={2 if few else 32}"]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Copy beside what is there; on S3, unchanged files of the run before are copied inside the server."""
        argv = ["rclone", "copy", *self._flags(room, step), str(source), self._place(room, step.place)]
        again = step.place == "mixed again" and room.target == "s3"
        return [*argv, f"--copy-dest={self._place(room, 'mixed')}"] if again else argv

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Copy it back."""
        return ["rclone", "copy", *self._flags(room, step), self._place(room, step.place), str(destination)]

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:
        """Download and compare with the source."""
        return ["rclone", "check", "--download", *self._flags(room, step), str(source), self._place(room, step.place)]

    def one_file(self, room: Room, step: Step, path: str) -> Argv | None:
        """Print it."""
        return ["rclone", "cat", f"{self._place(room, step.place)}/{path}"]


class S5cmd(Party):
    """``s5cmd cp``."""

    name = "s5cmd"
    program = "s5cmd"
    targets = ("s3",)
    asks_version = ("version",)
    durable = "acknowledged by the server"
    checked = "what its SDK sends along"

    @staticmethod
    def _argv(room: Room, step: Step) -> Argv:
        workers = 256 if "small" in step.place else 8 if "large" in step.place else 32
        return ["s5cmd", "--log=error", f"--endpoint-url={room.endpoint}", f"--numworkers={workers}"]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Use many workers for many small files, few for few big ones; ``sync`` where it has been before."""
        where = f"s3://{room.bucket}/{step.place}/"
        if step.place != step.name:
            return [*self._argv(room, step), "sync", f"{source}/", where]
        return [*self._argv(room, step), "cp", "--concurrency=2", f"{source}/", where]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Copy it back."""
        return [
            *self._argv(room, step),
            "cp",
            "--concurrency=2",
            f"s3://{room.bucket}/{step.place}/*",
            f"{destination}/",
        ]


class Restic(Party):
    """``restic backup``: chunks, compresses, encrypts and packs."""

    name = "restic"
    program = "restic"
    asks_version = ("version",)
    durable = "its packs and records (folder); acknowledged by the server (S3)"
    checked = "sha256 of every chunk"
    caches = "index and metadata of the repository"

    @staticmethod
    def _argv(room: Room) -> Argv:
        where = str(room.store) if room.target == "dir" else f"s3:{room.endpoint}/{room.bucket}/restic"
        return ["restic", "--quiet", "--repo", where]

    def prepare(self, room: Room) -> list[Argv]:
        """Create the repository."""
        return [[*self._argv(room), "init", "--repository-version", "2"]]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:  # noqa: ARG002 - the same for all
        """Back up; the second time, into the same repository."""
        return [*self._argv(room), "backup", str(source)]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:  # noqa: ARG002 - the same for all
        """Restore the newest snapshot."""
        return [*self._argv(room), "restore", "latest", "--target", str(destination)]

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:  # noqa: ARG002 - the same for all
        """Read all packs."""
        return [*self._argv(room), "check", "--read-data"]


class Borg(Party):
    """``borg create``: chunks, compresses and packs; no encryption."""

    name = "borg"
    program = "borg"
    targets = ("dir",)
    durable = "its segments and their commit"
    checked = "sha256 or BLAKE2 of every chunk"
    caches = "index of chunks, sizes and times of files"

    def prepare(self, room: Room) -> list[Argv]:
        """Create the repository."""
        return [["borg", "init", "-e", "none", str(room.store)]]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Create an archive by the step's name."""
        return ["borg", "create", f"{room.store}::{step.name.replace(' ', '-')}", str(source)]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Extract the archive."""
        script = 'mkdir "$1" && cd "$1" && exec borg extract "$2"'
        return ["sh", "-c", script, "sh", str(destination), f"{room.store}::{step.published.replace(' ', '-')}"]

    def verify(self, room: Room, source: Path, step: Step) -> Argv | None:  # noqa: ARG002 - the same for all
        """Read all chunks."""
        return ["borg", "check", "--verify-data", str(room.store)]


class Casync(Party):
    """``casync make``: chunks and compresses, one file for each chunk."""

    name = "casync"
    program = "casync"
    targets = ("dir",)
    durable = "nothing"
    checked = "sha512/256 of every chunk"

    @staticmethod
    def _argv(room: Room, action: str) -> Argv:
        return ["casync", action, f"--store={room.store}/chunks.castr", "--without=all"]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Make an index and its chunks."""
        return [*self._argv(room, "make"), str(room.store / f"{step.name}.caidx"), str(source)]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Extract it."""
        return [*self._argv(room, "extract"), str(room.store / f"{step.published}.caidx"), str(destination)]


class Dvc(Party):
    """``dvc add`` and ``dvc push`` of a run that lies in its workspace; the copy to there is off the clock."""

    name = "dvc"
    program = "dvc"
    durable = _NOTHING
    checked = "md5 of every byte"
    caches = "a copy of every file in its cache, sums of unchanged files"

    def prepare(self, room: Room) -> list[Argv]:
        """Make a workspace and its remote."""
        remote = str(room.store) if room.target == "dir" else f"s3://{room.bucket}/dvc"
        script = (
            'mkdir -p "$1" && cd "$1" && dvc init -q --no-scm && dvc config core.analytics false '
            '&& dvc config core.check_update false && dvc remote add -q -d r "$2"'
        )
        if room.target == "s3":
            script += ' && dvc remote modify r endpointurl "$3"'
        return [["sh", "-c", script, "sh", str(room.folder / "workspace"), remote, room.endpoint]]

    @staticmethod
    def _run(step: Step) -> str:
        return step.place.replace(" ", "-")

    def ready(self, room: Room, source: Path, step: Step) -> list[Argv]:
        """Bring the run into the workspace; to restore, make a workspace that has only the run's name."""
        here = room.folder / "workspace"
        if step.action == "publish" and step.place == step.name:
            return [["cp", "-r", str(source), str(here / self._run(step))]]
        if step.action != "restore":
            return []
        script = 'mkdir -p "$2/.dvc" && cp "$1/.dvc/config" "$2/.dvc/" && cp "$1/$3.dvc" "$2/"'
        return [["sh", "-c", script, "sh", str(here), str(room.folder / "restored"), self._run(step)]]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:  # noqa: ARG002 - it lies in the workspace
        """Add and push."""
        script = 'cd "$1" && dvc add -q "$2" && exec dvc push -q "$2"'
        return ["sh", "-c", script, "sh", str(room.folder / "workspace"), self._run(step)]

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:  # noqa: ARG002 - its workspace
        """Pull into a workspace with an empty cache."""
        return ["sh", "-c", 'cd "$1" && exec dvc pull -q', "sh", str(room.folder / "restored")]


class Aws(Party):
    """``aws s3 cp --recursive``."""

    name = "awscli"
    program = "aws"
    targets = ("s3",)
    durable = "acknowledged by the server"
    checked = "what its SDK sends along"

    @staticmethod
    def _argv(room: Room, *what: str) -> Argv:
        return ["aws", "--endpoint-url", room.endpoint, "s3", *what, "--only-show-errors"]

    def publish(self, room: Room, source: Path, step: Step) -> Argv:
        """Synchronise: where it has been before, it compares sizes and times."""
        return self._argv(room, "sync", str(source), f"s3://{room.bucket}/{step.place}")

    def restore(self, room: Room, step: Step, destination: Path) -> Argv | None:
        """Copy it back."""
        return self._argv(room, "cp", "--recursive", f"s3://{room.bucket}/{step.place}", str(destination))


PARTIES: tuple[Party, ...] = (
    Sealrun(),
    SealrunAnew(),
    FloorPack(),
    FloorCas(),
    Cp(),
    Sha256sum(),
    Rclone(),
    S5cmd(),
    Restic(),
    Borg(),
    Casync(),
    Dvc(),
    Aws(),
)

# What ratios refer to.
BASE = "floor-pack"
TARGETS: tuple[Target, ...] = ("dir", "s3")

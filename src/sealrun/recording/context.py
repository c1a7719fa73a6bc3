"""`RunContext`: a run of an experiment, as a context manager."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sealrun.domain.address import parse_name
from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject, json_line
from sealrun.recording.differing import DIFF_FILE, capture_diff
from sealrun.recording.durable import StrPath, make_folders, write_json, write_text
from sealrun.recording.environment import ENVIRONMENT_FILE, capture_environment, checked_variables
from sealrun.recording.heartbeat import DEFAULT_HEARTBEAT_S
from sealrun.recording.ids import algo_run_id
from sealrun.recording.places import Paths
from sealrun.recording.sections import DEFAULT_SECTIONS
from sealrun.recording.writer import RunWriter

if TYPE_CHECKING:
    from sealrun.recording.output import OutputCapture

_CHUNK = 1 << 20


class RunContext(RunWriter):
    """A run of an experiment in ``<experiments>/<experiment>/runs/<utc>-<algo>[-<tag>]-<rand6>``.

    ::

        with RunContext(experiment="dev", algo="hmc", tag="chain0") as run:
            config = run.add_input_file("config.yaml", role="config")
            run.write_json("metrics.json", {"loss": 0.1})

    The run succeeds when the block ends, and fails by an exception or SIGTERM; a process that is killed leaves a run
    that is sealed as ``interrupted``. Everything of `RunWriter` works here, too.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        experiment: str | None = None,
        algo: str = "run",
        tag: str | None = None,
        *,
        paths: Paths | None = None,
        pipeline_version: str | None = None,
        required_env: Iterable[str] = (),
        sections: Iterable[str] = DEFAULT_SECTIONS,
        phase: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Iterable[str] = (),
        keep_scratch: bool = False,
        capture: bool = False,
        diff: bool = True,
        record_env: Iterable[str] = (),
        heartbeat: float | None = DEFAULT_HEARTBEAT_S,
        seal: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a run; nothing is written before the block is entered.

        `experiment` is ``$SEALRUN_EXPERIMENT``, else ``default``, and `paths` are those of the environment
        (`Paths.from_env`). The scratch folder is removed when the run succeeded, unless `keep_scratch`. With
        `capture` everything that the process prints is also in ``logs/stdout.log`` and ``logs/stderr.log``; by default
        nothing is captured. Uncommitted changes of the code are in ``git.diff``, unless `diff` is false. `record_env`
        are names or patterns of further variables for ``environment.json``. `heartbeat` and `seal`: see `RunWriter`.
        """
        self.paths = paths or Paths.from_env(environ)
        self.experiment = parse_name(experiment or self.paths.experiment, "experiment")
        self.algo = algo
        self.tag = tag
        root = self.paths.runs(self.experiment)
        super().__init__(
            algo,
            pipeline_version,
            required_env,
            root=root,
            sections=sections,
            heartbeat=heartbeat,
            seal=seal,
            environ=environ,
        )
        self._about = {"experiment": self.experiment, "algo": algo, "tag": tag, "phase": phase}
        self._given = (params, tuple(tags))
        self._keep_scratch = keep_scratch
        self._scratch: Path | None = None
        self._variables = checked_variables(record_env)
        self._wants_diff = diff
        self._wants_output = capture
        self._capture: OutputCapture | None = None

    @property
    def inputs(self) -> Path:
        """A folder for copies of inputs that belong to the run, made when it is asked for."""
        return self.folder("inputs")

    @property
    def logs(self) -> Path:
        """A folder for logs of the run's own tools, made when it is asked for."""
        return self.folder("logs")

    @property
    def tb(self) -> Path:
        """A folder for TensorBoard, made when it is asked for; the experiment's ``tb/`` shows those of all its runs."""
        folder = self.folder("tb")
        together = self.paths.runs(self.experiment).parent / "tb"
        make_folders(together)
        with contextlib.suppress(FileExistsError):
            (together / self.run_id).symlink_to(Path("..") / "runs" / self.run_id / "tb")
        return folder

    @property
    def scratch(self) -> Path:
        """A folder for what may be lost at any time, outside the run's folder, made when it is asked for."""
        if self._scratch is None:
            scratch = self.paths.scratch.absolute() / self.run_id
            scratch.mkdir(parents=True, exist_ok=True)
            self._scratch = scratch
        return self._scratch

    def add_input_file(self, path: StrPath, role: str = "input") -> Path:
        """Record a file that the run reads, with its size and sha256; return its path. `UsageError` if it is none."""
        file = Path(path)
        if not file.is_file():
            msg = f"{file}: not a file, so it cannot be an input: check the path (from {Path.cwd()})"
            raise UsageError(msg)
        hasher, size = hashlib.sha256(), 0
        with file.open("rb") as body:
            while chunk := body.read(_CHUNK):
                hasher.update(chunk)
                size += len(chunk)
        self.add_input("file", file, role=role, bytes=size, sha256=hasher.hexdigest())
        return file

    def start(
        self, trigger_type: str | None = None, trigger_source: str | None = None, actor: str | None = None
    ) -> str:
        """Make the run's folder and begin its record; return the run id. See `RunWriter.start`."""
        run_id = super().start(trigger_type, trigger_source, actor)
        self._list()
        params, tags = self._given
        about = self._describe()
        if params is not None or tags or about:
            self.record(params=params, tags=tags)
        if self._wants_output:
            self._begin_capture()
        return run_id

    def _begin_capture(self) -> None:
        from sealrun.recording.output import OutputCapture  # noqa: PLC0415 - loads what only this needs

        try:
            self._capture = OutputCapture(self.logs, str(self))
        except (OSError, UsageError) as error:
            self.finish("failed", reason=f"its output cannot be captured: {error}")
            raise

    def finish(self, status: str | None = None, *, reason: str | None = None, seal: bool = False) -> str:
        """End the run, with everything that was printed in its logs; see `RunWriter.finish`."""
        if self._capture is not None:
            self._capture.stop()
        return super().finish(status, reason=reason, seal=seal)

    def __enter__(self) -> Self:
        """Start the run; from here on SIGTERM ends it as failed."""
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run; see `RunWriter`. The scratch folder goes if it succeeded."""
        super().__exit__(kind, error, trace)
        if self._scratch is not None and self.status == "success" and not self._keep_scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)  # it may be deleted at any time, by others, too

    def _new_id(self, started: datetime, git: JsonObject | None, *, distinct: bool) -> str:  # noqa: ARG002 - as there
        return algo_run_id(started, self.algo, self.tag)

    def _first_fields(self, started: datetime, git: JsonObject | None) -> JsonObject:
        said = {name: value for name, value in self._about.items() if value is not None}
        return {**super()._first_fields(started, git), **said}

    def _describe(self) -> bool:
        """Write what the run depends on into files of their own; tell whether the record says more by that."""
        write_json(self.run_dir / ENVIRONMENT_FILE, capture_environment(self._environ, self._variables))
        git = self._record.get("git", {})
        found = capture_diff(Path.cwd(), self._environ) if self._wants_diff and git.get("dirty") else None
        if found is not None:
            write_text(self.run_dir / DIFF_FILE, found.text)
            git |= {"diff": DIFF_FILE, "diff_truncated": found.truncated}
        if self._wants_output:
            self._record["logs"] = ["logs/stdout.log", "logs/stderr.log"]
        return found is not None or self._wants_output

    def _list(self) -> None:
        """Add a line to the experiment's ``manifest.jsonl``, in one append: runs that start together mix nothing."""
        line = json_line({"run_id": self.run_id, "algo": self.algo, "created": self._record["started_at"]})
        file = self.paths.runs(self.experiment).parent / "manifest.jsonl"
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

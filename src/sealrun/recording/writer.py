"""`RunWriter`: a run's record, its checks and its log, from start to end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sealrun.domain.address import parse_name
from sealrun.domain.errors import ConfigurationError, UsageError
from sealrun.domain.records import JsonObject
from sealrun.domain.types import TypedArtifact
from sealrun.recording import capturing
from sealrun.recording.block import RunBlock
from sealrun.recording.checks import Check, checks_json, look_at_evidence, status_of, worse
from sealrun.recording.completing import ENDS, declare, utc_now
from sealrun.recording.durable import StrPath, sync_folder, write_json
from sealrun.recording.files import RunFiles
from sealrun.recording.heartbeat import DEFAULT_HEARTBEAT_S, Presence, checked_interval
from sealrun.recording.ids import pipeline_run_id
from sealrun.recording.log import RunLog
from sealrun.recording.sections import DEFAULT_SECTIONS
from sealrun.recording.standard import reserve_standard_streams
from sealrun.recording.starting import KEPT_FIELDS, OWN_FIELDS, claim_folder, first_record
from sealrun.recording.triggers import Trigger, detect_trigger
from sealrun.recording.values import json_object

RUN_FILE = "run.json"
CHECKS_FILE = "checks.json"
LOG_FILE = "run.log"
_SAVE_SHARE = 16


class RunWriter(RunBlock, RunFiles):
    """Records one run into a folder of its own: ``run.json``, ``checks.json``, ``run.log``, files in ``artifacts/``.

    Needs no registry and no daemon. Use it as a context manager, or call `start` and `finish`. Until `finish` the
    record says ``running``: a run whose process dies is sealed as ``interrupted``. Methods may be called by any
    thread of the process that started the run; a forked child may only `log`.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        pipeline_id: str,
        pipeline_version: str | None = None,
        required_env: Iterable[str] = (),
        *,
        root: StrPath = "reports/runs",
        run_id: str | None = None,
        sections: Iterable[str] = DEFAULT_SECTIONS,
        heartbeat: float | None = DEFAULT_HEARTBEAT_S,
        seal: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a run of a pipeline; nothing is written yet.

        The folder will be `root` / run id: `run_id`, or ``<utc>__<pipeline_id>__<git7>``. `required_env` names
        variables without which `start` refuses; only their names are recorded. `sections` are the folders that
        `section` knows. Every `heartbeat` seconds the run shows daemons on other machines that it lives; None: never.
        With `seal` a ``with`` block ends with sealing the folder in place.
        """
        self.pipeline_id = pipeline_id
        self.pipeline_version = pipeline_version
        self.required_env = tuple(required_env)
        RunBlock.__init__(self, os.environ if environ is None else environ, seal=seal)
        RunFiles.__init__(self, sections)
        self._root = Path(root)
        self._given_id = None if run_id is None else parse_name(run_id, "run id")
        self._heartbeat_s = checked_interval(heartbeat)
        self._presence: Presence | None = None
        self._lock = threading.RLock()
        self._record: JsonObject = {}
        self._checks: list[Check] = []
        self._unsaved = 0
        self._folder: Path | None = None
        self._log: RunLog | None = None
        self.remember()

    def __str__(self) -> str:
        """``run <its id>``, or whose it will be."""
        return f"the run of {self.pipeline_id!r}" if self._folder is None else f"run {self._folder.name}"

    def renew_locks(self) -> None:
        """Nothing that another thread held at a fork holds up the child."""
        self._lock = threading.RLock()

    @property
    def started(self) -> bool:
        """Whether the run has its folder."""
        return self._folder is not None

    @property
    def run_dir(self) -> Path:
        """The run's folder. `UsageError` before `start`."""
        if self._folder is None:
            msg = f"the run of {self.pipeline_id!r} has not been started: call start(), or use it in a with statement"
            raise UsageError(msg)
        return self._folder

    @property
    def run_id(self) -> str:
        """The run's id, which is its folder's name. `UsageError` before `start`."""
        return self.run_dir.name

    def start(
        self, trigger_type: str | None = None, trigger_source: str | None = None, actor: str | None = None
    ) -> str:
        """Make the run's folder and begin its record; return the run id. What is not given is detected.

        `ConfigurationError` if required variables are missing or empty: the run is recorded as failed then.
        `ConflictError` if the given run id is taken; `UsageError` if it was started before.
        """
        if self._folder is not None:
            msg = f"run {self.run_id} was started before: make another RunWriter for another run"
            raise UsageError(msg)
        reserve_standard_streams()
        found = detect_trigger(self._environ)
        trigger = Trigger(trigger_type or found.type, trigger_source or found.source, actor or found.actor)
        started, git = datetime.now(UTC), capturing.capture_git(Path.cwd(), self._environ)
        self._pid = os.getpid()
        self._folder = claim_folder(
            self._root, lambda number: self._given_id or self._new_id(started, git, distinct=number > 0)
        )
        missing = [name for name in self.required_env if not self._environ.get(name)]
        self._record = {
            **self._first_fields(started, git),
            "trigger": trigger._asdict(),
            "required_env": {"names": list(self.required_env), "missing": missing},
        }
        self._begin()
        self.log(f"started {self.run_id}: {trigger.type} {trigger.source} by {trigger.actor}")
        if self.required_env:
            self.check("required_env", "fail" if missing else "pass", "run.json:required_env.missing")
        if missing:
            reason = f"required environment variables are not set: {', '.join(missing)}"
            self.finish("failed", reason=reason)
            msg = f"run {self.run_id}: {reason}; set them and start again"
            raise ConfigurationError(msg)
        return self.run_id

    def add_input(self, type: str, ref: str | os.PathLike[str], **details: object) -> None:  # noqa: A002 - the seed's name
        """Record something the run read: a file, a table, an artifact's URN, and any details that JSON can hold."""
        self._add("inputs", {"type": type, "ref": ref, **details})

    def add_output(self, type: str, ref: str | os.PathLike[str], **details: object) -> None:  # noqa: A002 - as above
        """Record something the run made. See `add_input`."""
        self._add("outputs", {"type": type, "ref": ref, **details})

    def check(self, name: str, status: str, evidence: str | Sequence[str] | None = None) -> None:
        """Record a check: ``pass``, ``fail``, ``skip`` or ``warn``, and its evidence.

        Evidence is a reference (``run.json:outputs[0].ref``, ``run.log:line:12``, ``artifacts/a.csv``) or a remark. A
        malformed reference is refused with `UsageError`; one to what is not there when the run ends fails the check.
        """
        check = Check.make(name, status, evidence)
        with self._lock:
            self.check_running()
            self._checks.append(check)
            self._grown(len(self._checks))

    def record(
        self,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, object] | None = None,
        tags: Iterable[str] = (),
        **details: object,
    ) -> None:
        """Add parameters, metrics, tags and other details to the record; the newest value of a name counts."""
        with self._lock:
            self.check_running()
            for name, given in (("params", params), ("metrics", metrics)):
                if given is not None:
                    self._record[name] = {**self._record.get(name, {}), **json_object(given)}
            self._record["tags"] = sorted({*self._record.get("tags", ()), *tags})
            taken = details.keys() & (OWN_FIELDS | self._record.keys() & KEPT_FIELDS)
            if taken:
                msg = f"the record keeps {', '.join(sorted(taken))} itself: choose other names"
                raise UsageError(msg)
            self._record.update(json_object(details))
            self.save()

    def log(self, message: str) -> int:
        """Append a message to the log, stamped; return its line's number, for ``run.log:line:N``."""
        if self._log is None:
            return self._no_log()
        return self._log.line(message)

    def save(self) -> None:
        """Bring ``run.json`` and ``checks.json`` up to date with what was recorded; durable on return."""
        with self._lock:
            # The record last: where it says how the run ended, the checks that it follows from are there.
            write_json(self.run_dir / CHECKS_FILE, checks_json(self.run_id, self._checks))
            write_json(self.run_dir / RUN_FILE, self._record)
            self._unsaved = 0

    def finish(self, status: str | None = None, *, reason: str | None = None, seal: bool = False) -> str:
        """End the run and declare its folder complete; return the status. Durable on return, harmless to repeat.

        The status is derived from the checks; a `status` that is given can only make it worse. With `seal` the folder
        is sealed in place, too. In a forked child it does nothing.
        """
        if status is not None and status not in ENDS:
            msg = f"not a status a run can end with: {status!r} (there is {', '.join(ENDS)})"
            raise UsageError(msg)
        with self._lock:
            if self.status is not None or os.getpid() != self._pid:
                return self.status or "running"
            self._settle_checks(status or "success", reason)
            ended = str(self._record["status"])
            self.log(f"finished: {ended}{f' ({reason})' if reason else ''}")
            self.save()
            if self._log is not None:
                self._log.close()  # nobody may be seen writing when the declaration is there
            said = {name: self._record[name] for name in ("run_id", "status", "finished_at")}
            if self._presence is not None:
                self._presence.stop()
            # A crash before this line leaves a run that has ended without a declaration: quiet settles it.
            declare(self.run_dir, said, seal=seal or self._seal)
            self.status = ended
            return ended

    def abandon(self) -> None:
        """Leave the run to quiet: its end could not be recorded, and daemons shall not wait for this process."""
        if self._presence is not None:
            self._presence.abandon()

    def stream(self, name: str, chunk: bytes) -> None:
        """Append to the log what a command printed to its stream `name`, as it came."""
        if self._log is not None:
            self._log.stream(name, chunk)

    def _new_id(self, started: datetime, git: JsonObject | None, *, distinct: bool) -> str:
        return pipeline_run_id(started, self.pipeline_id, (git or {}).get("commit"), distinct=distinct)

    def _first_fields(self, started: datetime, git: JsonObject | None) -> JsonObject:
        pipeline = {"pipeline_id": self.pipeline_id, "pipeline_version": self.pipeline_version}
        return first_record(self.run_id, pipeline, started, git, self._environ)

    def _begin(self) -> None:
        """Write the first files. The record comes before the log: what is there without it would not say who it is."""
        said = {"run_id": self.run_id, **self._record["machine"]}
        self._presence = Presence(self.run_dir, said, self._heartbeat_s)
        write_json(self.run_dir / RUN_FILE, self._record)
        self.save()
        self._log = RunLog(self.run_dir / LOG_FILE)
        sync_folder(self.run_dir)

    def _add(self, name: str, item: Mapping[str, object], *, replaces: bool = False) -> None:
        entry = json_object(item)
        with self._lock:
            self.check_running()
            known: list[JsonObject] = self._record[name]
            if replaces:  # a file that is written again is one output
                known[:] = [old for old in known if (old["type"], old["ref"]) != (entry["type"], entry["ref"])]
            known.append(entry)
            self._grown(len(known))

    def _declare(self, artifact: TypedArtifact) -> None:
        said: JsonObject = msgspec.to_builtins(artifact)
        del said["declared"]
        with self._lock:
            self.check_running()
            known = [old for old in self._record.get("artifacts", ()) if old["path"] != artifact.path]
            self._record["artifacts"] = [*known, said]
            self.save()

    def _grown(self, length: int) -> None:
        """Save short lists at every entry, long ones after every sixteenth part: a kill then loses little."""
        self._unsaved += 1
        if self._unsaved > length // _SAVE_SHARE:
            self.save()

    def check_running(self) -> None:
        """Raise `UsageError` if the run cannot be recorded now: it has ended, or belongs to another process."""
        if self.status is not None:
            msg = f"run {self.run_id} has ended ({self.status}): record before finish()"
            raise UsageError(msg)
        if os.getpid() != self._pid:
            msg = (
                f"run {self.run_id} is recorded by process {self._pid}: hand results to it, or start a run of your own"
            )
            raise UsageError(msg)

    def _no_log(self) -> int:
        raise UsageError(f"no run of {self.pipeline_id!r} to log to: {self.run_dir} is not open")

    def _settle_checks(self, status: str, reason: str | None) -> None:
        """Fill in the end of the record, look whether the evidence is there, and derive the status."""
        self._record["finished_at"] = utc_now()
        self._record["versions"] = capturing.capture_versions()
        if reason is not None:
            self._record["reason"] = reason
        lines = 0 if self._log is None else self._log.lines + 1  # and the line that says the end
        looked = self._checks = look_at_evidence(self._checks, self._record, lines, self.run_dir)
        self._record["status"] = worse(status, status_of(looked))

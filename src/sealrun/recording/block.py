"""A run as the block of a ``with`` statement: begun, ended whatever happens, and with a reason."""

from __future__ import annotations

import abc
import os
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import NoReturn, Self

from sealrun.domain.errors import UsageError
from sealrun.recording.ending import Ending, reason_of
from sealrun.recording.forking import Forked
from sealrun.recording.masking import masked_text

_TRACE_LINES = 200


class RunBlock(Forked):
    """What of a recorded run has to do with its beginning and its end."""

    def __init__(self, environ: Mapping[str, str], *, seal: bool = False) -> None:
        """Know the environment, and whether the end seals in place."""
        self.status: str | None = None
        """How the run ended; None before."""
        self._environ = environ
        self._pid = os.getpid()
        self._seal = seal
        self._ending: Ending | None = None

    @property
    @abc.abstractmethod
    def started(self) -> bool:
        """Whether the run has its folder."""

    @abc.abstractmethod
    def start(
        self, trigger_type: str | None = None, trigger_source: str | None = None, actor: str | None = None
    ) -> str:
        """Begin the run."""

    @abc.abstractmethod
    def log(self, message: str) -> int:
        """Append to the log."""

    @abc.abstractmethod
    def finish(self, status: str | None = None, *, reason: str | None = None, seal: bool = False) -> str:
        """End the run."""

    @abc.abstractmethod
    def abandon(self) -> None:
        """Say no more that the run is being recorded: its end could not be. It is left to quiet then."""

    def __enter__(self) -> Self:
        """Start the run, if it has not been; from here on SIGTERM ends it as failed, in the main thread."""
        if self._ending is not None or self.status is not None:
            what = "has ended" if self.status is not None else "is in a with statement already"
            msg = f"{self} {what}: make another one for another run"
            raise UsageError(msg)
        if not self.started:
            self.start()
        self._ending = Ending()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run: as failed, with the reason, if an error ended it. The error goes on to the caller."""
        if self._ending is not None:
            self._ending.hold()
        try:
            self._end(error)
        finally:
            if self._ending is not None:
                self._ending.restore()

    def __reduce__(self) -> NoReturn:
        """`UsageError`: a run belongs to the process that started it."""
        msg = f"{self} cannot be sent to another process: send its run_dir, or start a run there"
        raise UsageError(msg)

    def _end(self, error: BaseException | None) -> None:
        if os.getpid() != self._pid:
            return
        reason = None if error is None else reason_of(error, self._environ)
        try:
            if error is not None and reason is not None and self.status is None:
                self.log(f"ended by {reason}")
                self._log_trace(error)
            self.finish("failed" if reason else None, reason=reason, seal=self._seal)
        except BaseException as problem:
            self.abandon()  # whoever waits for this process would wait until it ends
            if error is None or not isinstance(problem, Exception):
                raise
            error.add_note(f"{self}: its end could not be recorded: {problem}")

    def _log_trace(self, error: BaseException) -> None:
        if isinstance(error, SystemExit):
            return
        lines = "".join(traceback.format_exception(error)).splitlines()[-_TRACE_LINES:]
        self.log(masked_text("\n".join(lines), self._environ))

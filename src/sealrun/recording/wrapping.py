"""Running a command as a run: its output is passed on and logged, signals are sent to it, its code comes back.

The main thread waits for signals and for the child; a second one copies. So nothing is done inside a signal handler.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.recording.copying import Copier, make_channels
from sealrun.recording.masking import masked_arguments
from sealrun.recording.writer import RunWriter

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
)
_RESET = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these, and children would inherit that


class Ended(NamedTuple):
    """How a command ended: as a shell says it (128 and the signal's number), by which signal, what it used."""

    code: int
    signal: str | None
    resources: JsonObject


def record_command(run: RunWriter, command: Sequence[str]) -> int:
    """Run `command` as the run that `run` records, from start to finish; return its exit code.

    Its output goes to ours while it comes, and into ``run.log``; where ours is a terminal, so is its. Signals that we
    get are sent to it. It finds its folder in ``SEALRUN_RUN_DIR`` and its id in ``SEALRUN_RUN_ID``. 127: there is no
    such command, 126: it cannot be executed. `ConfigurationError`, before anything runs, if required variables are
    missing. Call it from the main thread.
    """
    if not command:
        msg = "no command to run: give one after --, such as `sealrun exec --pipeline-id P -- python train.py`"
        raise UsageError(msg)
    if not run.started:
        run.start()
    shown = masked_arguments(command, os.environ)
    run.log(f"command: {' '.join(shown)}")
    forwarded = {number for number in _FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}  # as nohup sets it
    # From here on signals are for the command; what comes after its end waits until that is on record.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*forwarded, signal.SIGCHLD})
    try:
        return _record(run, command, shown, forwarded, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _record(
    run: RunWriter, command: Sequence[str], shown: list[str], forwarded: set[signal.Signals], mask: Iterable[int]
) -> int:
    began = time.monotonic()
    ended = _run(run, command, forwarded, mask)
    said: JsonObject = {"arguments": shown, "exit_code": ended.code, "signal": ended.signal}
    used: JsonObject = {"wall_s": round(time.monotonic() - began, 3), **ended.resources}
    try:
        _record_end(run, {name: value for name, value in said.items() if value is not None}, used)
    except OSError as error:
        # The command's own answer comes first. Without an end on record the run is taken for an interrupted one.
        _complain(f"run {run.run_dir}: its end could not be recorded: {error}")
        return ended.code or 1
    return ended.code


def _record_end(run: RunWriter, command: JsonObject, used: JsonObject) -> None:
    run.record(command=command, resources=used)
    code = command["exit_code"]
    run.check("exit_code", "fail" if code else "pass", "run.json:command.exit_code")
    reason = command.get("signal") or f"exit code {code}"
    run.finish(*(("failed",) if code else ()), reason=reason if code else None)


def _complain(text: str) -> None:
    os.write(2, f"sealrun: {text}\n".encode("utf-8", "backslashreplace"))


def _run(run: RunWriter, command: Sequence[str], forwarded: set[signal.Signals], mask: Iterable[int]) -> Ended:
    channels = make_channels()
    environ = {**os.environ, "SEALRUN_RUN_DIR": str(run.run_dir), "SEALRUN_RUN_ID": run.run_id}
    try:
        child = _spawn(command, environ, channels.actions, mask)
    except OSError as error:
        channels.close()
        run.log(f"{command[0]}: {error.strerror}")
        _complain(f"{command[0]}: {error.strerror}")
        return Ended(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE, None, {})
    copier = Copier(channels, run.stream)
    copier.start()
    status, used = _wait(run, child, copier, forwarded)
    problem = copier.finish()
    if problem is not None:
        _complain(f"{run.run_dir / 'run.log'}: not everything is in it: {problem}")
    if status >= 0:
        return Ended(status, None, used)
    known = {number.value: number.name for number in signal.Signals}
    return Ended(128 - status, known.get(-status, f"signal {-status}"), used)


def _spawn(
    command: Sequence[str], environ: Mapping[str, str], actions: Sequence[tuple[int, ...]], mask: Iterable[int]
) -> int:
    return os.posix_spawnp(
        command[0], list(command), dict(environ), file_actions=actions, setsigmask=mask, setsigdef=_RESET
    )


def _wait(run: RunWriter, child: int, copier: Copier, forwarded: set[signal.Signals]) -> tuple[int, JsonObject]:
    """Wait for the child and send it our signals. Its own end is a signal, too, so nothing polls."""
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), {
                "user_s": round(used.ru_utime, 3),
                "system_s": round(used.ru_stime, 3),
                "max_rss_bytes": used.ru_maxrss * 1024,
                "block_reads": used.ru_inblock,
                "block_writes": used.ru_oublock,
                "major_faults": used.ru_majflt,
                "involuntary_switches": used.ru_nivcsw,
            }
        came = signal.sigwaitinfo({*forwarded, signal.SIGCHLD})
        if came.si_signo == signal.SIGCHLD:
            continue
        if came.si_signo == signal.SIGWINCH:
            copier.resize()
        # What the terminal sends (Ctrl-C) it sends to the whole foreground group: the child has it already.
        if came.si_code > 0:
            continue
        if came.si_signo != signal.SIGWINCH:
            run.log(f"{signal.Signals(came.si_signo).name} from process {came.si_pid}, sent on")
        os.kill(child, came.si_signo)

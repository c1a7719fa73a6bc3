from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.e2e.deployment import wait_for

from sealrun.adapters.telling.notify_commands import run_notification
from sealrun.bootstrap.daemon.notifying import CommandChannel, environment_of
from sealrun.domain.oversight.notifying import Event, notice_of

NOTICE = notice_of(
    Event(7, 1768660000.0, "alarm.raised", "main", {"alarm": "damage", "severity": "critical", "reason": "a\0b"}),
    "state",
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_gets_the_event_on_its_input_and_in_its_environment(tmp_path: Path) -> None:
    code = (
        "import json, os, sys; said = {k: v for k, v in os.environ.items() if k.startswith('SEALRUN_EVENT_')}; "
        f"json.dump([json.load(sys.stdin), said], open({str(tmp_path / 'out')!r}, 'w'))"
    )
    assert CommandChannel(python(code), 60).tell([NOTICE]) is None
    event, environ = json.loads((tmp_path / "out").read_text())
    assert event == json.loads(NOTICE.body)
    assert event["type"] == "sealrun.alarm.raised"
    assert environ == {
        "SEALRUN_EVENT_ID": "state-7",
        "SEALRUN_EVENT_TYPE": "alarm.raised",
        "SEALRUN_EVENT_SUBJECT": "main",
        "SEALRUN_EVENT_TIME": "2026-01-17T14:26:40Z",
        "SEALRUN_EVENT_ALARM": "damage",
        "SEALRUN_EVENT_SEVERITY": "critical",
        "SEALRUN_EVENT_REASON": "a b",
        "SEALRUN_EVENT_HELP": "",
        "SEALRUN_EVENT_REGISTRY": "",
        "SEALRUN_EVENT_WATCH": "",
    }
    assert environment_of(NOTICE)["SEALRUN_EVENT_ALARM"] == "damage"


def test_a_command_that_fails_says_what_it_printed_last() -> None:
    code = "import sys; print('x' * 1000, flush=True); print('no\\x1b[31m route', file=sys.stderr); sys.exit(3)"
    problem = run_notification(python(code), b"", {}, 60)
    assert problem is not None
    assert problem.startswith(f"{sys.executable}: exited with 3: xxx")
    assert problem.endswith("no [31m route")
    assert len(problem) < 500


def test_a_command_that_is_not_there_or_is_killed_is_named() -> None:
    assert (
        run_notification(["/no/such/thing"], b"", {}, 60) == "/no/such/thing: cannot be run (No such file or directory)"
    )
    problem = run_notification(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), b"", {}, 60)
    assert problem == f"{sys.executable}: was killed by SIGKILL"


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    problem = run_notification(python(code), b"", {}, 3)
    assert problem == f"{sys.executable}: was not done after 3 s, and was ended"
    child = int((tmp_path / "child").read_text())

    def is_gone() -> bool:
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state == "Z"

    wait_for("the child is gone", is_gone, 60)


def test_a_large_event_is_no_reason_to_wait_for_each_other() -> None:
    assert run_notification(["true"], os.urandom(1 << 20), {}, 60) is None
    assert run_notification(["cat"], os.urandom(1 << 20), {}, 60) is None

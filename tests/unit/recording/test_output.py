"""What a captured run printed, by whatever means, is in its logs and where it always went."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

from tests.builders.terminals import Terminal

CAPTURED = """
import os, sys
from pathlib import Path
from sealrun import Paths, RunContext
paths = Paths(Path("e"), Path("s"))
def run(**options): return RunContext("dev", "a", paths=paths, environ={}, **options)
"""


def program(text: str) -> list[str]:
    return [sys.executable, "-c", CAPTURED + textwrap.dedent(text)]


def logs(folder: Path) -> tuple[bytes, bytes]:
    (run,) = folder.glob("e/dev/runs/*")
    return (run / "logs/stdout.log").read_bytes(), (run / "logs/stderr.log").read_bytes()


def test_everything_is_logged_and_passed_on_whoever_prints_it(tmp_path: Path) -> None:
    text = """
    import ctypes, subprocess
    print("before")
    with run(capture=True) as r:
        print("python"); print("error", file=sys.stderr)
        ctypes.CDLL(None).puts(b"library")
        subprocess.run(["sh", "-c", "echo child; echo trouble >&2"])
        os.write(1, b"x" * 300_000 + b"\\xff\\n")
    print("after")
    """
    done = subprocess.run(program(text), cwd=tmp_path, capture_output=True, check=True)
    out, err = logs(tmp_path)
    assert done.stdout == b"before\n" + out + b"after\n"
    assert sorted(out.split(b"\n")) == sorted([b"python", b"library", b"child", b"x" * 300_000 + b"\xff", b""])
    assert done.stderr == err == b"error\ntrouble\n"
    (run,) = tmp_path.glob("e/dev/runs/*")
    assert json.loads((run / "run.json").read_text())["logs"] == ["logs/stdout.log", "logs/stderr.log"]


def test_by_default_nothing_is_captured(tmp_path: Path) -> None:
    text = """
    with run() as r: print("python")
    assert "logs" not in os.listdir(r.run_dir)
    """
    assert subprocess.run(program(text), cwd=tmp_path, capture_output=True, check=True).stdout == b"python\n"


def test_on_a_terminal_the_program_has_one_and_progress_is_untouched(tmp_path: Path) -> None:
    terminal = Terminal()
    text = """
    with run(capture=True) as r:
        print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size(1).columns)
        print("10%\\r20%\\r", end="", file=sys.stderr, flush=True)
    """
    fcntl.ioctl(terminal.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 123, 0, 0))
    slave = terminal.slave
    process = subprocess.Popen(program(text), cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave)
    terminal.started()
    assert process.wait() == 0
    seen = terminal.finish()
    assert b"True True 123\r\n" in seen
    assert b"10%\r20%\r" in seen
    assert logs(tmp_path) == (b"True True 123\n", b"10%\r20%\r")


def test_what_a_killed_program_and_its_children_printed_is_there_to_the_end(tmp_path: Path) -> None:
    text = """
    import signal, subprocess
    r = run(capture=True)
    r.start()
    subprocess.Popen(["sh", "-c", "sleep 1; echo child"])
    os.write(1, b"last words\\n")
    os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(program(text), cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == logs(tmp_path)[0] == b"last words\nchild\n"


def test_a_process_left_in_the_background_keeps_nobody_waiting_and_prints_on_unlogged(tmp_path: Path) -> None:
    text = """
    import subprocess
    with run(capture=True) as r:
        left = subprocess.Popen(["sh", "-c", "read go; echo late"], stdin=subprocess.PIPE)
        print("done")
    left.stdin.close()
    left.wait()
    print("after")
    """
    done = subprocess.run(program(text), cwd=tmp_path, capture_output=True, check=True)
    assert sorted(done.stdout.splitlines()) == [b"after", b"done", b"late"]
    assert logs(tmp_path)[0] == b"done\n"


def test_one_run_at_a_time_has_the_output_and_the_other_is_told_and_fails(tmp_path: Path) -> None:
    text = """
    from sealrun.domain.errors import UsageError
    with run(capture=True) as outer:
        inner = run(capture=True)
        try:
            inner.start()
        except UsageError as error:
            print(error)
        with run() as third: print("nested without capture")
    assert (outer.status, inner.status, third.status) == ("success", "failed", "success")
    with run(capture=True) as again: print("again")
    """
    done = subprocess.run(program(text), cwd=tmp_path, capture_output=True, check=True)
    assert b"is captured by another run: capture one run at a time" in done.stdout
    assert b"nested without capture\nagain\n" in done.stdout


def test_where_sys_stdout_is_no_descriptor_it_is_logged_too(tmp_path: Path) -> None:
    text = """
    import io
    real, sys.stdout = sys.stdout, io.StringIO()
    mine = sys.stdout
    with run(capture=True) as r:
        print("notebook"); os.write(1, b"descriptor\\n")
    assert sys.stdout is mine and mine.getvalue() == "notebook\\n"
    """
    done = subprocess.run(program(text), cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"descriptor\n"
    assert sorted(logs(tmp_path)[0].split()) == [b"descriptor", b"notebook"]


def test_with_its_outputs_closed_nothing_is_written_into_files_of_the_run(tmp_path: Path) -> None:
    text = """
    with run(capture=True) as r:
        os.write(1, bytes(range(65, 91)))
    """
    command = ["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *program(text)]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    (run,) = tmp_path.glob("e/dev/runs/*")
    holding = [path.name for path in run.rglob("*") if path.is_file() and b"ABCDEFGHIJKLM" in path.read_bytes()]
    assert holding == ["stdout.log"]


def test_ctrl_c_ends_the_program_and_what_it_says_then_is_logged(tmp_path: Path) -> None:
    text = """
    import time
    try:
        with run(capture=True) as r:
            try:
                print("ready", flush=True); time.sleep(60)
            finally:
                print("cleaning up", flush=True)
    except KeyboardInterrupt:
        print(r.status)
    """
    process = subprocess.Popen(program(text), cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate()[0] == b"cleaning up\nfailed\n"
    assert logs(tmp_path)[0] == b"ready\ncleaning up\n"

from __future__ import annotations

import re
import threading
from pathlib import Path

from sealrun.recording.log import RunLog


def lines(path: Path) -> list[bytes]:
    """The log's lines without their stamps."""
    return [re.sub(rb"^\S+Z ", b"", line) for line in re.findall(rb"[^\n]*\n|[^\n]+$", path.read_bytes())]


def test_what_streams_print_is_there_at_once_and_no_line_mixes_two(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log")
    log.stream("stdout", b"half")
    assert lines(tmp_path / "log") == [b"stdout| half"]
    log.stream("stdout", b" a line\nand ano")
    log.stream("stderr", b"oops\n")
    log.stream("stdout", b"ther\n\n10%\r20%\r")
    number = log.line("two\nlines")
    log.close()
    log.close()
    assert lines(tmp_path / "log") == [
        b"stdout| half a line\n",
        b"stdout| and ano\n",
        b"stderr| oops\n",
        b"stdout| ther\n",
        b"stdout| \n",
        b"stdout| 10%\r20%\r\n",
        b"two\n",
        b"lines\n",
    ]
    assert (number, log.lines) == (7, 8)


def test_numbers_that_threads_get_name_their_own_lines(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log")
    numbers: dict[str, int] = {}

    def write(name: str) -> None:
        for number in range(50):
            numbers[f"{name}-{number}"] = log.line(f"{name}-{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    written = lines(tmp_path / "log")
    assert all(written[number - 1] == f"{text}\n".encode() for text, number in numbers.items())


def test_a_log_that_is_opened_again_goes_on_counting(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log")
    log.line("a")
    log.close()
    again = RunLog(tmp_path / "log")
    assert again.line("b") == 2
    again.close()

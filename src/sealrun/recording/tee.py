"""Passes on what a process prints, and logs it: a program of its own, started by `output.OutputCapture`.

A thread would wait for the interpreter while a library holds that and prints more than a pipe takes, and would not
outlive the process. This reads until nobody can write any more, so a kill -9 loses nothing.

Arguments: where to report, and for each stream ``reading:target:log``, all of them descriptors. Its input says when to
let go of the logs. Only the standard library, and of that little: it starts with every run that is captured.
"""

import contextlib
import errno
import fcntl
import os
import select
import sys
import termios

_CHUNK = 1 << 16
_LINGER_S = 0.3
_CONTROL = 0


def main(words: list[str]) -> None:
    """Copy until every stream has ended. When told so, and after all that is there, let go of the logs and report."""
    report = int(words[0])
    streams = {}
    for word in words[1:]:
        reading, target, log = map(int, word.split(":"))
        streams[reading] = (target, log)
    logs = {log for _, log in streams.values()}
    told = waiting = False
    while streams:
        ready, _, _ = select.select([*streams, *([] if told else [_CONTROL])], [], [], _LINGER_S if waiting else None)
        if waiting and not ready:
            _release(logs)  # what background processes say from now on is passed on, but the run has ended
            os.write(report, b"1")
            waiting = False
        if _CONTROL in ready:
            told = True
            waiting = os.read(_CONTROL, 1) == b"e"  # else it died: everything is logged to the end
        for reading in ready:
            if reading in streams and not _copy(reading, *streams[reading], logs):
                del streams[reading]
                os.close(reading)
    _release(logs)


def _release(logs: set[int]) -> None:
    while logs:
        log = logs.pop()
        with contextlib.suppress(OSError):
            os.fsync(log)
        os.close(log)


def _copy(reading: int, target: int, log: int, logs: set[int]) -> bool:
    """Pass one piece on; False at the end."""
    with contextlib.suppress(OSError):  # not terminals: nothing has a size
        size = fcntl.ioctl(target, termios.TIOCGWINSZ, b"\0" * 8)
        if size != fcntl.ioctl(reading, termios.TIOCGWINSZ, b"\0" * 8):
            fcntl.ioctl(reading, termios.TIOCSWINSZ, size)
    chunk = read_some(reading)
    if chunk and log in logs:
        try:
            write_whole(log, chunk)
        except OSError:  # a full disk: what is printed is more important
            logs.discard(log)
    return bool(chunk) and write_whole(target, chunk)


def read_some(reading: int) -> bytes:
    """Return what there is to read of a pipe or a terminal; nothing at its end."""
    try:
        return os.read(reading, _CHUNK)
    except OSError as error:
        if error.errno != errno.EIO:  # a terminal whose other side is closed
            raise
        return b""


def write_whole(target: int, chunk: bytes) -> bool:
    """Write all of it, however long that takes; False if nobody reads it any more."""
    left = memoryview(chunk)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select([], [target], [])
        except BrokenPipeError:
            return False  # nobody reads it: whoever prints learns it as it would without us
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
